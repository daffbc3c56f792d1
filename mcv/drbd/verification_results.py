"""What verifications came to, written down: in the document, or in a note until that can be."""

import logging
import time

from mcv.document.disks import DrbdDisk, Verification
from mcv.document.model import Vm
from mcv.drbd import notes, verification_monitor
from mcv.drivers.drbd_states import ReplicationState
from mcv.errors import McvError, Refused
from mcv.host import Host
from mcv.system.answers import plain
from mcv.timestamps import seconds, timestamp

log = logging.getLogger(__name__)

LATE = 60.0  # seconds after a verification's end in which a handler's note is about it
STOP = 15.0  # seconds that the kernel has to end a verification


def under_way(host: Host) -> set[str]:
    """The VMs of which this daemon verifies a disk now, or is about to."""
    return set(host.verifying)


def record(host: Host, vm: Vm, disk: DrbdDisk, result: Verification) -> None:
    """Write a verification's beginning or its end into the document."""
    host.update_beside(
        "vm.verified",
        f"verify {vm.name}: {result.result}",
        name=vm.name,
        disk=disk.id,
        verification=plain(result),
    )


def record_end(host: Host, vm: Vm, disk: DrbdDisk, result: Verification) -> None:
    """Write an end down. What is not clean is told even where that fails.

    A finding blocks by a note until the document says it; one that was interrupted reads so
    as it is, and `conclude` writes it down. Raises McvError for a clean one, which counts in
    the document alone.
    """
    directory = host.settings.notes
    _tell(host, vm, disk, result)
    if result.result == "out-of-sync":
        values = {"out_of_sync": result.out_of_sync, "who": result.who, "seconds": result.seconds}
        notes.write(directory, disk.resource, notes.OUT_OF_SYNC, when=result.when, **values)
    try:
        record(host, vm, disk, result)
    except McvError as error:
        if result.result == "clean":
            raise type(error)(
                f"{vm.name} disk {disk.id} is clean, which could not be written down: "
                f"{error.message}",
                error.hint,
                error.problems,
            ) from error
        log.warning("the verification of %s is written down later: %s", vm.name, error)
        return
    notes.remove(directory, disk.resource, notes.OUT_OF_SYNC)


def _tell(host: Host, vm: Vm, disk: DrbdDisk, result: Verification) -> None:
    """Note the end as an event: whoever asked for it may be the system's cron, or a handler."""
    found = f" ({result.out_of_sync} bytes)" if result.out_of_sync else ""
    host.tell(f"verification of disk {disk.id}", vm.name, f"found {result.result}{found}")


def conclude(host: Host) -> None:
    """One round of the daemon's loop: write down what notes say, and what was cut off."""
    _pick_up_notes(host)
    for vm in host.read().vms.values():
        if vm.node != host.name or vm.name in under_way(host):
            continue
        try:
            close(host, vm)
        except McvError as error:
            log.info("the interrupted verification of %s: %s", vm.name, error)


def close(host: Host, vm: Vm) -> None:
    """Say of a verification that began, and has neither end nor job, that it was interrupted.

    The kernel may be at it still, for a daemon that is gone: it is stopped. What it has found
    up to here counts, as far as that can be told from what was written while the replicas
    were apart.
    """
    for disk in vm.replicated:
        old = disk.verification
        if old.result != "running" or _is_another_s(host, disk):
            continue
        _stop(host, disk)
        found = verification_monitor.found_by_now(host, disk)
        result = Verification(
            result="out-of-sync" if found else "interrupted",
            when=timestamp(),
            who=old.who,
            out_of_sync=found,
            operation=old.operation,
        )
        record_end(host, vm, disk, result)


def _is_another_s(host: Host, disk: DrbdDisk) -> bool:
    """Whether the other node verifies: the VM has moved here since, and it tells the end."""
    status = host.drbd.status(disk.resource)
    return status is not None and status.replication is ReplicationState.VERIFY_T


def _stop(host: Host, disk: DrbdDisk) -> None:
    """End what the kernel still does for a verification that nobody waits for."""
    until = time.monotonic() + STOP
    while (status := host.drbd.status(disk.resource)) is not None and status.is_verifying:
        if time.monotonic() > until:
            raise McvError(f"The kernel does not end the verification of {disk.resource}.")
        host.drbd.verification.stop(disk.resource)
        time.sleep(0.2)
    if status is not None:
        verification_monitor.give_rate_back(host, disk)


def _pick_up_notes(host: Host) -> None:
    """Write into the document what a handler or a failed recording left on this node.

    The kernel calls the handler on both sides, some time after the verification has ended:
    what the document says of that verification, or of a later one, ends its note.
    """
    cluster = host.read()
    for resource in notes.blocked(host.settings.notes):
        try:
            vm, disk = cluster.by_resource(resource)
        except Refused:
            notes.remove(host.settings.notes, resource, notes.OUT_OF_SYNC)
            continue
        # A verification that is under way ends by itself, or is closed by the VM's owner.
        running = disk.verification.result == "running"
        if vm.name in under_way(host) or (running and vm.node != host.name):
            continue
        try:
            _write_down(host, vm, disk)
        except McvError as error:
            log.warning("the failed verification of %s stays in a note: %s", vm.name, error)
            continue
        notes.remove(host.settings.notes, resource, notes.OUT_OF_SYNC)


def _write_down(host: Host, vm: Vm, disk: DrbdDisk) -> None:
    note = notes.read(host.settings.notes, disk.resource, notes.OUT_OF_SYNC) or {}
    old = disk.verification
    if old.result != "running" and is_settled(old, str(note.get("when", ""))):
        return
    began_here = old.result == "running"
    if began_here:
        _stop(host, disk)
    result = Verification(
        result="out-of-sync",
        when=str(note.get("when") or timestamp()),
        who=str(note.get("who") or (old.who if began_here else "kernel")),
        out_of_sync=int(note.get("out_of_sync", 0))
        or verification_monitor.found_by_now(host, disk),
        seconds=float(note.get("seconds", 0)),
    )
    record(host, vm, disk, result)
    _tell(host, vm, disk, result)


def is_settled(last: Verification, noted: str) -> bool:
    """Whether a note about a finding is covered by what the document says.

    A failed verification covers the notes of its own end, which come some seconds late; a
    clean one covers those that are older.
    """
    if not last.when or not noted:
        return False
    late = seconds(noted) - seconds(last.when)
    return late <= (LATE if last.result == "out-of-sync" else 0)
