"""Kinds of disks, one module each: `storage.of(disk)` is what VMs ask of one."""

from mcv.document.disks import Disk, DrbdDisk, SharedDisk
from mcv.document.model import Cluster, Vm
from mcv.drivers.domain_xml import Source
from mcv.drivers.open_devices import Holder
from mcv.errors import Refused
from mcv.host import Host
from mcv.rules import disk_bus
from mcv.storage import image_files, paths
from mcv.storage.drbd import Drbd
from mcv.storage.kind import Kind, LiveMove
from mcv.storage.local import Local, Shared
from mcv.transaction.plan import Item


def of(disk: Disk) -> Kind:
    """A disk by its kind. Another kind is another member of `Disk`, and a case here."""
    match disk:
        case DrbdDisk():
            return Drbd(disk)
        case SharedDisk():
            return Shared(disk)
        case _:
            return Local(disk)


def sources(cluster: Cluster, vm: Vm, node: str) -> dict[int, Source]:
    """Where the bytes of each disk are on a node, for the domain's XML there."""
    return {disk.id: paths.source(cluster, disk, node) for disk in vm.disks}


def path(cluster: Cluster, disk: Disk, node: str) -> str:
    """What QEMU opens of a disk on a node, "" where the node has none of it."""
    return paths.path(cluster, disk, node)


def volume_path(cluster: Cluster, disk: Disk, node: str) -> str:
    """The file or the logical volume that holds a disk's bytes on a node; "" where none does."""
    return paths.volume_path(cluster, disk, node)


def _kinds(vm: Vm) -> list[Kind]:
    """One disk of each kind that a VM has, the steps of a move being those of all of them."""
    return [of(disk) for disk in {disk.storage: disk for disk in vm.disks}.values()]


def offline_move(vm: Vm, to: str) -> list[Item]:
    return [step for kind in _kinds(vm) for step in kind.offline_move(vm, to)]


def live_move(vm: Vm, to: str) -> LiveMove:
    """The steps of all kinds; what was begun last ends first."""
    moves = [kind.live_move(vm, to) for kind in _kinds(vm)]
    return LiveMove(
        before=[step for move in moves for step in move.before],
        after=[step for move in reversed(moves) for step in move.after],
    )


def stale_takeover(vm: Vm, to: str) -> list[Item]:
    return [step for kind in _kinds(vm) for step in kind.stale_takeover(vm, to)]


def why_not_start(host: Host, vm: Vm, ignore_verify: bool) -> list[Refused]:
    """What forbids a start of the VM here, of each of its disks and of its CD."""
    staying = [disk for disk in vm.disks if not disk.leaving]
    found = (of(disk).why_not_start(host, vm, ignore_verify) for disk in staying)
    cd = image_files.why_not_use(host, vm.cd) if vm.cd else None
    problems = [problem for problem in (*found, cd) if problem is not None]
    return [*disk_bus.why_mirrored(vm), *problems]


def why_not_move(host: Host, vm: Vm, ignore_verify: bool) -> list[Refused]:
    """What forbids a migration of the VM from here, of each of its disks."""
    leaving = [problem for disk in vm.disks for problem in disk_bus.why_leaving(vm, disk)]
    leaving = disk_bus.why_mirrored(vm) or leaving
    if leaving:
        return leaving
    found = (of(disk).why_not_move(host, vm, ignore_verify) for disk in vm.disks)
    return [problem for problem in found if problem is not None]


def holders(host: Host, vm: Vm) -> dict[int, list[Holder]]:
    """What has the VM's disks open on this node, by disk; a disk that is closed is left out."""
    open_by = {disk.id: of(disk).holders(host) for disk in vm.disks}
    return {number: holding for number, holding in open_by.items() if holding}


def is_blocked(host: Host, vm: Vm) -> bool:
    """Whether a failed verification blocks a VM, be it by a note on this node alone."""
    return any(of(disk).is_blocked(host) for disk in vm.disks if not disk.leaving)
