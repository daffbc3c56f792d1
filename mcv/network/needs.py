"""What cards of VMs need of a host: bridges, wide enough, and VLANs on them."""

from collections.abc import Iterable

from msgspec import Struct

from mcv.document.model import Cluster, Vm
from mcv.document.networks import Network, tagged_bridge
from mcv.errors import Refused
from mcv.host import Host
from mcv.network import tags


class Lacking(Struct, frozen=True, kw_only=True):
    """What a host lacks for a network of the document, or for a card in it, and what helps."""

    network: str
    message: str
    hint: str


def why_not_here(host: Host, cluster: Cluster, vm: Vm) -> list[Refused]:
    """Why the VM's cards cannot be connected on this host, each reason once."""
    wanted = {(nic.network, nic.tag_in(cluster.network(nic.network))) for nic in vm.nics}
    return why_not(host, ((cluster.network(name), vlan) for name, vlan in sorted(wanted)))


def other_bridges(cluster: Cluster, name: str, to: str) -> dict[str, str]:
    """The bridges of the VM's cards on another node by their addresses, where they differ."""
    vm = cluster.vms.get(name)
    if vm is None:
        return {}
    cards = [(nic, cluster.network(nic.network)) for nic in vm.nics]
    return {
        nic.mac: nic.bridge_in(network, to)
        for nic, network in cards
        if not network.nat and nic.bridge_in(network, to) != nic.bridge_in(network, vm.node)
    }


def why_not(host: Host, wanted: Iterable[tuple[Network, int]]) -> list[Refused]:
    """Why networks, each with a VLAN or 0, cannot be had on this host."""
    found = [problem for network, vlan in wanted if (problem := _why_not(host, network, vlan))]
    return list({problem.message: problem for problem in found}.values())


def lacking(host: Host) -> list[Lacking]:
    """What this host lacks for the networks of the document and its VMs' cards in them.

    A bridge of a network that is not there at all is not told: whoever asks sees it.
    """
    cluster = host.read()
    wanted = {(name, network.vlan) for name, network in cluster.networks.items()}
    wanted |= {
        (nic.network, nic.tag_in(cluster.network(nic.network)))
        for vm in cluster.vms.values()
        if host.name in (vm.node, *vm.nodes)
        for nic in vm.nics
    }
    found = []
    for name, vlan in sorted(wanted):
        network = cluster.network(name)
        is_there = host.bridges.exists(network.bridge_on(host.name))
        if is_there and (problem := _why_not(host, network, vlan)):
            found.append(Lacking(network=name, message=problem.message, hint=problem.hint))
    made = host.bridges.tagged()
    for below, vlan, name in sorted(tags.needed(host)):
        if name in made and not host.bridges.is_whole(name):
            message = f"{name}, for VLAN {vlan} of {below} on {host.name}, has lost its port."
            hint = f"mcvd makes it again; why it could not: journalctl -u mcvd on {host.name}"
            found.append(Lacking(network=name, message=message, hint=hint))
    return found


def _why_not(host: Host, network: Network, vlan: int) -> Refused | None:
    bridge = network.bridge_on(host.name)
    if not host.bridges.exists(bridge):
        return Refused(f"{host.name} has no bridge {bridge}.", "Make it on the host.")
    mtu = host.bridges.mtu(bridge)
    if network.mtu > mtu:
        return Refused(
            f"{bridge} on {host.name} has an MTU of {mtu}, network {network.name} one of "
            f"{network.mtu}.",
            f"Raise it and its ports' on the host: ip link set dev {bridge} mtu {network.mtu}",
        )
    problem = host.bridges.why_not_tag(bridge, vlan, tagged_bridge(bridge, vlan)) if vlan else None
    return problem and Refused(f"{host.name}: {problem.message}", problem.hint)
