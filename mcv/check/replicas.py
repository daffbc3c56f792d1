"""The replicas of VMs, compared: files, the kernel's states, split brains, verifications."""

from collections.abc import Iterator
from itertools import combinations

from mcv.check.artifacts import file_of
from mcv.check.finding import FIX, ClusterSnapshot, Finding, Fix, Severity
from mcv.check.inventory import Inventory
from mcv.document.model import Disk, Vm
from mcv.drivers.drbd_states import DiskState
from mcv.drivers.drbd_status import Status, have_split
from mcv.rules.split_brain import help_, sentence

Findings = Iterator[Finding]
Sides = dict[str, Status]


def judge(scene: ClusterSnapshot) -> Findings:
    for vm in scene.cluster.vms.values():
        if scene.at_work(vm):
            continue
        for disk in vm.disks:
            yield from _verification(scene, vm, disk)
            if scene.cluster.drbd.enabled:
                yield from _disk(scene, vm, disk)


def _disk(scene: ClusterSnapshot, vm: Vm, disk: Disk) -> Findings:
    sides: Sides = {}
    for node in sorted(disk.volume_groups):
        one = scene.seen.get(node)
        if one is None:
            continue
        yield from _file(disk, one)
        if one.resources is None:
            continue
        status = one.resources.get(disk.resource)
        if status is None:
            yield _not_up(vm, disk, one)
            continue
        sides[node] = status
        yield from _side(scene, vm, disk, node, status)
    yield from _between(scene, vm, disk, sides)


def _finding(
    severity: Severity, node: str, disk: Disk, message: str, hint: str, fix: Fix | None = None
) -> Finding:
    return Finding(
        severity=severity, node=node, subject=disk.resource, message=message, hint=hint, fix=fix
    )


def _file(disk: Disk, one: Inventory) -> Findings:
    if not one.secret or "resource files" in one.trouble:
        return
    file = one.files.get(disk.resource)
    if file is not None and file.right is not False:
        return
    how = "is missing" if file is None else "was edited: it does not say what it should"
    path = file_of(disk.resource)
    yield Finding(
        severity="error",
        node=one.node,
        subject=path,
        message=f"The resource file {path} on {one.node} {how}.",
        hint=FIX,
        fix=Fix(node=one.node, deed="file", subject=disk.resource),
    )


def _not_up(vm: Vm, disk: Disk, one: Inventory) -> Finding:
    there = (disk.volume_groups[one.node], disk.volume)
    has_volume = any((lv.group, lv.name) == there for lv in one.volumes or [])
    return _finding(
        "error",
        one.node,
        disk,
        f"{disk.resource} of {vm.name} is not up on {one.node}.",
        FIX if has_volume else f"Its logical volume has to be there first: {'/'.join(there)}",
        Fix(node=one.node, deed="up", subject=disk.resource) if has_volume else None,
    )


def _side(scene: ClusterSnapshot, vm: Vm, disk: Disk, node: str, status: Status) -> Findings:
    """One node's replica by itself."""
    other = vm.other(node)
    syncing = status.replication.is_syncing
    alone = status.disk.is_promotable and not scene.is_online(other)
    is_fine = status.up_to_date or status.disk.is_transient
    if not is_fine and not syncing and not alone:
        yield _finding(
            "error",
            node,
            disk,
            f"The replica of {vm.name} on {node} is {status.disk}.",
            _mend_disk(vm, disk, node, status.disk),
        )
    if status.is_suspended:
        yield _finding(
            "error",
            node,
            disk,
            f"I/O of {vm.name} stands still on {node} ({status.suspended}): it waits until it is "
            f"known how {other} is.",
            f"Bring {other} back, or: mcv node offline {other} --confirm-dead",
        )


def _mend_disk(vm: Vm, disk: Disk, node: str, state: DiskState) -> str:
    if state.is_detached:
        return (
            f"It was detached, after an I/O error as a rule: on {node}, see dmesg; when the disk "
            f"is well again: mcv resync {vm.name} --source {vm.other(node)}"
        )
    if state.needs_resync:
        return f"mcv resync {vm.name} --source {vm.other(node)}"
    return "See both sides with: mcv drbd list"


def _between(scene: ClusterSnapshot, vm: Vm, disk: Disk, sides: Sides) -> Findings:
    """Both replicas together."""
    split = _split(scene, disk, sides)
    if split:
        yield _finding(
            "error",
            vm.node,
            disk,
            f"There is a {sentence(vm, split)}.",
            help_(vm),
        )
    for node, status in sides.items():
        if status.is_standalone and node not in split:
            yield _finding(
                "error",
                node,
                disk,
                f"The replica of {vm.name} on {node} is StandAlone: it does not look for its peer.",
                f"mcv resync {vm.name} --source NODE, with the node whose data is right",
            )
    yield from _link(scene, vm, disk, sides)
    if len([one for one in sides.values() if one.is_primary]) > 1:
        yield _finding(
            "error",
            vm.node,
            disk,
            f"{disk.resource} is Primary on {' and '.join(sides)}, and no migration is under way.",
            f"Stop what runs where {vm.name} does not belong: mcv info {vm.name}",
        )
    yield from _work(vm, disk, sides)


def _split(scene: ClusterSnapshot, disk: Disk, sides: Sides) -> list[str]:
    """The two nodes of a split brain, told by both sides' generations; none where there is none."""
    apart = [node for node, status in sides.items() if not status.connected]
    if not any(sides[node].is_standalone for node in apart):
        return []
    for one, other in combinations(apart, 2):
        mine = scene.seen[one].generations.get(disk.resource)
        theirs = scene.seen[other].generations.get(disk.resource)
        if mine and theirs and have_split(mine, theirs):
            return [one, other]
    return []


def _link(scene: ClusterSnapshot, vm: Vm, disk: Disk, sides: Sides) -> Findings:
    """Two replicas that are up, look for each other, and have not found each other."""
    looking = [node for node, one in sides.items() if not one.connected and not one.is_standalone]
    everyone = set(disk.volume_groups)
    if not looking or not everyone <= set(sides):
        return
    if any(not scene.is_online(node) for node in everyone):
        return
    if any(one.is_standalone for one in sides.values()):
        return
    yield _finding(
        "error",
        vm.node,
        disk,
        f"The replicas of {vm.name} on {' and '.join(sorted(everyone))} do not find each other "
        f"({sides[looking[0]].connection}).",
        f"Are the DRBD addresses right, and is port {disk.port} open? See: mcv info",
    )


def _work(vm: Vm, disk: Disk, sides: Sides) -> Findings:
    for node, status in sides.items():
        if status.is_working:
            what = "verification" if status.is_verifying else "sync"
            done = "" if status.done is None else f", {status.done:.0f}% done"
            yield _finding(
                "note",
                node,
                disk,
                f"A {what} of {disk.resource} is under way ({status.replication}{done}).",
                "mcv drbd list",
            )
            return
    marked = max((one.out_of_sync for one in sides.values() if one.connected), default=0)
    if marked and not disk.verification.blocked:
        yield _finding(
            "warning",
            vm.node,
            disk,
            f"{marked} bytes of {disk.resource} are out of sync.",
            f"mcv resync {vm.name}",
        )


def _verification(scene: ClusterSnapshot, vm: Vm, disk: Disk) -> Findings:
    mark = disk.verification
    noted = sorted(node for node, one in scene.seen.items() if disk.resource in one.blocked)
    verifying = any(
        (status := (one.resources or {}).get(disk.resource)) and status.is_verifying
        for one in scene.seen.values()
    )
    verify, resync = f"mcv verify {vm.name}", f"mcv resync {vm.name}"
    if noted or (mark.blocked and mark.result == "out-of-sync"):
        amount = f": {mark.out_of_sync} bytes differ" if mark.out_of_sync else ""
        yield _finding(
            "error",
            vm.node,
            disk,
            f"The last verification of {vm.name} failed{amount}; start and migration are blocked.",
            f"{resync}, then: {verify}",
        )
    elif mark.blocked:
        yield _finding(
            "error",
            vm.node,
            disk,
            f"{vm.name} was not verified clean since a verification failed; start and migration "
            "are blocked.",
            verify,
        )
    elif mark.result == "never":
        yield _finding("note", vm.node, disk, f"{vm.name} was never verified.", verify)
    elif mark.result == "interrupted" or (mark.result == "running" and not verifying):
        yield _finding(
            "warning",
            vm.node,
            disk,
            f"The last verification of {vm.name} was interrupted: it says nothing.",
            verify,
        )
