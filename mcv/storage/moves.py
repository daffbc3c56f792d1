"""Moves of disks by a copy: what goes where, and the steps. Pure functions."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from mcv.document.disks import Disk, FileDisk, LvmDisk, SharedDisk, ThinDisk
from mcv.document.model import Cluster, Vm
from mcv.storage.rooms import IMPLICIT, has_implicit
from mcv.system.answers import plain
from mcv.transaction.plan import Item, Step, on

OneNodeDisk = FileDisk | LvmDisk | ThinDisk


class DiskMove(Struct, frozen=True, kw_only=True):
    """A disk as it is on the node `source`, and as it will be on the node `to`."""

    old: Disk
    new: Disk
    source: str
    to: str


def copied(vm: Vm) -> list[OneNodeDisk]:
    """The disks that another node gets by a copy."""
    return [disk for disk in vm.disks if isinstance(disk, OneNodeDisk)]


def candidates(cluster: Cluster, vm: Vm) -> list[str]:
    """The nodes that a VM can move to: where its disks are, or where their pools are."""
    there = set(cluster.nodes) if vm.disks else set(vm.nodes)
    for disk in vm.disks:
        there &= set(nodes_for(cluster, disk))
    return sorted(there - {vm.node})


def nodes_for(cluster: Cluster, disk: Disk) -> list[str]:
    """The nodes that have a disk, or can have its copy in the disk's own pool."""
    if not isinstance(disk, OneNodeDisk | SharedDisk):
        return sorted(disk.places)
    pool = cluster.all_pools.get(disk.pool)
    known = list(pool.nodes) if pool else []
    is_implicit = isinstance(disk, OneNodeDisk) and disk.pool == IMPLICIT and has_implicit(cluster)
    return sorted(cluster.nodes) if is_implicit else sorted(known)


def copy_steps(name: str, moves: Sequence[DiskMove]) -> list[Item]:
    """Make every volume, then fill and compare each; the way back takes the volumes away."""
    return [*receive_steps(name, moves), *send_steps(name, moves)]


def receive_steps(
    name: str, moves: Sequence[DiskMove], exact: Mapping[int, int] | None = None
) -> list[Item]:
    """Make every volume; the way back takes them away. `exact` are the only sizes that will do."""
    return [
        Step(
            on(
                move.to,
                "volume.receive",
                name=name,
                source=move.source,
                target=plain(move.new),
                **({"exact": exact[move.new.id]} if exact else {}),
            ),
            undo=on(move.to, "volume.discard", name=name, disk=move.new.id),
        )
        for move in moves
    ]


def send_steps(name: str, moves: Sequence[DiskMove]) -> list[Item]:
    """Fill and compare volumes that were made."""
    return [
        Step(on(move.source, "volume.send", name=name, disk=move.old.id, to=move.to))
        for move in moves
    ]


def end_steps(name: str, moves: Sequence[DiskMove]) -> list[Item]:
    """Take away where the disks were. A volume that stays is seen by the check."""
    return [
        Step(on(move.source, "volume.remove_moved", name=name, old=plain(move.old)), may_fail=True)
        for move in moves
    ]
