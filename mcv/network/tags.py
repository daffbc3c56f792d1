"""Bridges for VLANs: made by mcvd where a VM needs one, taken away when none does."""

from mcv.document.model import Cluster, Vm
from mcv.document.networks import Network, Nic
from mcv.host import Host


def bring_up(host: Host, vm: Vm) -> None:
    """Make the bridges here that the VM's tagged cards need; harmless where they are."""
    for network, nic in _tagged(host.both()[-1], vm):
        bridge = network.bridge_on(host.name)
        name = nic.bridge_in(network, host.name)
        host.bridges.bring_up_tagged(bridge, nic.tag_in(network), name)


def look_after(host: Host) -> None:
    """Take away the bridges of VLANs that no VM of the documents needs and no guest is on."""
    made = host.bridges.tagged()
    if not made:
        return
    needed = {
        nic.bridge_in(network, host.name)
        for cluster in host.both()
        for vm in cluster.vms.values()
        for network, nic in _tagged(cluster, vm)
    }
    for name in set(made) - needed:
        host.bridges.take_away_tagged(name)


def _tagged(cluster: Cluster, vm: Vm) -> list[tuple[Network, Nic]]:
    found = [(cluster.networks.get(nic.network), nic) for nic in vm.nics]
    return [(network, nic) for network, nic in found if network and nic.tag_in(network)]
