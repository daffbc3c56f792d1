"""Verification: the kernel compares both replicas; what it finds blocks until it is mended."""

import logging
import threading
import time
from typing import Any

from mcv.clock import seconds, timestamp
from mcv.drbd import health
from mcv.errors import McvError, OutOfSync, Refused, refuse_all
from mcv.host import Host
from mcv.model import Disk, Result, Verification, Vm, plain
from mcv.vm import require

log = logging.getLogger(__name__)

LATE = 60.0  # seconds after a verification's end in which a handler's note is about it

_running: dict[str, threading.Event] = {}
_results: dict[str, list[dict[str, Any]] | McvError] = {}
_guard = threading.Lock()


def verify(host: Host, name: str) -> list[dict[str, Any]]:
    """Verify every disk of a VM and wait; the result is in the document when this returns.

    One that is under way is joined. Raises Refused where the replicas are not connected and
    UpToDate. The answer holds a row for each disk; `result` is clean, out-of-sync or
    interrupted, and an interrupted one lifts no mark.
    """
    key = f"{host.name}/{name}"
    with _guard:
        under_way = _running.get(key)
        if under_way is None:
            _running[key] = threading.Event()
    if under_way is not None:
        host.job.progress(f"joining the verification of {name} that is under way")
        under_way.wait()
        joined = _results[key]
        if isinstance(joined, McvError):
            raise joined
        return joined
    try:
        _results[key] = McvError(f"The verification of {name} was cut off.")
        require_verifiable(host, name)
        with _slot(host):
            rows = _results[key] = _verify_all(host, require_verifiable(host, name))
        return rows
    except McvError as error:
        _results[key] = error
        raise
    finally:
        with _guard:
            _running.pop(key).set()


def _slot(host: Host) -> threading.Semaphore:
    """A place among the verifications that mcv.conf lets run at once on this node."""
    with _guard:
        slots: threading.Semaphore = host.extra.setdefault(
            "verify slots", threading.BoundedSemaphore(host.settings.verify_at_once)
        )
        return slots


def under_way(host: Host, name: str) -> bool:
    with _guard:
        return f"{host.name}/{name}" in _running


def require_verifiable(host: Host, name: str) -> Vm:
    host.agreed.touch.require()
    vm = require.owned(host, name)
    require.unclaimed(host, vm)
    if not vm.disks:
        raise Refused(f"{name} has no disk.")
    problems = []
    for disk in vm.disks:
        status = host.drbd.status(disk.resource)
        if status is None or not status.connected:
            problems.append(
                Refused(f"The replicas of {name} are not connected.", "See: mcv drbd list")
            )
        elif status.disk != "UpToDate" or status.peer_disk != "UpToDate":
            problems.append(
                Refused(
                    f"The replicas of {name} are {status.disk} and {status.peer_disk}.",
                    f"Wait for the resync, or: mcv resync {name}",
                )
            )
    refuse_all(problems)
    return vm


def _verify_all(host: Host, vm: Vm) -> list[dict[str, Any]]:
    rows = []
    for disk in vm.disks:
        began = time.monotonic()
        _record(host, vm, disk, Verification(result="running", when=timestamp(), who=host.job.who))
        finished, out_of_sync = _watch(host, vm, disk)
        took = round(time.monotonic() - began, 1)
        if out_of_sync > 0:
            health.write_note(
                host.settings.notes,
                disk.resource,
                "out-of-sync",
                when=timestamp(),
                out_of_sync=out_of_sync,
            )
        result: Result = "out-of-sync" if out_of_sync else "clean" if finished else "interrupted"
        _record(
            host,
            vm,
            disk,
            Verification(
                result=result,
                when=timestamp(),
                who=host.job.who,
                out_of_sync=out_of_sync,
                seconds=took,
                operation=host.job.id,
            ),
        )
        health.remove_note(host.settings.notes, disk.resource, "out-of-sync")
        rows.append(
            {
                "vm": vm.name,
                "disk": disk.id,
                "result": result,
                "out_of_sync": out_of_sync,
                "seconds": took,
            }
        )
    return rows


def _record(host: Host, vm: Vm, disk: Disk, result: Verification) -> None:
    host.update(
        "vm.verified",
        f"verify {vm.name}: {result.result}",
        name=vm.name,
        disk=disk.id,
        verification=plain(result),
    )


def _watch(host: Host, vm: Vm, disk: Disk) -> tuple[bool, int]:
    """Run one verification; whether it came to its end, and the bytes out of sync.

    The stream of events is opened before the verification, so that one that is over at
    the first look counts. It came to its end if VerifyS was followed by Established with
    the connection and the disks unchanged all along.
    """
    with host.drbd.events(disk.resource) as events:
        host.drbd.set_rate(disk.resource, host.read().drbd.verify_rate)
        host.drbd.verify(disk.resource)
        ticker = threading.Event()
        threading.Thread(target=_tick, args=(host, vm, disk, ticker), daemon=True).start()
        try:
            finished = ended_well(events)
        finally:
            ticker.set()
            _back_to_file(host, disk)
    status = host.drbd.status(disk.resource)
    return finished, status.out_of_sync if status else 0


def _back_to_file(host: Host, disk: Disk) -> None:
    """Give the rate back to resyncs; where that fails now, the next adjust does it."""
    try:
        host.drbd.adjust(disk.resource)
    except McvError as error:
        log.warning("adjusting %s: %s", disk.resource, error)


def ended_well(events: Any) -> bool:
    """Read events up to the verification's end; whether nothing else happened on the way."""
    began = False
    for event in events:
        if event.connection not in (None, "Connected") or event.verb == "destroy":
            return False
        if event.disk not in (None, "UpToDate") or event.peer_disk not in (None, "UpToDate"):
            return False
        if event.replication in ("VerifyS", "VerifyT"):
            began = True
        elif event.replication is not None and began:
            return bool(event.replication == "Established")
    return False


def _tick(host: Host, vm: Vm, disk: Disk, stop: threading.Event) -> None:
    """Tell the job how far the kernel is, once a second."""
    job = host.job
    while not stop.wait(0.5):
        try:
            status = host.drbd.status(disk.resource)
        except McvError:
            continue
        if status and status.done is not None:
            what = f"verify {vm.name}" + (f" disk {disk.id}" if len(vm.disks) > 1 else "")
            job.progress(what, disk.size * status.done / 100, disk.size, "B")


def complain(rows: list[dict[str, Any]]) -> None:
    """Raise OutOfSync, one problem a disk, unless every row is clean."""
    bad = [row for row in rows if row["result"] != "clean"]
    if not bad:
        return
    said = [
        (
            f"{row['vm']} disk {row['disk']}: {row['result']}, {row['out_of_sync']} bytes",
            f"mcv resync {row['vm']}"
            if row["result"] == "out-of-sync"
            else f"mcv verify {row['vm']}",
        )
        for row in bad
    ]
    raise OutOfSync(f"{len(bad)} of {len(rows)} disks did not verify clean.", "", said)


def pick_up_notes(host: Host) -> None:
    """Write into the document what a handler or a failed recording left on this node.

    The kernel calls the handler on both sides, some time after the verification has ended:
    what the document says of that verification, or of a later one, settles its note.
    """
    cluster = host.read()
    for resource in health.noted(host.settings.notes, "out-of-sync"):
        try:
            vm, disk = cluster.by_resource(resource)
        except Refused:
            health.remove_note(host.settings.notes, resource, "out-of-sync")
            continue
        if under_way(host, vm.name) or disk.verification.result == "running":
            continue
        note = health.read_note(host.settings.notes, resource, "out-of-sync") or {}
        if not is_settled(disk.verification, str(note.get("when", ""))):
            status = host.drbd.status(resource)
            found = max(status.out_of_sync if status else 0, int(note.get("out_of_sync", 0)))
            result = Verification(
                result="out-of-sync", when=timestamp(), who="kernel", out_of_sync=found
            )
            try:
                _record(host, vm, disk, result)
            except McvError as error:
                log.warning("the failed verification of %s stays in a note: %s", vm.name, error)
                continue
        health.remove_note(host.settings.notes, resource, "out-of-sync")


def is_settled(last: Verification, noted: str) -> bool:
    """Whether a note about a finding is covered by what the document says.

    A failed verification covers the notes of its own end, which come some seconds late; a
    clean one covers those that are older.
    """
    if not last.when or not noted:
        return False
    late = seconds(noted) - seconds(last.when)
    return late <= (LATE if last.result == "out-of-sync" else 0)
