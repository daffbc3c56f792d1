"""A node's host: rebooted, powered off, and switched on again."""

from typing import Any

import click

from mcv.commands.completion import nodes
from mcv.commands.options import common
from mcv.commands.session import Session
from mcv.errors import Refused

node_argument = click.argument("name", metavar="N", shell_complete=nodes)
wait_option = click.option(
    "--wait", is_flag=True, help="Wait until it is back, in contact with the cluster."
)


@click.command()
@node_argument
@click.option("--shutdown", is_flag=True, help="Guests that run there are shut down with it.")
@wait_option
@common(dry_run=True)
@click.pass_obj
def reboot(session: Session, name: str, shutdown: bool, wait: bool) -> None:
    """Reboot a node's host, in good order.

    Refused while VMs or services run there, unless --shutdown: what ran starts again with the
    node, as its autostart says, or, what high availability manages, as on-shutdown says (mcv ha
    settings). Moved elsewhere they are before by: mcv node drain N

    It is refused as well where no majority of etcd would be left meanwhile.

    \b
    Example:
      mcv node reboot n2 --wait
    """
    asked = {"node": name, "shutdown": shutdown}
    if wait and session.call("cluster.info")["node"] == name:
        raise Refused(f"{name} is this node: what waits here goes down with it.", "Without --wait")
    session.ask(f"Reboot {name}?", lambda: session.plan("node.reboot", **asked))
    answer = session.run("node.reboot", **asked, dry_run=session.dry_run)
    if wait and not session.dry_run:
        session.run("node.await_return", node=name, boot=answer["boot"])
        session.show(answer, f"{name} is back.")
    else:
        session.show(answer, f"{name} reboots.")


@click.command("power-off")
@node_argument
@click.option(
    "--shutdown",
    is_flag=True,
    help="Drain nothing: guests that run there are shut down with it.",
)
@common(dry_run=True)
@click.pass_obj
def power_off(session: Session, name: str, shutdown: bool) -> None:
    """Drain a node and power its host off, in good order.

    Its VMs and services move elsewhere, as by mcv node drain N. What cannot leave stays, and the
    host stays on. It is refused for the last node online, and where no majority of etcd would be
    left.

    \b
    Examples:
      mcv node power-off n2
      mcv node wake n2 --wait && mcv node restore n2
    """
    asked = {"node": name, "shutdown": shutdown}
    session.ask(f"Power {name} off?", lambda: session.plan("node.power_off", **asked))
    answer = session.run("node.power_off", **asked, dry_run=session.dry_run)
    session.show(answer, f"{name} powers off.{'' if shutdown else _left(name, answer)}")


def _left(name: str, answer: dict[str, Any]) -> str:
    moved = ", ".join(answer.get("moved") or ()) or "no VM"
    return f" {moved} left it. Back with: mcv node wake {name}, then mcv node restore {name}"


@click.command()
@node_argument
@wait_option
@common(dry_run=True)
@click.pass_obj
def wake(session: Session, name: str, wait: bool) -> None:
    """Switch a node's host on.

    By its fence devices (mcv fence set), or, where it has none, by a magic packet: all nodes that
    are up send it to the network cards that N has told when its mcvd last began. The card and the
    firmware have to allow it (ethtool CARD: Wake-on: g). It needs no majority.

    \b
    Examples:
      mcv node wake n2
      mcv node wake n2 --wait
    """
    answer = session.run("node.wake", node=name, dry_run=session.dry_run)
    then = "Whether it has come up is told by: mcv info"
    if wait and not session.dry_run:
        session.run("node.await_return", node=name, boot="")
        then = "It is back."
    session.show(answer, lambda: f"{_woken(name, answer)} {then}")


def _woken(name: str, answer: dict[str, Any]) -> str:
    if answer["plugs"]:
        return f"{name} is switched on by {', '.join(answer['plugs'])}."
    why = f"{name}: {answer['trouble']}. " if answer["trouble"] else ""
    senders, cards = ", ".join(answer["packets"]), ", ".join(answer["macs"])
    return f"{why}Magic packets for {name} ({cards}) were sent by {senders}."
