"""All VMs of a node at once: away from it, for a while or for good, and back."""

import click

from mcv.commands.completion import nodes
from mcv.commands.options import common
from mcv.commands.session import Session
from mcv.errors import Refused

AWAY = ("offline", "maintenance")  # statuses of a node that takes part in nothing

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

    The VMs of a node that is offline, as one that was declared dead, are taken over by the nodes
    that hold their other replicas, after a list of what may be lost. None of them is started.

    \b
    Examples:
      mcv evacuate n2 --dry-run
      mcv evacuate n2
    """
    asked = {"node": name, "shutdown": shutdown}
    if _is_offline(session, name):
        session.ask(f"Take over all VMs of {name}?", lambda: session.plan("node.evacuate", **asked))
    answer = session.run("node.evacuate", **asked, dry_run=session.dry_run)
    names = _names(answer, "moved")
    if answer.get("taken_over") and answer["moved"]:
        start = " ".join(answer["moved"])
        session.show(answer, f"{names} were taken over from {name}. Next: mcv start {start}")
    else:
        session.show(answer, f"{names} left {name}.")


def _is_offline(session: Session, name: str) -> bool:
    if session.yes or session.dry_run:
        return False
    nodes = session.call("cluster.info")["nodes"]
    return any(node["name"] == name and node["status"] in AWAY for node in nodes)


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


@click.command("reboot")
@click.option("--rolling", is_flag=True, help="One host after the other: there is no other way.")
@shutdown_option
@common(dry_run=True)
@click.pass_obj
def reboot_all(session: Session, rolling: bool, shutdown: bool) -> None:
    """Reboot all hosts, one after the other, while all VMs run on.

    Each host is drained, rebooted and restored, and the next one follows when all disks are in
    step. This node's own host is last, and another node sees to it. It stops at the first trouble;
    the same command goes on. What cannot leave its host is told before it begins.

    \b
    Examples:
      mcv cluster reboot --rolling --dry-run
      mcv cluster reboot --rolling --yes
    """
    if not rolling:
        raise Refused("All hosts at once would stop every VM.", "mcv cluster reboot --rolling")
    asked = {"shutdown": shutdown}
    session.ask(
        "Reboot all hosts, one after the other?", lambda: session.plan("cluster.reboot", **asked)
    )
    answer = session.run("cluster.reboot", **asked, dry_run=session.dry_run)
    last = answer.get("last")
    if last:
        session.note(
            f"All other hosts were rebooted. {last}, this one, is last: another node sees to it, "
            f"also when this command ends with it. On that node: mcv job list"
        )
        session.run("cluster.reboot_last", node=last, boot=answer["boot"], **asked)
    session.show(answer, "All hosts were rebooted.")


def _names(answer: dict[str, list[str]], key: str) -> str:
    return ", ".join(answer.get(key) or ()) or "no VM"
