"""A host is switched on: by its fence devices, or by a magic packet to one of its cards.

It needs no agreement: after a power cut the first node that is up can wake the others.
"""

from msgspec import Struct

from mcv.cluster import fence_power, powering
from mcv.document.model import Cluster, Node
from mcv.document.node import MOST_MACS
from mcv.errors import McvError, Refused
from mcv.ha.fence import Action
from mcv.host import DryRun, Host
from mcv.printable import names
from mcv.system.answers import ask_typed

ASK = 5.0  # s that another node has to send packets
SCHEMA = 6  # of a document that knows network cards


class Sent(Struct, frozen=True, kw_only=True):
    """Where a node has sent magic packets to."""

    to: list[str]


class Woken(Struct, frozen=True, kw_only=True):
    """A node, the plugs that were switched on, and who has sent magic packets, and where to.

    `trouble`: why its plugs did not come on, where packets were sent instead.
    """

    node: str
    plugs: list[str] = []
    packets: dict[str, list[str]] = {}
    macs: list[str] = []
    trouble: str = ""


def wake(host: Host, node: str, dry_run: bool = False) -> Woken | DryRun:
    """Switch a node on by its fence devices; by a magic packet where it has none, or they fail.

    Refused for a node that answers, and for one of which neither plugs nor cards are known.
    Raises McvError where nothing came of it.
    """
    cluster = host.read()
    member = cluster.node(node)
    if node == host.name or powering.boot_of(host, node) is not None:
        raise Refused(f"{node} is on: its mcvd answers.", "See: mcv info")
    if not member.levels and not member.macs:
        raise Refused(
            f"{node} has no fence device, and has not told its network cards.",
            f"Cards are told when mcvd starts there. Else: mcv fence set {node} --level 1 D[:PORT]",
        )
    if dry_run:
        return DryRun(plan=_plan(cluster, member, _senders(host, cluster, node)))
    trouble = ""
    if member.levels:
        trouble = _switched_on(host, cluster, node)
        if not trouble:
            return Woken(node=node, plugs=_plugs(member))
        if not member.macs:
            raise McvError(f"{node}: {trouble}.", f"mcv fence status {node}")
    packets = _sent(host, cluster, member, trouble)
    return Woken(node=node, packets=packets, macs=list(member.macs), trouble=trouble)


def _plugs(member: Node) -> list[str]:
    plugs = (plug for level in member.levels for plug in level)
    return [f"{plug.device}:{plug.port}" if plug.port else plug.device for plug in plugs]


def _plan(cluster: Cluster, member: Node, senders: list[str]) -> list[str]:
    packet = f"{', '.join(senders)}: send a magic packet to {', '.join(member.macs)}"
    if not member.levels:
        return [f"{packet}."]
    plan = [f"Switch {', '.join(_plugs(member))} on."]
    return [*plan, *([f"Where that fails, {packet}."] if member.macs else [])]


def _switched_on(host: Host, cluster: Cluster, node: str) -> str:
    """Why a plug of the node did not come on; "" where all did. Raises Busy."""
    by_operator = host.fences.by_operator
    with fence_power.alone(host, node), by_operator.at_work(node, f"mcv node wake {node}"):
        by_operator.switched(node, is_off=False)
        outcome = fence_power.carry_out(host, fence_power.order(cluster, node), Action.ON)
    return outcome.message if outcome.failures else ""


def _senders(host: Host, cluster: Cluster, node: str) -> list[str]:
    """The nodes that send: this one may be in another network than the one that sleeps."""
    return sorted({host.name, *cluster.online} - {node})


def _sent(host: Host, cluster: Cluster, member: Node, trouble: str) -> dict[str, list[str]]:
    senders = _senders(host, cluster, member.name)
    asked = ask_typed(host.call, senders, "node.send_magic", ASK, Sent, node=member.name)
    packets = {name: told.to for name, told in asked.items() if isinstance(told, Sent)}
    if not packets:
        why = next(told.message for told in asked.values() if isinstance(told, McvError))
        also = f"{trouble}; " if trouble else ""
        raise McvError(f"{member.name} was not woken: {also}{names(senders)}: {why}", "mcv info")
    return packets


def send_magic(host: Host, node: str) -> Sent:
    """Send magic packets for the cards of a member, for another node. Raises McvError."""
    member = host.read().node(node)
    addresses = list(dict.fromkeys((member.ip_address, member.drbd_address)))
    return Sent(to=host.send_magic(list(member.macs), addresses, host.settings.address))


def tell_macs(host: Host) -> None:
    """One round of the loop: once after each start, tell the others this host's network cards.

    Raises CommandFailed, and what a change raises; the next round tries again.
    """
    cluster = host.read()
    if host.has_told_macs or cluster.schema < SCHEMA or host.name not in cluster.nodes:
        return
    macs = host.own_macs()[:MOST_MACS]
    if macs != list(cluster.node(host.name).macs):
        host.update("node.macs", f"network cards of {host.name}", name=host.name, macs=macs)
    host.has_told_macs = True
