"""The disks of a VM: listed; and what every change of a disk asks first."""

from mcv.document.disks import UNSEEN_ROLES, Disk
from mcv.document.model import Cluster, Vm
from mcv.document.schema import older_member
from mcv.errors import Refused
from mcv.host import Host
from mcv.rules import disk_bus
from mcv.storage import paths
from mcv.vm import changing
from mcv.vm.disk_answers import DiskRow
from mcv.vm.validation import Problems


def list_(host: Host, name: str) -> list[DiskRow]:
    """The disks of a VM by their ids."""
    cluster = host.read()
    return [_row(cluster, disk) for disk in cluster.vm(name).disks]


def _row(cluster: Cluster, disk: Disk) -> DiskRow:
    places = {node: paths.location(cluster, disk, node) for node in sorted(cluster.nodes)}
    return DiskRow(
        id=disk.id,
        target=disk.target,
        size=disk.size,
        storage=disk.storage,
        pool=disk.pool or None,
        bus=disk.bus,
        role=disk.role,
        places={node: place for node, place in places.items() if place},
        leaving=disk.leaving,
        volume=disk.volume,
        format=disk.format,
        cache=disk.cache,
        discard=disk.discard,
        iops=disk.iops,
        bandwidth=disk.bandwidth,
    )


def changeable(host: Host, name: str, problems: Problems, may_be_mirrored: bool = False) -> Vm:
    """The VM, whose disks this node may change. Raises Refused, NotFound or Busy.

    What an operator can mend goes to problems: a lock, saved memory that would not fit.
    """
    vm = changing.owned(host, name)
    if host.read().schema < 3:
        raise older_member("Disks cannot be changed")
    changing.note_lock(vm, problems)
    problems.found += [] if may_be_mirrored else disk_bus.why_mirrored(vm)
    problems.found += changing.why_saved(host, vm)
    return vm


def why_fixed(vm: Vm, disk: Disk) -> list[Refused]:
    """Why a disk stays as it is for as long as its VM is there; nothing for others."""
    if disk.role not in UNSEEN_ROLES:
        return []
    holds = "the variables of its UEFI" if disk.role == "efi" else f"the {disk.role} it boots"
    return [Refused(f"Disk {disk.id} of {vm.name} holds {holds}: it stays as it is.")]
