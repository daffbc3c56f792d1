"""Nodes: maintenance, and the word about the dead."""

import click

from mcv.commands.options import common, nodes
from mcv.commands.session import Session

DEAD = (
    "VMs of a node that is declared dead may be taken over. If it lives after all, its copies "
    "are paused when it is heard of again, and what they wrote is lost."
)


@click.group()
def node() -> None:
    """Take nodes offline and bring them back."""


@node.command()
@click.argument("names", metavar="N...", nargs=-1, required=True, shell_complete=nodes)
@click.option(
    "--confirm-dead",
    is_flag=True,
    help="They are dead: powered off, and nothing of them runs or will come back by itself.",
)
@common()
@click.pass_obj
def offline(session: Session, names: tuple[str, ...], confirm_dead: bool) -> None:
    """Take a node offline for maintenance, or declare nodes dead.

    Maintenance is for one node that lives and owns no VM. --confirm-dead is your word that
    the nodes are off; mcv acts on it, so go and look first.

    \b
    Examples:
      mcv node offline n2
      mcv node offline n2 --confirm-dead
    """
    said = ", ".join(names)
    if confirm_dead:
        session.ask(
            f"Declare {said} dead?",
            lambda: [
                *session.plan("node.offline", names=list(names), confirm_dead=True),
                *session.call("node.last_seen", names=list(names)),
                DEAD,
            ],
        )
    else:
        session.ask(
            f"Take {said} offline for maintenance?",
            lambda: session.plan("node.offline", names=list(names)),
        )
    answer = session.run("node.offline", names=list(names), confirm_dead=confirm_dead)
    back = (
        "Next: mcv register VM --node NODE, for each of its VMs. A dead node that is repaired "
        "comes back by itself."
        if confirm_dead
        else f"Back with: mcv node online {names[0]}"
    )
    session.show(answer, f"{said} {'is' if len(names) == 1 else 'are'} offline. {back}")


@node.command()
@click.argument("name", metavar="N", shell_complete=nodes)
@common()
@click.pass_obj
def online(session: Session, name: str) -> None:
    """End a node's maintenance."""
    answer = session.run("node.online", name=name)
    session.show(answer, f"{name} is online.")
