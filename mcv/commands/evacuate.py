"""All VMs of a node at once: away from it, for a while or for good, and back."""

import click

from mcv.commands.options import common, nodes
from mcv.commands.session import Session

shutdown_option = click.option(
    "--shutdown",
    is_flag=True,
    help="A VM that cannot move while it runs is shut down, moved and started.",
)
node_argument = click.argument("name", metavar="N", shell_complete=nodes)


@click.command()
@node_argument
@shutdown_option
@common(dry_run=True)
@click.pass_obj
def evacuate(session: Session, name: str, shutdown: bool) -> None:
    """Move all VMs of a node elsewhere now.

    A VM that runs moves live. The node stays a member and may get VMs again at once. The home of
    each VM stays; back they go with: mcv node restore N.

    \b
    Examples:
      mcv evacuate n2 --dry-run
      mcv evacuate n2
    """
    asked = {"node": name, "shutdown": shutdown}
    answer = session.run("node.evacuate", **asked, dry_run=session.dry_run)
    session.show(answer, f"{_names(answer, 'moved')} left {name}.")


@click.command()
@node_argument
@click.option(
    "--wait",
    is_flag=True,
    help="Wait for a VM that cannot leave yet; the job may be cancelled.",
)
@shutdown_option
@common(dry_run=True)
@click.pass_obj
def drain(session: Session, name: str, wait: bool, shutdown: bool) -> None:
    """Empty a node and take it offline for maintenance.

    It takes no new VMs from then on. Its VMs move elsewhere, live where they run; each keeps its
    home. What cannot leave is named before anything moves, and stays; then the node stays
    draining, and the same command goes on with what is left.

    \b
    Examples:
      mcv node drain n2 --dry-run
      mcv node drain n2
      mcv node restore n2
    """
    asked = {"node": name, "shutdown": shutdown, "wait": wait}
    answer = session.run("node.drain", **asked, dry_run=session.dry_run)
    session.show(
        answer,
        f"{name} is drained, and offline for maintenance; {_names(answer, 'moved')} left it. "
        f"Back with: mcv node restore {name}",
    )


@click.command()
@node_argument
@common(dry_run=True)
@click.pass_obj
def restore(session: Session, name: str) -> None:
    """End a node's drain and maintenance, and bring its VMs back.

    The VMs whose home it is go back, live where they run, each as soon as the replica there has
    all of its data. Said again, it goes on with what is left.

    \b
    Example:
      mcv node restore n2
    """
    answer = session.run("node.restore", node=name, dry_run=session.dry_run)
    session.show(answer, f"{name} takes VMs again; {_names(answer, 'moved')} went back to it.")


def _names(answer: dict[str, list[str]], key: str) -> str:
    return ", ".join(answer.get(key) or ()) or "no VM"
