"""A replica that moves to another node: what forbids it, its plan, and the new one's way back."""

from collections.abc import Iterator, Mapping

from msgspec.structs import replace

from mcv.document.disks import DrbdDisk
from mcv.document.model import Vm
from mcv.document.pools import Pool
from mcv.drbd import replica_moves as drbd_moves
from mcv.errors import Refused
from mcv.host import Host
from mcv.storage import copy_target
from mcv.system.answers import plain
from mcv.transaction.plan import Change, Item, Step, change, on


def moved(disk: DrbdDisk, source: str, placed: DrbdDisk) -> DrbdDisk:
    """The disk with the replica on `source` replaced by `placed`, a replica on another node."""
    kept = {node: at for node, at in disk.places.items() if node != source}
    return replace(
        disk,
        places={**kept, **placed.places},
        port=placed.port,
        former={source: disk.places[source]},
        former_port=disk.port,
    )


def plan(
    vm: Vm, old: DrbdDisk, new: DrbdDisk, size: int, pools: Mapping[str, Pool], is_away: bool
) -> list[Item]:
    """Make the new volume, part from the old replica, sync and verify the new one.

    That the document forgets the old replica commits the plan. Until then the old replica is
    kept: the way back joins it again, and only then takes away what was made for the new one.
    Nothing is asked of a node that is away: what it has of the disk stays there.
    """
    owner, there = vm.node, {"name": vm.name, "disk": old.id}
    (source,) = new.former
    (to,) = new.places.keys() - old.places.keys()
    # The volume as large as the device, which a disk of before schema 3 does not tell.
    target = plain(replace(new, size=size))
    retire = on(source, "replica.retire", **there), on(source, "replica.take_back", **there)
    return [
        Step(
            on(to, "volume.receive", name=vm.name, source=owner, target=target),
            undo=on(to, "replica.discard", resource=old.resource, **there),
        ),
        Step(on(owner, "replica.part", **there), undo=on(owner, "replica.rejoin", **there)),
        *([] if is_away else [Step(retire[0], undo=retire[1])]),
        Step(_replicas(vm, new, pools), undo=_replicas(vm, old, {})),
        Step(on(to, "drbd.create", **there)),
        Step(on(owner, "replica.join", **there), undo=on(owner, "replica.leave", **there)),
        Step(on(owner, "drbd.await_in_step", **there)),
        Step(on(owner, "replica.check", **there)),
        replace(Step(_replicas(vm, replace(new, former={}, former_port=0), {})), commits=True),
        *([] if is_away else _end(vm, old, source)),
        Step(on(to, "volume.discard", **there), may_fail=True),
    ]


def _replicas(vm: Vm, disk: DrbdDisk, pools: Mapping[str, Pool]) -> Change:
    return change(
        "disk.replicas",
        name=vm.name,
        disk=disk.id,
        places=disk.places,
        port=disk.port,
        former=disk.former,
        former_port=disk.former_port,
        **({"pools": plain(pools)} if pools else {}),
    )


def _end(vm: Vm, old: DrbdDisk, source: str) -> list[Item]:
    """Take the old replica away. What stays is seen by the check."""
    there = {"name": vm.name}
    return [
        Step(on(source, "replica.remove", resource=old.resource, **there), may_fail=True),
        Step(on(source, "volume.remove_moved", old=plain(old), **there), may_fail=True),
    ]


def why_not_leave(host: Host, vm: Vm, disk: DrbdDisk, source: str) -> Iterator[Refused]:
    """What forbids that the owner, this node, parts from the replica on `source`."""
    return drbd_moves.why_not_leave(host, vm, disk, source)


def device_size(host: Host, disk: DrbdDisk) -> int:
    """The bytes of the disk's device here: more than a disk of before schema 3 tells."""
    status = host.drbd.status(disk.resource)
    return max(disk.size, status.size if status else 0)


def discard(host: Host, name: str, disk: int, resource: str) -> None:
    """Take a new replica away, with its volume; the way back, harmless when there is none.

    Errors: Refused while document or proposal give the disk to this node.
    """
    drbd_moves.remove(host, name, resource)
    copy_target.discard(host, name, disk)
