"""Changes of where a VM's disks are."""

from typing import Any

import msgspec
from msgspec.structs import replace

from mcv.document.disks import Disk
from mcv.document.generation import ChangeMade
from mcv.document.model import Cluster
from mcv.document.pool_changes import with_pool_on
from mcv.document.pools import Pool
from mcv.document.registry import change, require_claim
from mcv.document.schema_4 import assigned
from mcv.document.vm_nodes import placed
from mcv.errors import Busy, Refused


@change("vm.move")
def vm_move(
    base: Cluster,
    made: ChangeMade,
    /,
    name: str,
    node: str,
    disks: list[dict[str, Any]],
    pools: dict[str, Any] | None = None,
    home: bool = True,
) -> Cluster:
    """Give a VM its disks elsewhere, and its owner with them, under this operation's claim.

    `disks` are entries of disks that the VM has; `pools` are those that the document lacks, or
    lacks nodes of. Effect: owner and places change at once, and the VM is renewed, since saved
    memory names the disks where they were. Errors: Refused where the owner lacks a disk; Busy
    where a minor or a port was taken meanwhile. With `home` its home moves with it.
    """
    base.node(node)
    vm = require_claim(base, made, name)
    moved = [msgspec.convert(disk, Disk) for disk in disks]
    others = [disk for other, disk in base.disks() if other.name != name]
    for pool, entry in (pools or {}).items():
        base = with_pool_on(base, pool, msgspec.convert(entry, Pool))
    for disk in moved:
        vm.disk(disk.id)
        base.pool(disk.pool)
        if clash := next(filter(None, map(disk.clash, others)), ""):
            raise Busy(f"{clash} has been taken meanwhile.")
        vm = vm.with_disk(disk)
    return base.with_vm(placed(base, assigned(base, vm, node, home)).renewed())


@change("disk.exchange")
def disk_exchange(
    base: Cluster, made: ChangeMade, /, name: str, disk: int, by: int, mirrored: bool = False
) -> Cluster:
    """Exchange the ids of two disks of a VM: its guest finds the one where the other was.

    Precondition: both hold the same bytes, or a running domain mirrors the first to the other;
    then the new disk is not known to be whole until `disk.whole`. Effect: the other disk is
    leaving. The VM is renewed, since saved memory names the disks where they were; it may run
    where all its disks are.
    """
    vm = require_claim(base, made, name)
    old, new = vm.disk(disk), vm.disk(by)
    new = replace(new, id=disk, mirror_of=by if mirrored else 0)
    renamed = {disk: new, by: replace(old, id=by, leaving=True)}
    disks = tuple(renamed.get(known.id, known) for known in vm.disks)
    return base.with_vm(placed(base, replace(vm, disks=disks)).renewed())


@change("disk.whole")
def disk_whole(base: Cluster, made: ChangeMade, /, name: str, disk: int) -> Cluster:
    """Record that a running domain has gone over to a disk, or that the disk was filled since.

    Errors: Refused for a node that does not own the VM: it cannot know.
    """
    vm = require_claim(base, made, name)
    if made.node != vm.node:
        raise Refused(
            f"{vm.node} alone knows whether disk {disk} of {name} is whole.",
            f"When {vm.node} is back: mcv locks clear {name}",
        )
    return base.with_vm(vm.with_disk(replace(vm.disk(disk), mirror_of=0)))
