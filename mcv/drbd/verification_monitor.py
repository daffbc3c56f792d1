"""One verification as the kernel runs it: how far it is, how it ends, what it finds."""

import contextlib
import logging
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mcv.document.disks import DrbdDisk
from mcv.document.model import Vm
from mcv.drivers.drbd_status import Event
from mcv.errors import McvError
from mcv.host import Host
from mcv.transaction.jobs import Job

log = logging.getLogger(__name__)

POLL = 1.0  # seconds between two looks at how far it is
TRIES = 3  # verifications that are begun, where nobody saw how the one before ended


@dataclass(frozen=True)
class End:
    """How a verification ended: whether at its end, and how many bytes it found to differ.

    `unseen`: the kernel's events were lost, so it may have finished, and nothing proves it.
    """

    finished: bool
    found: int
    unseen: bool = False


def watch(host: Host, vm: Vm, disk: DrbdDisk) -> End:
    """Verify a disk and wait for the end; a cancelled job ends it early.

    Two resources that change at once can make drbdsetup drop events (it takes the kernel's
    messages for lost where they come out of their order). A verification whose end was dropped
    is run again, up to TRIES times in all.
    """
    for left in reversed(range(TRIES)):
        end = _watch_once(host, vm, disk)
        if not end.unseen or end.found or not left or host.job.cancelled.is_set():
            break
        log.info("verifying %s once more: nobody saw how it ended", disk.resource)
    return end


def _watch_once(host: Host, vm: Vm, disk: DrbdDisk) -> End:
    """Run one verification; its events are read from before it begins, or it may end unseen."""
    job = host.job
    with host.drbd.verification.events(disk.resource) as events:
        try:
            _take_rate(host, disk)
            host.drbd.verification.start(disk.resource)
            with job.may_be_cancelled(waits=False), _told(host, job, vm, disk) as found:
                end = follow(events)
                while end.unseen and (again := _follow_again(host, disk, end)) is not None:
                    end = again
        finally:
            give_rate_back(host, disk)
    if not end.finished:
        # Its events may have been lost, and not the verification.
        found.append(found_by_now(host, disk))
    finished = end.finished and not job.cancelled.is_set()
    if finished:
        job.progress(_title(vm, disk), disk.size, disk.size, "B")
    return End(finished, max(end.found, *found), end.unseen)


def _follow_again(host: Host, disk: DrbdDisk, before: End) -> End | None:
    """Follow a verification whose events were lost and that is still under way; None otherwise.

    That it is proves that it was not cut off: the kernel goes on with none that was.
    """
    status = host.drbd.status(disk.resource)
    if status is None or not status.is_verifying:
        return None
    with host.drbd.verification.events(disk.resource) as events:
        end = follow(events, under_way=True)
    return End(end.finished, max(before.found, end.found), end.unseen)


def found_by_now(host: Host, disk: DrbdDisk) -> int:
    """The bytes that verifications found, while nothing was written without the other side."""
    status = host.drbd.status(disk.resource)
    tells = status is not None and status.connected and status.both_up_to_date
    return status.out_of_sync if status is not None and tells else 0


def follow(events: Iterable[Event], under_way: bool = False) -> End:
    """Read events up to the verification's end.

    It is finished if VerifyS was followed by Established, the connection and the disks
    unchanged all along. What was found is what the kernel said with these events: its
    counter of later may be less, after a resync, or more, after a lost connection.
    One that was under way before, and is not where the events begin, ended unseen.
    """
    began, found = False, 0
    for event in events:
        replication = event.replication
        began = began or (replication is not None and replication.is_verifying)
        if began:
            found = max(found, event.out_of_sync or 0)
        if _cuts_off(event):
            return End(False, found)
        if under_way and not began and event.ends_the_dump:
            break
        if began and replication is not None and not replication.is_verifying:
            return End(replication.is_established, found)
    return End(False, found, unseen=True)


def _cuts_off(event: Event) -> bool:
    return (
        event.verb == "destroy"
        or (event.connection is not None and not event.connection.is_connected)
        or any(
            disk is not None and not disk.is_up_to_date for disk in (event.disk, event.peer_disk)
        )
    )


def _take_rate(host: Host, disk: DrbdDisk) -> None:
    """DRBD has one rate for both, by its file that of resyncs."""
    rates = host.read().drbd
    if rates.verify_rate != rates.resync_rate:
        host.drbd.verification.set_rate(disk.resource, rates.verify_rate)


def give_rate_back(host: Host, disk: DrbdDisk) -> None:
    """Let resyncs run at their own rate again; where that fails, the next adjust does it."""
    rates = host.read().drbd
    if rates.verify_rate == rates.resync_rate:
        return
    try:
        host.drbd.verification.set_rate(disk.resource, rates.resync_rate)
    except McvError as error:
        log.warning("the resync rate of %s: %s", disk.resource, error)


@contextlib.contextmanager
def _told(host: Host, job: Job, vm: Vm, disk: DrbdDisk) -> Iterator[list[int]]:
    """While this lasts the job is told how far the kernel is, and the kernel of a cancel.

    Yields what the kernel has found meanwhile, in bytes, one look after the other: of a
    verification that loses its connection no event tells it.
    """
    over = threading.Event()
    found = [0]
    thread = threading.Thread(target=_tell, args=(host, job, vm, disk, over, found), daemon=True)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


def _tell(
    host: Host, job: Job, vm: Vm, disk: DrbdDisk, over: threading.Event, found: list[int]
) -> None:
    while not over.wait(POLL):
        try:
            if job.cancelled.is_set():
                host.drbd.verification.stop(disk.resource)
            status = host.drbd.status(disk.resource)
        except McvError as error:
            log.info("%s: %s", job.title, error)
            continue
        if status and status.is_verifying:
            found.append(status.out_of_sync)
        if status and status.done is not None:
            job.progress(_title(vm, disk), disk.size * status.done / 100, disk.size, "B")


def _title(vm: Vm, disk: DrbdDisk) -> str:
    return f"verify {vm.name}" + (f" disk {disk.id}" if len(vm.replicated) > 1 else "")
