"""On which nodes a VM may run: where all its disks are."""

from msgspec.structs import replace

from mcv.document.disks import Disk, SharedDisk
from mcv.document.model import Cluster, Vm
from mcv.errors import Refused


def placed(base: Cluster, vm: Vm) -> Vm:
    """The VM with the nodes where all its disks are; Without disks: all nodes."""
    there = set(base.nodes)
    for disk in vm.disks:
        there &= nodes_of(base, disk)
    if vm.node not in there:
        raise Refused(f"{vm.node}, which owns {vm.name}, is no place of each of its disks.")
    stay = tuple(node for node in vm.nodes if node in there)
    return replace(vm, nodes=(*stay, *sorted(there - {*stay})))


def nodes_of(base: Cluster, disk: Disk) -> set[str]:
    """The nodes where a disk's bytes can be used."""
    return set(base.pool(disk.pool).nodes if isinstance(disk, SharedDisk) else disk.places)


def spread(base: Cluster) -> Cluster:
    """The document whose VMs with shared disks may run where the pools of these disks are."""
    for vm in base.vms.values():
        if any(isinstance(disk, SharedDisk) for disk in vm.disks):
            base = base.with_vm(placed(base, vm))
    return base
