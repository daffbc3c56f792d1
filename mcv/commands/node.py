"""Nodes: maintenance, the word about the dead, and their replacement."""

import click

from mcv.commands import evacuate, host_power
from mcv.commands.completion import nodes
from mcv.commands.options import common
from mcv.commands.session import Session

DEAD = (
    "VMs of a node that is declared dead may be taken over. If it lives after all, its copies "
    "are paused when it is heard of again, and what they wrote is lost."
)


@click.group()
def node() -> None:
    """Drain, restore, reboot, wake, replace nodes; set addresses."""


node.add_command(evacuate.drain)
node.add_command(evacuate.restore)
node.add_command(host_power.reboot)
node.add_command(host_power.power_off)
node.add_command(host_power.wake)


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

    Maintenance is for one node that lives and owns no VM. It is emptied with: mcv node drain N

    --confirm-dead is your word that the nodes are off; mcv acts on it, so go and look first. In an
    armed cluster it waits for what is left of their leases, and is refused where one is renewed.

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
        f"Its VMs are taken over by: {', '.join(f'mcv evacuate {name}' for name in names)}. A dead "
        "node that is repaired comes back by itself."
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


@node.command()
@click.argument("name", metavar="DEAD", shell_complete=nodes)
@click.option(
    "--by",
    required=True,
    metavar="N",
    shell_complete=nodes,
    help="The node that gets its replicas.",
)
@common(dry_run=True)
@click.pass_obj
def replace(session: Session, name: str, by: str) -> None:
    """Give the replicas of a dead node to another node.

    Every VM with a replica on DEAD gets one on N instead, synced and verified, while it runs.
    Until then its owner's replica is the only one. DEAD is offline; what it has is stale from
    then on, and is never used when it comes back. Interrupted, it goes on by itself; said
    again, it goes on with what is left.

    \b
    Examples:
      mcv node replace n2 --by n4 --dry-run
      mcv node replace n2 --by n4
    """
    wanted = {"node": name, "by": by}
    session.ask(f"Replace {name} by {by}?", lambda: session.plan("node.replace", **wanted))
    answer = session.run("node.replace", **wanted, dry_run=session.dry_run)
    moved = ", ".join(answer.get("moved") or ()) or "no VM"
    lost = ", ".join(answer.get("lost") or ())
    alone = f" Lost with {name}, where their disks are alone: {lost}." if lost else ""
    session.show(answer, f"{by} has the replicas that {name} had of {moved}.{alone}")


@node.command("set")
@click.argument("name", metavar="N", shell_complete=nodes)
@click.option("--ip-address", metavar="A", help="Where the other nodes reach its mcvd.")
@click.option("--drbd-address", metavar="A", help="Where its replicas are connected.")
@common(dry_run=True)
@click.pass_obj
def set_(session: Session, name: str, ip_address: str | None, drbd_address: str | None) -> None:
    """Give a living node other addresses; its name stays.

    N has the new addresses already, beside the old ones, and every node reaches it there: that
    is tried first. They are written to mcv.conf on N. DRBD disconnects each replica of N and
    connects it again, while guests run on; no other node is set until all are connected. The old
    addresses can be taken away afterwards.

    \b
    Examples:
      mcv node set n2 --ip-address 10.0.0.12 --dry-run
      mcv node set n2 --ip-address 10.0.0.12 --drbd-address 10.1.0.12
    """
    wanted = {"name": name, "ip_address": ip_address, "drbd_address": drbd_address}
    answer = session.run("node.set", **wanted, dry_run=session.dry_run)
    both = f"{answer.get('ip_address')} and, for DRBD, {answer.get('drbd_address')}"
    session.show(answer, f"{name} is at {both} now.")
