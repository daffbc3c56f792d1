"""mcv ha what-if: where everything would be if nodes died."""

from typing import Any

import click

from mcv.commands import output
from mcv.commands.completion import completing
from mcv.commands.options import common
from mcv.commands.session import Session

NOT_WELL = 5  # the exit code where something would not run


@click.command("what-if")
@click.option(
    "--dead",
    metavar="N",
    multiple=True,
    required=True,
    shell_complete=completing("cluster.info", "name"),
    help="A node that is dead then; several times for several.",
)
@common(changes=False)
@click.pass_obj
def what_if(session: Session, dead: tuple[str, ...]) -> None:
    """Say where everything would run if nodes died now.

    It exits with 5 where something would not run. The rules are high availability's own, for the
    cluster as it is. Nothing is changed.

    \b
    Examples:
      mcv ha what-if --dead n1
      mcv ha what-if --dead n1 --dead n2 --json
    """
    told = session.call("ha.what_if", dead=list(dead))
    session.show(told, lambda: _would(told))
    if any(not each["to"] for each in told):
        raise click.exceptions.Exit(NOT_WELL)


def _would(told: list[dict[str, Any]]) -> str:
    if not told:
        return "Nothing that is managed is there."
    rows = [(each["name"], each["from"], each["to"] or "nowhere", each["why"]) for each in told]
    return output.table(rows, ("name", "from", "to", "why"))
