"""Locks: who holds what."""

from typing import Any

import click

from mcv.commands import output
from mcv.commands.options import common, vms
from mcv.commands.session import Session


@click.group()
def locks() -> None:
    """See who holds what, and let go what a dead node left."""


@locks.command("list")
@common(changes=False)
@click.pass_obj
def list_(session: Session) -> None:
    """List the cluster's claims and its nodes' locks."""
    found = session.call("locks.list")
    session.show(found, lambda: "\n\n".join(_tables(found)) or "Nothing is held.")


def _tables(found: dict[str, Any]) -> list[str]:
    parts = []
    if found["claims"]:
        keys = ("subject", "operation", "node", "why", "since")
        rows = [[holder[key] for key in keys] for holder in found["claims"]]
        parts.append(output.table(rows, ("claim", *keys[1:])))
    if found["locks"]:
        keys = ("name", "node", "why", "since", "pid")
        rows = [[holder[key] for key in keys] for holder in found["locks"]]
        parts.append(output.table(rows, ("lock", *keys[1:])))
    return parts + list(found.get("problems", ()))


@locks.command()
@click.argument("name", metavar="VM|NODE", shell_complete=vms)
@common()
@click.pass_obj
def clear(session: Session, name: str) -> None:
    """Let go what an operation left on a VM, or on a node that was added or removed.

    The operation cannot be finished then. Try this first: mcv repair, which finishes or
    undoes what is left.
    """
    session.ask(
        f"Give up what holds {name}? What it left undone stays undone.",
        lambda: [*session.plan("locks.clear", name=name), *_holders(session, name)],
    )
    answer = session.run("locks.clear", name=name)
    session.show(answer, f"Nothing holds {name} any more.")


def _holders(session: Session, name: str) -> list[str]:
    found = session.call("locks.list")
    mine = {
        "claims": [
            holder
            for holder in found["claims"]
            if holder["subject"] in (name, f"vm:{name}", f"node:{name}")
        ],
        "locks": [
            holder
            for holder in found["locks"]
            if holder["name"] in (name, f"vm-{name}", f"node-{name}")
        ],
    }
    return _tables(mine)
