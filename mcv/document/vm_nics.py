"""What a VM's NICs need of the document: a network each, and a MAC of their own."""

from mcv.document import overlays
from mcv.document.model import Cluster, Vm
from mcv.errors import Busy


def macs_of(vm: Vm) -> list[str]:
    """The addresses of a VM's NICs, those that its overlay adds among them."""
    return [*(nic.mac.lower() for nic in vm.nics), *overlays.macs(vm.overlay)]


def require_nics(base: Cluster, vm: Vm) -> None:
    """Raise NotFound for a network that is not there, Busy for a MAC that is taken.

    MACs are judged from schema 4 on: members of before allow changes that this would refuse.
    """
    for nic in vm.nics:
        base.network(nic.network)
    if base.schema >= 4:
        _require_macs(base, vm)


def _require_macs(base: Cluster, vm: Vm) -> None:
    taken = {
        mac: other.name
        for other in base.vms.values()
        if other.name != vm.name
        for mac in macs_of(other)
    }
    for mac in macs_of(vm):
        if mac in taken:
            raise Busy(f"The MAC {mac} is {taken[mac]}'s already.")
        taken[mac] = vm.name
