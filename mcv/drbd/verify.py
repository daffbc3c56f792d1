"""Verification: the kernel compares both replicas; what it finds blocks until it is mended."""

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

from mcv.document.disks import DrbdDisk, Result, Verification
from mcv.document.model import Vm
from mcv.drbd import verification_results
from mcv.drbd.verification_monitor import End, watch
from mcv.errors import McvError, Refused, refuse_all
from mcv.host import Host
from mcv.rules import preconditions
from mcv.system.shared_work import SharedWork
from mcv.timestamps import timestamp

POLL = 0.5  # seconds between two looks whether a wait is over, or cancelled

_guard = threading.Lock()


# A verification under way: a second caller joins it.
UnderWay = SharedWork[list[dict[str, Any]]]


def verify(host: Host, name: str) -> list[dict[str, Any]]:
    """Verify every disk of a VM and wait; the result is in the document when this returns.

    A verification that is under way is joined. Raises Refused where the replicas are not
    connected and UpToDate. The answer holds a row for each disk; `result` is clean, out-of-sync or
    interrupted, and an interrupted one lifts no mark.
    """
    with _guard:
        other = host.verifying.get(name)
        mine: UnderWay = host.verifying.setdefault(name, SharedWork())
    if other is not None:
        return _joined(host, name, other)
    try:
        require_verifiable(host, name)
        with _turn(host, name):
            mine.result = _verify_all(host, require_verifiable(host, name))
        return mine.result
    except McvError as error:
        mine.error = error
        raise
    finally:
        with _guard:
            del host.verifying[name]
        mine.over.set()


def _joined(host: Host, name: str, other: UnderWay) -> list[dict[str, Any]]:
    job = host.job
    job.progress(f"joining the verification of {name} that is under way")
    with job.may_be_cancelled(waits=False):
        while not other.over.wait(POLL):
            job.check_cancelled()
    if other.error is not None:
        raise other.error
    return other.result or []


@contextlib.contextmanager
def _turn(host: Host, name: str) -> Iterator[None]:
    """A place among the verifications that mcv.conf lets run at once on this node."""
    job = host.job
    slots = host.verify_slots
    if not slots.acquire(blocking=False):
        limit = f"verify_at_once = {host.settings.verify_at_once}"
        job.progress(f"waiting to verify {name}: {limit} on {host.name}")
        with job.may_be_cancelled(waits=False):
            while not slots.acquire(timeout=POLL):
                job.check_cancelled()
    try:
        yield
    finally:
        slots.release()


def require_verifiable(host: Host, name: str) -> Vm:
    host.consensus.require_contact()
    vm = preconditions.with_disks(host.both(), host.name, host.job.id, name)
    verification_results.close(host, vm)
    refuse_all([problem for disk in vm.replicated for problem in _why_not(host, vm, disk)])
    return vm


def _why_not(host: Host, vm: Vm, disk: DrbdDisk) -> Iterator[Refused]:
    status = host.drbd.status(disk.resource)
    if status is None or not status.connected:
        yield Refused(f"The replicas of {vm.name} are not connected.", "See: mcv drbd list")
    elif not status.both_up_to_date:
        yield Refused(
            f"The replicas of {vm.name} are {status.disk} and {status.peer_disk}.",
            f"Wait for the resync, or: mcv resync {vm.name}",
        )
    elif status.is_verifying:
        yield Refused(
            f"A verification of {disk.resource} is under way that mcv did not begin.",
            "See how far it is: mcv drbd list",
        )


def _verify_all(host: Host, vm: Vm) -> list[dict[str, Any]]:
    """Verify one disk after the other; after a cancel those that are left are not begun."""
    rows = []
    for disk in vm.replicated:
        result: Verification | None = None
        if not host.job.cancelled.is_set():
            result = _verified(host, vm, disk)
        rows.append(
            {
                "vm": vm.name,
                "disk": disk.id,
                "result": result.result if result else "interrupted",
                "out_of_sync": result.out_of_sync if result else 0,
                "seconds": result.seconds if result else 0.0,
            }
        )
    return rows


def _verified(host: Host, vm: Vm, disk: DrbdDisk) -> Verification:
    """Verify one disk, its beginning and its end written down."""
    job = host.job
    running = Verification(result="running", when=timestamp(), who=job.who, operation=job.id)
    verification_results.record(host, vm, disk, running)
    began = time.monotonic()
    try:
        end = watch(host, vm, disk)
    except McvError:
        _write_end(host, vm, disk, End(finished=False, found=0), began)
        raise
    return _write_end(host, vm, disk, end, began)


def _write_end(host: Host, vm: Vm, disk: DrbdDisk, end: End, began: float) -> Verification:
    result: Result = "out-of-sync" if end.found else "clean" if end.finished else "interrupted"
    written = Verification(
        result=result,
        when=timestamp(),
        who=host.job.who,
        out_of_sync=end.found,
        seconds=round(time.monotonic() - began, 1),
        operation=host.job.id,
    )
    verification_results.record_end(host, vm, disk, written)
    return written


def verify_disk(host: Host, vm: Vm, disk: DrbdDisk) -> Verification:
    """Verify a disk for an operation that claims its VM; the result is in the document then.

    Errors: McvError where the verification cannot begin, or its end cannot be written down.
    """
    with _guard:
        own = host.verifying.setdefault(vm.name, SharedWork())
    try:
        with _turn(host, vm.name):
            return _verified(host, vm, disk)
    finally:
        with _guard:
            if host.verifying.get(vm.name) is own:
                del host.verifying[vm.name]
        own.over.set()
