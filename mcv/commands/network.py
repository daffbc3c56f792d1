"""Networks: names for bridges."""

from typing import Any

import click

from mcv.commands import output
from mcv.commands.completion import networks
from mcv.commands.options import common, whole_number
from mcv.commands.session import Session

vlan_option = click.option("--vlan", metavar="TAG", help="1 to 4094: guests' frames bear it there.")
mtu_option = click.option("--mtu", metavar="N", help="In bytes, which guests are told.")
on_option = click.option("--on", metavar="NODE=BR", multiple=True, help="Another bridge on a node.")


@click.group()
def network() -> None:
    """Give bridges names that mean the same on every node."""


@network.command()
@click.argument("name", metavar="NAME")
@click.option("--bridge", metavar="BR", help="A bridge that every node has.")
@click.option("--nat", is_flag=True, help="A network of each node's own, which leads out by NAT.")
@vlan_option
@mtu_option
@on_option
@common()
@click.pass_obj
def create(
    session: Session,
    name: str,
    bridge: str | None,
    nat: bool,
    vlan: str | None,
    mtu: str | None,
    on: tuple[str, ...],
) -> None:
    """Name a bridge of the hosts, or make a network by NAT.

    A network by NAT is each node's own: it gives guests addresses and leads them out.
    Nobody outside reaches them, and guests on two nodes do not reach each other.

    With --vlan guests' frames bear that tag on the bridge, and guests see none: mcvd makes a
    bridge of its own for them on the nodes where such a guest runs.

    \b
    Examples:
      mcv network create lan --bridge br0
      mcv network create dmz --bridge br0 --vlan 7 --on node3=br1
      mcv network create out --nat
    """
    if (bridge is None) != nat:
        raise click.UsageError("Say --bridge BR or --nat, and not both.")
    wanted: dict[str, Any] = {"nat": True} if nat else {"bridge": bridge}
    answer = session.run("network.create", name=name, **wanted, **_more(vlan, mtu, on))
    how = "leads out by NAT on each node" if nat else f"is {_said(answer)}"
    session.show(answer, f"Network {name} {how}.")


@network.command("set")
@click.argument("name", metavar="NAME", shell_complete=networks)
@click.option("--bridge", metavar="BR", help="Another bridge that every node has.")
@vlan_option
@mtu_option
@on_option
@common()
@click.pass_obj
def set_(
    session: Session,
    name: str,
    bridge: str | None,
    vlan: str | None,
    mtu: str | None,
    on: tuple[str, ...],
) -> None:
    """Change a network while no VM on it runs; what is not named stays.

    Its VMs are connected anew when they start. --vlan 0 and --mtu 0 take the tag and the MTU
    away, --on NODE= the bridge of that node.

    \b
    Example:
      mcv network set lan --on node3=br1
    """
    wanted: dict[str, Any] = {} if bridge is None else {"bridge": bridge}
    answer = session.run("network.set", name=name, **wanted, **_more(vlan, mtu, on))
    session.show(answer, f"Network {name} is {_said(answer)} from now on.")


def _more(
    vlan: str | None, mtu: str | None, on: tuple[str, ...]
) -> dict[str, int | dict[str, str] | None]:
    """What was named of tag, MTU and bridges of single nodes."""
    wrong = [text for text in on if "=" not in text]
    if wrong:
        raise click.UsageError(f"--on {wrong[0]!r} is not NODE=BR.")
    more: dict[str, int | dict[str, str] | None] = {
        key: whole_number(text, f"--{key}")
        for key, text in (("vlan", vlan), ("mtu", mtu))
        if text is not None
    }
    if on:
        more["on"] = {node: bridge for node, _, bridge in (text.partition("=") for text in on)}
    return more


def _said(network: dict[str, Any]) -> str:
    """A network's bridges, tag and MTU in words."""
    words = [f"the bridge {network.get('bridge')}"]
    words += [f"on {node} {bridge}" for node, bridge in sorted((network.get("on") or {}).items())]
    words += [f"VLAN {network.get('vlan')}"] if network.get("vlan") else []
    words += [f"MTU {network.get('mtu')}"] if network.get("mtu") else []
    return ", ".join(words)


@network.command("list")
@common(changes=False)
@click.pass_obj
def list_(session: Session) -> None:
    """List the networks."""
    found = session.call("network.list")
    rows = [
        (
            row["name"],
            "  ".join([row["bridge"], *(f"{node}={br}" for node, br in sorted(row["on"].items()))]),
            row["vlan"] or None,
            row["mtu"] or None,
            row["vms"],
        )
        for row in found
    ]
    headings = ("name", "bridge", "vlan", "mtu", "vms")
    session.show(found, lambda: output.table(rows, headings) if rows else "There is no network.")


@network.command()
@click.argument("name", metavar="NAME", shell_complete=networks)
@common()
@click.pass_obj
def delete(session: Session, name: str) -> None:
    """Forget a network that no VM uses; the bridge stays."""
    answer = session.run("network.delete", name=name)
    session.show(answer, f"Network {name} is deleted; the bridge stays.")
