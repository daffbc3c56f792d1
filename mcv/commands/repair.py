"""Repair: finish or undo what the journal holds."""

from typing import Any

import click

from mcv.commands import output
from mcv.commands.options import common
from mcv.commands.session import Session
from mcv.errors import RepairNeeded


@click.command()
@common()
@click.pass_obj
def repair(session: Session) -> None:
    """Finish or undo what was cut off half-way.

    mcvd does so by itself when it starts; this tries again now, and says what is in the way.
    """
    answer = session.run("repair")
    settled = [f"Settled: {_title(entry)}" for entry in answer["settled"]]
    unasked = answer.get("unasked", [])
    where = " on the nodes that answer" if unasked else ""
    nothing = [] if answer["left"] else [f"There is nothing to repair{where}."]
    text = output.listed(settled or nothing)
    session.tell(unasked)
    if session.json or text:
        session.show(answer, lambda: text)
    if answer["left"]:
        problems = [(f"{entry['title']}: {entry['trouble']}", "") for entry in answer["left"]]
        raise RepairNeeded(
            f"{len(problems)} unfinished: the journal still holds what is left.",
            "Try again with: mcv repair, when what is in the way is gone.",
            problems,
        )


def _title(settled: Any) -> str:
    """A settled operation's title."""
    return str(settled["title"]) if isinstance(settled, dict) else str(settled)
