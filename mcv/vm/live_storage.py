"""The local disks of a VM that moves while it runs: what the two libvirts are told of them."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from mcv.document.disks import UNSEEN_ROLES, Disk, SharedDisk
from mcv.document.model import Vm
from mcv.drivers.migration_xml import MovedDisks
from mcv.host import Host
from mcv.network.needs import other_bridges
from mcv.storage import backings, moves, paths


def entries(disks: Sequence[Mapping[str, Any]]) -> list[Disk]:
    """The disks that a step's parameter names, as they will be on the new node."""
    return [msgspec.convert(disk, Disk) for disk in disks]


def arriving(vm: Vm, disks: Sequence[Disk]) -> Vm:
    """The VM with its local disks on the new node."""
    for disk in disks:
        vm = vm.with_disk(disk)
    return vm


def is_mirrored(disk: Disk) -> bool:
    """Whether the guest may write to the disk: its bytes go along while the guest runs.

    A seed is read alone, and copied before; so is what is booted directly. The firmware's
    variables are memory of the guest, which QEMU writes out where the guest goes on.
    """
    return disk.role == "data"


def mirrored(disks: Sequence[Disk]) -> tuple[str, ...]:
    """The targets of the disks whose bytes go along."""
    return tuple(disk.target for disk in disks if is_mirrored(disk))


def is_proven_shared(vm: Vm) -> bool:
    """Whether the VM has shared disks, and no page cache stands between any disk and its bytes.

    The mark of a shared pool proves that both nodes see the same files. libvirt knows network
    file systems by a list of its own, and calls a move on any other unsafe.
    """
    is_uncached = all(disk.cache in ("none", "directsync") for disk in vm.disks)
    return is_uncached and any(isinstance(disk, SharedDisk) for disk in vm.disks)


def guest_sizes(host: Host, vm: Vm) -> dict[int, int]:
    """The bytes that the guest sees of each local disk, by id: QEMU mirrors to no other size."""
    return {disk.id: _guest_size(host, disk) for disk in moves.copied(vm)}


def _guest_size(host: Host, disk: Disk) -> int:
    """Of a file what the document says; of a volume all of it, which may be more."""
    if paths.is_file(disk):
        return disk.size
    return backings.of(host, disk).size(paths.location(host.read(), disk, host.name), disk.volume)


def moved(host: Host, name: str, disks: Sequence[Disk], to: str, uri: str) -> MovedDisks | None:
    """What libvirt here is told of disks and cards that are others on the other node, if any."""
    bridges = other_bridges(host.read(), name, to)
    if not disks and not bridges:
        return None
    sources = [(disk, paths.source(host.read(), disk, to)) for disk in disks]
    variables = [source for disk, source in sources if disk.role == "efi"]
    return MovedDisks(
        uri=uri,
        mirrored=mirrored(disks),
        sources={disk.target: source for disk, source in sources if disk.role not in UNSEEN_ROLES},
        variables=variables[0] if variables else None,
        bridges=bridges,
    )
