"""What ran when this host went down runs again: notes kept, and starts made by the daemon.

Within one boot of the host nothing is started: a guest that crashed, or that somebody
stopped, stays as it is, and a restart of mcvd starts nothing. In the first boot after the
host went down the notes decide.
"""

import contextlib
import logging
import time
from enum import Enum, auto
from pathlib import Path

from mcv.document.ha_entry_changes import entry_of
from mcv.document.model import Vm
from mcv.document.subject import Subject
from mcv.errors import Busy, McvError, Unreadable
from mcv.host import Host
from mcv.rules.domain import ACTIVE
from mcv.system import files, stall
from mcv.system.attempts import StartAttempt
from mcv.system.event_log import outcome
from mcv.vm import power, run_notes
from mcv.vm.run_notes import AT_NEXT_BOOT

log = logging.getLogger(__name__)

RETRY = 10.0  # s between two attempts to start a VM
PATIENCE = 1.0  # s that a start waits for the VM's lock: the VMs behind it wait as long


def look_after(host: Host) -> None:
    """One round of the daemon's loop: make the notes agree with what runs, then start a VM."""
    _mark_boot(host)
    keep_notes(host)
    start_due(host)


# The notes


def keep_notes(host: Host) -> None:
    """Note what runs without a note; void the notes of what ended here, or belongs elsewhere.

    A claimed VM is left alone: its plan carries the note.
    """
    names = sorted({*run_notes.noted(host), *_owned(host)})
    states = host.domains.states().vms if names else {}
    for name in names:
        if _deed(host, name, states.get(name) in ACTIVE) is Deed.KEEP:
            continue
        try:
            with host.hold(Subject.vm(name), f"look after the note of {name}", timeout=0):
                _settle(host, name)
        except Busy as error:
            log.debug("%s: %s", name, error)
        except McvError as error:
            log.warning("the note of %s: %s", name, error)


def _owned(host: Host) -> dict[str, Vm]:
    """The VMs that this node owns by both documents, and that no operation has claimed."""
    documents = host.both()
    return {
        name: vm
        for name, vm in documents[0].vms.items()
        if all(
            name in cluster.vms
            and cluster.vms[name].node == host.name
            and cluster.vms[name].claim is None
            for cluster in documents
        )
    }


def _is_foreign(host: Host, name: str) -> bool:
    """Whether no document gives the VM to this node, and none has it claimed."""
    entries = [cluster.vms[name] for cluster in host.both() if name in cluster.vms]
    return all(vm.node != host.name and vm.claim is None for vm in entries)


class Deed(Enum):
    """What is to become of a VM's note."""

    KEEP = auto()
    WRITE = auto()
    REMOVE = auto()


def _deed(host: Host, name: str, is_active: bool) -> Deed:
    """What is to become of the note of a VM that is active here, or is not.

    A guest that crashed was not stopped on purpose, and neither was a guest that ended while
    the whole host goes down: their notes stay.
    """
    note = run_notes.read(host, name)
    if _is_foreign(host, name):
        return Deed.KEEP if note is None else Deed.REMOVE
    vm = _owned(host).get(name)
    if vm is None:
        return Deed.KEEP
    is_of_this_boot = note is not None and note.boot == host.observations.boot
    if is_active:
        is_right = note is not None and is_of_this_boot and not _has_ignored(host, note)
        return Deed.KEEP if is_right else Deed.WRITE
    if note is None:
        return Deed.KEEP
    if not is_of_this_boot:
        return Deed.REMOVE if note.asked or vm.autostart == "no" else Deed.KEEP
    is_not_on_purpose = host.domains.has_crashed(name) or host.is_going_down()
    return Deed.KEEP if is_not_on_purpose else Deed.REMOVE


def _has_ignored(host: Host, note: run_notes.RunNote) -> bool:
    """Whether the guest was asked to shut down and runs on long after."""
    return bool(note.asked) and time.time() - note.asked > host.settings.shutdown_timeout


def _settle(host: Host, name: str) -> None:
    """Bring the note of a VM into line, under the VM's lock."""
    deed = _deed(host, name, host.domains.is_active(name))
    if deed is Deed.WRITE:
        run_notes.write(host, name)
    elif deed is Deed.REMOVE:
        log.info("%s does not start again by itself on %s", name, host.name)
        run_notes.remove(host, name)


# The starts


def _mark_boot(host: Host) -> None:
    """Once for each boot, in contact, note the VMs that start with their node anyhow."""
    if not host.consensus.in_contact:
        return
    path = host.settings.notes / "boot"
    marked = _marked_boot(path)
    if marked == host.observations.boot:
        return
    starting = [name for name, vm in _owned(host).items() if vm.autostart == "yes"]
    for name in starting if marked is not None else ():
        note = run_notes.read(host, name)
        if note is None or note.asked:
            run_notes.write_due(host, name)
    with contextlib.suppress(OSError, McvError):  # no room: it is tried again in the next round
        files.write_atomically(path, host.observations.boot)


def _marked_boot(path: Path) -> str | None:
    """The boot that was marked last; None where there is no mark that can be read."""
    try:
        return files.read_or_none(path)
    except Unreadable as error:
        files.set_aside(path, error.message)
        return None


def due(host: Host) -> list[Vm]:
    """The VMs that are to be started since the host came up, in the order of their start."""
    waiting = [vm for vm in _owned(host).values() if _is_due(host, vm)]
    return sorted(waiting, key=lambda vm: (vm.start_order, vm.name))


def _is_due(host: Host, vm: Vm) -> bool:
    """What high availability looks after, it starts itself."""
    cluster = host.read()
    entry = entry_of(cluster, vm.name)
    if cluster.ha.armed and entry is not None and entry.wanted != "ignored":
        return False
    note = run_notes.read(host, vm.name)
    if note is None or note.asked or note.boot == host.observations.boot:
        return False
    return vm.autostart == "yes" or (vm.autostart == "last" and note.boot != AT_NEXT_BOOT)


def start_due(host: Host) -> None:
    """Start the VMs that are due, each `start_delay` seconds after the VM before it.

    A VM that cannot be started holds up no other: its reason is kept for `mcv list`, and the
    start is tried again.
    """
    waiting = due(host)
    _forget_attempts(host, waiting)
    for vm in waiting:
        now = time.monotonic()
        attempt = host.start_attempts.get(vm.name)
        if attempt is not None and now < attempt.at + RETRY:
            continue
        if now < host.next_start or host.is_going_down():
            return
        if _started(host, vm):
            host.next_start = time.monotonic() + vm.start_delay


def _forget_attempts(host: Host, waiting: list[Vm]) -> None:
    names = {vm.name for vm in waiting}
    for name in set(host.start_attempts) - names:
        host.start_attempts.pop(name, None)


def _started(host: Host, vm: Vm) -> bool:
    """Start a VM; False where it is not possible now, and the reason is kept."""
    try:
        # A start that libvirt hangs in goes on, under the VM's lock, and holds up no other.
        stall.until_stalled(
            lambda: power.start_if(host, vm.name, lambda: _is_due(host, vm), patience=PATIENCE),
            f"start {vm.name}",
        )
    except McvError as error:
        before = host.start_attempts.get(vm.name)
        host.start_attempts[vm.name] = StartAttempt(at=time.monotonic(), why=_why(error))
        if before is None or before.why != _why(error):
            log.warning("%s ran when %s went down and cannot start: %s", vm.name, host.name, error)
            host.tell("autostart", vm.name, outcome(error))
        return False
    except Exception:
        # The VMs behind it have their turn, whatever is wrong with this start.
        log.exception("starting %s", vm.name)
        why = "an internal error; see journalctl -u mcvd"
        host.start_attempts[vm.name] = StartAttempt(at=time.monotonic(), why=why)
        return False
    host.start_attempts.pop(vm.name, None)
    log.info("%s runs again, as it did when %s went down", vm.name, host.name)
    host.tell("autostart", vm.name)
    return True


def _why(error: McvError) -> str:
    """An error and its problems in a line, without the hints."""
    return " ".join([error.message, *(message for message, _ in error.problems)])
