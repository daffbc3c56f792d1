"""mcv ha test: a drill."""

from typing import Any

import click

from mcv.commands import output
from mcv.commands.completion import nodes
from mcv.commands.options import common
from mcv.commands.session import Session

FOUND_WRONG = 5
RISK = (
    "The host loses its power, and its guests end as in a failure. It is switched on again when "
    "what it ran runs elsewhere, unless mcv ha settings after-fence is off."
)


@click.command()
@click.option(
    "--kill",
    "node",
    required=True,
    metavar="N",
    shell_complete=nodes,
    help="The host that is switched off by its fence device.",
)
@common(dry_run=True)
@click.pass_obj
def test(session: Session, node: str) -> None:
    """Rehearse the death of a host, and time each part.

    N is fenced on purpose. What it ran starts elsewhere, as after a failure; how long each part
    took is told. Exit code 5 where something does not run in the end.

    \b
    Example:
      mcv ha test --kill n3 --dry-run
    """
    session.ask(
        f"Switch {node} off, with everything that runs there?",
        lambda: [*session.plan("ha.drill", node=node), RISK],
    )
    answer = session.run("ha.drill", node=node, dry_run=session.dry_run)
    session.show(answer, lambda: _told(answer))
    if answer.get("ok") is False:
        raise click.exceptions.Exit(FOUND_WRONG)


def _told(answer: dict[str, Any]) -> str:
    rows = [(f"{part['seconds']:.1f}", part["part"]) for part in answer["parts"]]
    for service in answer["services"]:
        if service["node"]:
            rows.append((f"{service['seconds']:.1f}", f"{service['name']} on {service['node']}"))
        else:
            rows.append(("-", f"{service['name']} does not run"))
    return output.table(rows, ("seconds", "part"))
