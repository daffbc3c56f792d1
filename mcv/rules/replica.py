"""May a VM start or move, and what is to be said about its replicas: decisions over states."""

import json
from pathlib import Path
from typing import Any

from mcv.document.model import Cluster, Disk, Vm
from mcv.drivers.drbd_states import DiskState, ReplicationState
from mcv.errors import McvError, Refused
from mcv.host import Host
from mcv.rules import split_brain
from mcv.rules.split_brain import Side
from mcv.system import files


def complaints(cluster: Cluster, vm: Vm, disk: Disk, sides: dict[str, Side | None]) -> list[str]:
    """What about one disk needs somebody, in an operator's words, with the command that helps."""
    found = []
    mark = disk.verification
    if mark.blocked and mark.result == "out-of-sync":
        found.append(
            f"verification found {mark.out_of_sync} bytes out of sync: mcv resync {vm.name}, "
            f"then mcv verify {vm.name}"
        )
    elif mark.blocked:
        found.append(f"not verified clean since a failed verification: mcv verify {vm.name}")
    parted = split_brain.of({node: sides.get(node) for node in disk.volume_groups})
    if parted:
        found.append(split_brain.complaint(vm, parted))
    for node, side in sides.items():
        if side is None:
            if node in disk.volume_groups and cluster.drbd.enabled:
                found.append(f"{disk.resource} is not up on {node}")
            continue
        if node not in disk.volume_groups:
            continue
        state = DiskState(side["disk"])
        passes = state.is_transient and not state.is_detached
        if not state.is_up_to_date and not passes and not _syncing(side):
            found.append(f"replica on {node} is {side['disk']}{_mending(vm, node, side)}")
        if side["connection"] == "StandAlone" and not parted:
            found.append(
                f"replica on {node} is StandAlone: mcv resync {vm.name} --source NODE, with the "
                "node whose data is right"
            )
    return found


def _mending(vm: Vm, node: str, side: Side) -> str:
    if not DiskState(side["disk"]).is_detached:
        return ""
    return (
        " after an I/O error (see dmesg there), when its disk is well again: "
        f"mcv resync {vm.name} --source {vm.other(node)}"
    )


def _syncing(side: Side) -> bool:
    return ReplicationState(side["replication"]).is_syncing


def why_not_start(host: Host, vm: Vm, disk: Disk, ignore_verify: bool) -> Refused | None:
    """The rule of a start: the disk here is UpToDate, no failed verification, no split brain.

    Consistent will do where the peer is offline in the document. A peer that is away is the
    fence-peer handler's to judge, which the kernel asks at the promotion.
    """
    blocked = disk.verification.blocked or disk.resource in blocked_by_note(host)
    if blocked and not ignore_verify:
        return verify_problem(vm)
    status = host.drbd.status(disk.resource)
    if status is None:
        return Refused(f"{disk.resource} is not up on {host.name}.", f"Try: mcv register {vm.name}")
    problem = split_brain.why_not(host, vm, disk)
    if problem is not None:
        return problem
    peer = vm.other(host.name)
    away = host.read().node(peer).status == "offline"
    if not status.up_to_date and not (status.disk.is_promotable and away):
        return Refused(
            f"The replica of {vm.name} on {host.name} is {status.disk}.",
            f"It has to be resynced from {peer}: mcv resync {vm.name} --source {peer}"
            + (f"; or move it: mcv migrate --node {peer} {vm.name}" * status.is_detached),
        )
    return None


def why_not_move(host: Host, vm: Vm, disk: Disk, ignore_verify: bool) -> Refused | None:
    """The rule of a migration: what a start needs, both replicas UpToDate and connected.

    Where the disk here is gone the VM may go to where its other replica is.
    """
    now = host.drbd.status(disk.resource)
    if now is not None and now.is_detached and now.connected and now.peer_disk.is_up_to_date:
        blocked = disk.verification.blocked or disk.resource in blocked_by_note(host)
        return verify_problem(vm) if blocked and not ignore_verify else None
    problem = why_not_start(host, vm, disk, ignore_verify)
    if problem is not None:
        return problem
    status = host.drbd.status(disk.resource)
    syncing = status is not None and status.replication.is_syncing
    if status is None or not (status.replication.keeps_in_step or syncing):
        seen = status.connection if status else "not up"
        return Refused(
            f"The replicas of {vm.name} are not connected ({disk.resource}: {seen}).",
            "See: mcv drbd list",
        )
    if syncing or not status.peer_disk.is_up_to_date:
        return Refused(
            f"The other replica of {vm.name} is {status.peer_disk}, not UpToDate.",
            "Wait for the resync, see: mcv drbd list",
        )
    return None


def verify_problem(vm: Vm) -> Refused:
    return Refused(
        f"The last verification of {vm.name} failed, so its replicas may differ.",
        f"First: mcv resync {vm.name}, then: mcv verify {vm.name} "
        "(or once, at your own risk: --ignore-verify)",
    )


# Notes that need no daemon and no agreement: the handlers and a verification leave them.


def note_path(notes: Path, resource: str, kind: str) -> Path:
    return notes / f"{resource}.{kind}.json"


def write_note(notes: Path, resource: str, kind: str, **values: Any) -> None:
    files.write_atomically(note_path(notes, resource, kind), json.dumps(values))


def remove_note(notes: Path, resource: str, kind: str) -> None:
    files.remove(note_path(notes, resource, kind))


def read_note(notes: Path, resource: str, kind: str) -> dict[str, Any] | None:
    text = files.read_or_none(note_path(notes, resource, kind))
    try:
        return dict(json.loads(text)) if text else None
    except ValueError as error:
        raise McvError(f"A note about {resource} cannot be read: {error}") from error


def noted(notes: Path, kind: str) -> list[str]:
    """The resources that have a note of one kind."""
    end = f".{kind}.json"
    return sorted(path.name.removesuffix(end) for path in notes.glob(f"*{end}"))


def blocked_by_note(host: Host) -> list[str]:
    """Resources whose failed verification is written down here and not yet in the document."""
    return noted(host.settings.notes, "out-of-sync")
