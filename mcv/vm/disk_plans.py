"""The plans of disks: facts in, steps out. Pure functions, each with its commit point."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from mcv import storage
from mcv.document.disks import Disk
from mcv.document.model import Vm
from mcv.document.pools import Pool
from mcv.system.answers import plain
from mcv.transaction.plan import Call, Item, Step, change, on, steps_of, together


def add_plan(
    vm: Vm,
    disk: Disk,
    pools: Mapping[str, Pool],
    image_node: str = "",
    image: str | None = None,
    adopt: bool = False,
) -> list[Item]:
    """Write the disk down, make or adopt its volumes, define the VM with it, plug it in.

    Plugging it in commits the plan: by then the disk is whole. A VM that is stopped has it from
    its next start on. The way back of the definition comes before that of the entry.
    """
    there = {"name": vm.name, "disk": disk.id}
    extra = {"pools": plain(pools)} if pools else {}
    kind, new = storage.of(disk), replace(vm, disks=(*vm.disks, disk))
    plan: list[Item] = [
        Step(
            change("disk.add", name=vm.name, disk=plain(disk), **extra),
            undo=change("disk.remove", **there),
        ),
        *(kind.adoption(new) if adopt else kind.creation(new)),
    ]
    if image is not None:
        plan.append(Step(on(vm.node, "vm.fill", source=image_node, image=image, **there)))
    return [
        *plan,
        Step(on(vm.node, "vm.define", name=vm.name), undo=on(vm.node, "disk.withhold", **there)),
        Step(
            on(vm.node, "disk.attach", **there),
            undo=on(vm.node, "disk.detach", **there),
            commits=True,
        ),
    ]


def leave_plan(vm: Vm, disk: Disk, keep: bool) -> list[Item]:
    """Mark the disk as leaving, which commits the plan, and have the guest let go of it.

    A guest that does not let go is told of; the disk leaves when it is no more the guest's.
    """
    there = {"name": vm.name, "disk": disk.id}
    return [
        Step(change("disk.leaving", keep=keep, **there), commits=True),
        Step(on(vm.node, "vm.define", name=vm.name)),
        Step(on(vm.node, "disk.detach", **there), may_fail=True),
    ]


def remove_plan(vm: Vm, disk: Disk, keep: bool) -> list[Item]:
    """Take away a disk that no guest has: its volumes, then its entry.

    The mark that the disk is leaving commits the plan: a volume that is gone on one side cannot
    be brought back.
    """
    there = {"name": vm.name, "disk": disk.id}
    return [
        Step(change("disk.leaving", keep=keep, **there), commits=True),
        Step(on(vm.node, "vm.define", name=vm.name)),
        Step(on(vm.node, "disk.close", **there)),
        *storage.of(disk).deletion(vm, keep),
        Step(change("disk.remove", **there)),
    ]


def grow_plan(vm: Vm, disk: Disk, size: int, was: Mapping[str, int]) -> list[Item]:
    """Extend the volumes, write the size down, which commits the plan, then let it be seen.

    With the document before DRBD's device, no file of a resource that is written from the
    document is ever smaller than the device. Its way back leaves volumes large and zeroed.
    """
    there = {"name": vm.name, "disk": disk.id}
    growth = storage.of(disk).growth(vm, size, was)
    return [
        *growth.before,
        Step(change("disk.grow", size=size, **there), commits=True),
        *growth.after,
        Step(on(vm.node, "disk.tell_size", **there)),
    ]


def set_plan(vm: Vm, disk: Disk, values: Mapping[str, Any]) -> list[Item]:
    """Write the values down, which commits the plan; define; limits count at once."""
    there = {"name": vm.name, "disk": disk.id}
    plan: list[Item] = [
        Step(change("disk.set", **there, **values), commits=True),
        Step(on(vm.node, "vm.define", name=vm.name)),
    ]
    if {"iops", "bandwidth"} & values.keys():
        plan.append(Step(on(vm.node, "disk.throttle", **there)))
    return plan


def move_plan(
    vm: Vm, old: Disk, new: Disk, pools: Mapping[str, Pool], away: Sequence[str] = ()
) -> list[Item]:
    """Make the new disk beside the old one, copy and compare, exchange them, take the old away.

    Nothing is asked of the nodes that are `away`: what they have of the old disk stays there.
    The exchange in the document commits the plan: until then the VM's disk is the old one, and
    from then on the new one. The old one bears the new one's id afterwards, and goes last.
    """
    there = {"name": vm.name, "disk": new.id}
    extra = {"pools": plain(pools)} if pools else {}
    after = replace(old, id=new.id)
    return [
        Step(
            change("disk.add", name=vm.name, disk=plain(new), **extra),
            undo=change("disk.remove", **there),
        ),
        *storage.of(new).creation(replace(vm, disks=(*vm.disks, new))),
        Step(on(vm.node, "disk.copy", name=vm.name, disk=old.id, to=new.id)),
        Step(change("disk.exchange", name=vm.name, disk=old.id, by=new.id), commits=True),
        Step(on(vm.node, "vm.define", name=vm.name)),
        *without(storage.of(after).deletion(vm, keep=False), away),
        Step(change("disk.remove", **there)),
    ]


def mirror_plan(
    vm: Vm, old: Disk, new: Disk, pools: Mapping[str, Pool], away: Sequence[str] = ()
) -> list[Item]:
    """As `move_plan`, of a VM that runs: its domain mirrors the disk, and then goes over.

    The exchange in the document commits the plan, with the new disk as one that may not be
    whole. The domain goes over only then: before it the old disk is the VM's whatever dies, and
    after it the owner makes the new one whole, from the running domain or from the old disk.
    """
    there = {"name": vm.name, "disk": old.id, "to": new.id}
    extra = {"pools": plain(pools)} if pools else {}
    kind, grown = storage.of(new), replace(vm, disks=(*vm.disks, new))
    return [
        Step(
            change("disk.add", name=vm.name, disk=plain(new), **extra),
            undo=change("disk.remove", name=vm.name, disk=new.id),
        ),
        *kind.creation(grown),
        *kind.before_mirror(grown),
        Step(on(vm.node, "disk.mirror", **there), undo=on(vm.node, "disk.end_mirror", **there)),
        Step(on(vm.node, "disk.follow_mirror", **there)),
        Step(
            change("disk.exchange", name=vm.name, disk=old.id, by=new.id, mirrored=True),
            commits=True,
        ),
        *_finish(vm, replace(new, id=old.id), replace(old, id=new.id), away),
    ]


def finish_plan(vm: Vm, new: Disk, old: Disk) -> list[Item]:
    """The end of a move whose operation was given up after the exchange in the document.

    Its first step commits it, and is harmless when done: what fails is begun anew.
    """
    first, *others = _finish(vm, new, old, ())
    assert isinstance(first, Step)
    return [replace(first, commits=True), *others]


def _finish(vm: Vm, new: Disk, old: Disk, away: Sequence[str]) -> list[Item]:
    """Go over to the new disk, have its kind complete it, and take the old one away.

    The document calls the new disk whole when it is complete: where the operation is given up
    before, the old disk stays, and the owner begins here again.
    """
    there = {"name": vm.name, "disk": new.id}
    return [
        Step(on(vm.node, "disk.go_over", old=old.id, **there)),
        Step(on(vm.node, "vm.define", name=vm.name)),
        *without(storage.of(new).after_mirror(vm), away),
        Step(change("disk.whole", **there)),
        Step(on(vm.node, "disk.close", name=vm.name, disk=old.id)),
        *without(storage.of(old).deletion(vm, keep=False), away),
        Step(change("disk.remove", name=vm.name, disk=old.id)),
    ]


def without(plan: Sequence[Item], away: Sequence[str]) -> list[Item]:
    """The items of a plan without the calls to some nodes."""
    kept = []
    for item in plan:
        steps = [
            step
            for step in steps_of(item)
            if not (isinstance(step.do, Call) and step.do.node in away)
        ]
        if steps:
            kept.append(steps[0] if len(steps) == 1 else together(steps))
    return kept
