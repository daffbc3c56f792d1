"""Bridges for VLANs: made by mcvd where a VM needs one, taken away when none does."""

from typing import NamedTuple

from mcv.document.model import Cluster, Vm
from mcv.document.networks import Network, Nic
from mcv.host import Host


class Tagged(NamedTuple):
    """A VLAN of a bridge of this host, and the name of the bridge that mcvd makes for it."""

    below: str
    vlan: int
    name: str


def bring_up(host: Host, vm: Vm) -> None:
    """Make the bridges here that the VM's tagged cards need; harmless where they are.

    Precondition: the document has the VM, or it would be taken from under it again.
    """
    with host.vlan_bridges:
        for needed in sorted(_of_vm(host.both()[-1], vm, host.name)):
            host.bridges.bring_up_tagged(*needed)


def needed(host: Host) -> set[Tagged]:
    """The bridges that VMs of the documents need where they run on this host."""
    return {
        one
        for cluster in host.both()
        for vm in cluster.vms.values()
        for one in _of_vm(cluster, vm, host.name)
    }


def look_after(host: Host) -> None:
    """Take away the bridges of VLANs that no VM of the documents needs and no guest is on.

    The others are made whole again: whatever made the bridge below anew, as the host's own
    network service does, took their ports away with it. This mends what a daemon left half
    made, too.
    """
    made = host.bridges.tagged()
    if not made:
        return
    # A bridge is made for a VM that is in the document by then: under the lock it is seen here.
    with host.vlan_bridges:
        wanted = {one.name: one for one in needed(host)}
        for name in made:
            if name not in wanted:
                host.bridges.take_away_tagged(name)
            elif host.bridges.exists(wanted[name].below):
                host.bridges.bring_up_tagged(*wanted[name])


def _of_vm(cluster: Cluster, vm: Vm, node: str) -> set[Tagged]:
    return {
        Tagged(network.bridge_on(node), nic.tag_in(network), nic.bridge_in(network, node))
        for network, nic in _cards(cluster, vm)
        if nic.tag_in(network)
    }


def _cards(cluster: Cluster, vm: Vm) -> list[tuple[Network, Nic]]:
    found = [(cluster.networks.get(nic.network), nic) for nic in vm.nics]
    return [(network, nic) for network, nic in found if network]
