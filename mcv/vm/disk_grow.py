"""A disk made larger, on each of its nodes; a disk does not shrink."""

from msgspec.structs import replace

from mcv import sizes
from mcv.document.disks import Disk, DrbdDisk
from mcv.document.model import Vm
from mcv.document.subject import Subject
from mcv.drivers.lvm import rounded
from mcv.errors import McvError, refuse_all
from mcv.host import DryRun, Host, Prepared
from mcv.rules import disk_bus
from mcv.storage import room_for
from mcv.storage.growth import VolumeSize
from mcv.storage.rooms import IMPLICIT
from mcv.system.answers import ask_typed
from mcv.vm import disk_choice, disks, placing
from mcv.vm.disk_answers import DiskGrown
from mcv.vm.disk_plans import grow_plan
from mcv.vm.validation import LEAST_DISK, MOST_DISK, Problems

LOOK = 10.0  # s that a node has to look at a volume


def grow(host: Host, name: str, disk: int, size: str, dry_run: bool = False) -> DiskGrown | DryRun:
    """Make a disk larger, and tell a guest that runs. Raises Refused for a smaller size."""

    def prepare() -> Prepared[DiskGrown]:
        problems = Problems()
        vm = disks.changeable(host, name, problems)
        known = vm.disk(disk)
        problems.found += disks.why_fixed(vm, known)
        problems.found += disk_bus.why_leaving(vm, known)
        asked = problems.size(size, "disk", LEAST_DISK, MOST_DISK)
        refuse_all(problems.found)
        whole = rounded(asked, disk_choice.unit(host.read()))
        was = _judged(host, vm, known, whole, problems)
        refuse_all(problems.found)
        told = known.target in host.domains.disks.targets(name)
        return Prepared(
            grow_plan(vm, known, whole, was),
            DiskGrown(name=name, disk=disk, size=whole, told=told),
        )

    return host.operate(Subject.vm(name), f"grow disk {disk} of {name}", prepare, dry_run)


def _judged(host: Host, vm: Vm, disk: Disk, size: int, problems: Problems) -> dict[str, int]:
    """What the disk's volume has on each of its nodes; what forbids the size to problems."""
    if size <= disk.size:
        problems.add(
            f"Disk {disk.id} of {vm.name} has {sizes.shown(disk.size)}: a disk does not shrink."
        )
        return {}
    if isinstance(disk, DrbdDisk) and not disk.exact:
        problems.add(
            f"How large disk {disk.id} of {vm.name} really is has not been written down yet.",
            "That is done when both of its nodes are online; see: mcv drbd list",
        )
    was = _volumes(host, vm, disk, problems)
    if problems.found:
        return {}
    most = max(was.values())
    if not isinstance(disk, DrbdDisk) and size < most:
        problems.add(
            f"The volume of disk {disk.id} of {vm.name} has {sizes.shown(most)} already.",
            f"Take at least that: mcv disk grow {vm.name} {disk.id} {sizes.shown(most)}",
        )
    _judge_room(host, vm, disk, size, was, problems)
    return was


def _volumes(host: Host, vm: Vm, disk: Disk, problems: Problems) -> dict[str, int]:
    """What is, and not what the document says."""
    nodes = sorted(disk.places) or [vm.node]
    params = {"name": vm.name, "disk": disk.id}
    answers = ask_typed(host.call, nodes, "volume.size", LOOK, VolumeSize, **params)
    was = {}
    for node, answer in answers.items():
        if isinstance(answer, McvError):
            problems.add(f"{node} is needed: {answer.message}", answer.hint)
        else:
            was[node] = answer.size
    return was


def _judge_room(
    host: Host, vm: Vm, disk: Disk, size: int, was: dict[str, int], problems: Problems
) -> None:
    """Whether each pool has room for what the disk gets."""
    facts = placing.facts_of(host, replace(vm, disks=(disk,), nics=(), memory=0), problems)
    pool = disk.pool or IMPLICIT
    for node, fact in facts.items():
        room = fact.rooms.get(pool)
        if room is None:
            problems.add(f"{node} has no pool {pool}.", "See: mcv pool list")
        elif room.problem:
            problems.add(f"{node}: {room.problem}", room.hint)
        elif node in was:
            added = room_for.needed(replace(disk, size=size), room.extent) - was[node]
            problems.found += room_for.why_not_more(node, pool, room, [disk], max(0, added))
