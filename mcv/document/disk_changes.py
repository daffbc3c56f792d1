"""Changes of one disk of a VM, each under the claim of the operation that carries it out."""

from typing import Any

import msgspec
from msgspec.structs import replace

from mcv.document.disks import Bus, Cache, Disk, SharedDisk
from mcv.document.generation import ChangeMade
from mcv.document.model import Cluster, Vm
from mcv.document.pool_changes import require_place, with_pool_on
from mcv.document.pools import Pool
from mcv.document.registry import change, require_claim
from mcv.document.vm_nodes import placed
from mcv.errors import Busy, Refused


@change("disk.add")
def disk_add(
    base: Cluster,
    made: ChangeMade,
    /,
    name: str,
    disk: dict[str, Any],
    pools: dict[str, Any] | None = None,
) -> Cluster:
    """Give a VM another disk, of an id that no disk of it ever had.

    `pools` are those that the document lacks, or lacks nodes of. Effect: the VM may run where
    all its disks are. Errors: Busy where what the disk needs for itself is taken; Refused where
    the owner would be no place of it.
    """
    vm = require_claim(base, made, name)
    new = msgspec.convert(disk, Disk)
    for pool, entry in (pools or {}).items():
        base = with_pool_on(base, pool, msgspec.convert(entry, Pool))
    _require_free(base, made, vm, new)
    return base.with_vm(placed(base, replace(vm, disks=(*vm.disks, new), last_disk=new.id)))


@change("disk.leaving")
def disk_leaving(
    base: Cluster,
    made: ChangeMade,
    /,
    name: str,
    disk: int,
    leaving: bool = True,
    keep: bool = False,
) -> Cluster:
    """Mark a disk that is being taken from its VM; with `keep` its volume stays."""
    vm = require_claim(base, made, name)
    return base.with_vm(vm.with_disk(replace(vm.disk(disk), leaving=leaving, keep=keep)))


@change("disk.remove")
def disk_remove(base: Cluster, made: ChangeMade, /, name: str, disk: int) -> Cluster:
    """Take a disk out; its id is not given again. Without effect where the disk is gone."""
    vm = require_claim(base, made, name)
    if all(known.id != disk for known in vm.disks):
        return base
    kept = tuple(known for known in vm.disks if known.id != disk)
    return base.with_vm(placed(base, replace(vm, disks=kept, last_disk=vm.next_disk - 1)))


@change("disk.grow")
def disk_grow(base: Cluster, made: ChangeMade, /, name: str, disk: int, size: int) -> Cluster:
    """Record a larger size, in bytes; Refused for a smaller one."""
    vm = require_claim(base, made, name)
    known = vm.disk(disk)
    if size < known.size:
        raise Refused(f"Disk {disk} of {name} has {known.size} bytes: it does not shrink.")
    return base.with_vm(vm.with_disk(replace(known, size=size)))


@change("disk.set")
def disk_set(
    base: Cluster,
    made: ChangeMade,
    /,
    name: str,
    disk: int,
    bus: Bus | None = None,
    cache: Cache | None = None,
    discard: bool | None = None,
    iops: int | None = None,
    bandwidth: int | None = None,
) -> Cluster:
    """Change how a guest reaches a disk; what is None stays as it is."""
    vm = require_claim(base, made, name)
    asked = {
        "bus": bus,
        "cache": cache,
        "discard": discard,
        "iops": iops,
        "bandwidth": bandwidth,
    }
    values = {key: value for key, value in asked.items() if value is not None}
    return base.with_vm(vm.with_disk(replace(vm.disk(disk), **values)))


def _require_free(base: Cluster, made: ChangeMade, vm: Vm, new: Disk) -> None:
    if new.id < vm.next_disk:
        raise Busy(f"{vm.name} has, or had, a disk {new.id} already.")
    for node in new.places:
        base.node(node)
    require_place(base, made, new)
    for other, disk in base.disks():
        if clash := new.clash(disk):
            raise Busy(f"{clash} has been taken meanwhile.")
        if new.volume == disk.volume and _share_a_place(new, disk):
            raise Busy(f"{new.volume} is disk {disk.id} of {other.name}.")


def _share_a_place(new: Disk, other: Disk) -> bool:
    if isinstance(new, SharedDisk) or isinstance(other, SharedDisk):
        return new.storage == other.storage and new.pool == other.pool
    return bool(new.places.items() & other.places.items())
