"""Start, stop, shutdown and reset: on the owner, under the VM's lock, no document changed."""

import logging
import time
from collections.abc import Callable

from msgspec.structs import replace

from mcv import storage, wanted
from mcv.document.model import Vm
from mcv.document.subject import Subject
from mcv.errors import (
    Cancelled,
    CommandFailed,
    DoneInPart,
    HypervisorFailed,
    LibvirtSilent,
    McvError,
    OutcomeOpen,
    Refused,
)
from mcv.host import DryRun, Host
from mcv.network import tags
from mcv.rules import preconditions
from mcv.system import stall
from mcv.vm import (
    boot_files,
    bootable,
    definition,
    open_disks,
    overrides,
    run_notes,
    start_permit,
)
from mcv.vm.answers import Stopped, VmState

log = logging.getLogger(__name__)

POLL = 0.5


def start(
    host: Host,
    name: str,
    ignore_verify: bool = False,
    discard_saved: bool = False,
    without_overlay: bool = False,
    dry_run: bool = False,
) -> VmState | DryRun:
    """Start a VM on its owner: promote its disks, then boot it, or restore its saved memory.

    What high availability manages is wanted started from then on; the document says so first.
    `without_overlay`: this once its domain is mcv's alone.

    Raises Refused, with everything that stands in the way, when the VM is claimed, locked,
    running, one of its disks may not be written here, or its saved memory is old.
    """
    how = (ignore_verify, discard_saved, dry_run)
    return start_if(host, name, lambda: True, *how, without_overlay=without_overlay, is_word=True)


def start_if(
    host: Host,
    name: str,
    is_wanted: Callable[[], bool],
    ignore_verify: bool = False,
    discard_saved: bool = False,
    dry_run: bool = False,
    patience: float = 60,
    without_overlay: bool = False,
    is_word: bool = False,
) -> VmState | DryRun:
    """As `start`, where it is wanted still under the VM's lock; Busy without it in `patience` s.

    `is_word`: an operator has said so.
    """
    host.consensus.require_contact()
    preconditions.staying(host.name, host.is_leaving)
    with host.hold(Subject.vm(name), f"start {name}", timeout=patience):
        vm = preconditions.owned(host.both(), host.name, name)
        preconditions.unclaimed(host.both(), host.job.id, name)
        preconditions.unlocked(vm)
        preconditions.startable(host.read(), host.name, name)
        if not is_wanted():
            raise Refused(f"{name} is not to start by itself any more.")
        if host.domains.is_active(name):
            state = host.domains.state(name)
            hint = f"mcv resume {name}" * (state == "paused")
            raise Refused(f"{name} is {state} already.", hint)
        preconditions.no_foreign(host.name, host.domains.foreign(name))
        open_disks.require_ended(host, vm)
        if without_overlay:
            vm = replace(vm, overlay="")
        memory = bootable.require(host, vm, ignore_verify, discard_saved)
        if dry_run:
            return DryRun(plan=bootable.in_words(host, vm, memory, discard_saved))
        if is_word:
            wanted.say(host, name, "started")
        if ignore_verify:
            overrides.record(host, vm, "start")
        boot(host, vm, ignore_verify, discard_saved)
    restored = memory is not None and not discard_saved
    return VmState(name=name, node=host.name, state="running", restored=restored)


def boot(host: Host, vm: Vm, ignore_verify: bool = False, discard_saved: bool = False) -> None:
    """Promote the disks and start the domain; what was promoted is demoted on failure."""
    tags.bring_up(host, vm)
    definition.define_for_start(host, vm)
    with definition.overlay_named(vm), run_notes.around_start(host, vm.name):
        try:
            for disk in vm.disks:
                if not disk.leaving:
                    storage.of(disk).open(host)
            boot_files.write_out(host, vm)
            # The definition may have waited long for libvirt.
            preconditions.owned(host.both(), host.name, vm.name)
            if discard_saved:
                host.domains.saved.discard(vm.name)
            permit = bootable.permit(host, vm, ignore_verify)
            with start_permit.given(host.settings.notes, vm.uuid, permit):
                host.domains.start(vm.name)
        except (LibvirtSilent, OutcomeOpen):
            raise  # libvirt may start it yet; the loop closes the disks where it does not
        except McvError:
            demote(host, vm)
            raise


def require_stopped(host: Host, name: str) -> None:
    """Raises Refused while the VM's domain is active here, or anything has its disks open."""
    preconditions.stopped(name, host.domains.is_active(name), host.domains.state(name))
    open_disks.require_closed(host, host.read().vm(name))


def close(host: Host, vm: Vm) -> None:
    """Close the disks of a VM whose domain has just ended.

    Raises DoneInPart where anything keeps a disk open. The daemon's loop closes that disk as
    soon as it can be closed.
    """
    demote(host, vm)
    try:
        holding = open_disks.holders(host, vm)
    except CommandFailed as error:
        message = f"{vm.name} is stopped. Whether its disks are closed is not known: "
        raise DoneInPart(f"{message}{error.message}", error.hint) from error
    if holding:
        raise open_disks.done_but_open(host, vm, holding)


def demote(host: Host, vm: Vm) -> None:
    """Close the disks after a domain has ended; a disk that fails to close is left for the loop."""
    for disk in vm.disks:
        try:
            storage.of(disk).close(host)
        except McvError as error:
            log.warning("closing disk %d of %s: %s", disk.id, vm.name, error)


def stop(host: Host, name: str, node: str | None = None, keeps_wanted: bool = False) -> Stopped:
    """Pull the plug of a VM on its owner; with node, give up a copy that lost it there.

    Such a copy runs, stands still, or is saved. A VM that is not active, and is to start again
    by itself, does not do so any more. An operation that has claimed the VM does not hold the
    stop up, and is told of. What high availability manages is not wanted from then on, unless
    the stop is none of an operator's (`keeps_wanted`); without a majority that is noted here.
    """
    vm = host.read().vm(name)
    if node is not None and vm.node == node:
        raise Refused(f"{name} belongs to {node}: it is no copy.", f"mcv stop {name}")
    meanwhile = preconditions.under_way(host.both(), host.job.id, name)
    if meanwhile:
        host.job.progress(meanwhile)
    with host.hold(Subject.vm(name), f"stop {name}"):
        is_active = host.domains.is_active(name)
        is_saved_copy = node is not None and host.domains.saved.of(name) is not None
        if not is_active:
            open_disks.require_ended(host, vm)
        is_word = node is None and not keeps_wanted
        is_waited = is_word and wanted.is_started(host, name)
        is_due = run_notes.read(host, name) is not None
        if not (is_active or is_saved_copy or is_waited or is_due):
            _require_active(host, name)
        preconditions.unlocked(vm)
        _say_stopped(host, name, is_word)
        run_notes.remove(host, name)
        _pull_plug(host, vm)
        if node is not None:
            host.domains.undefine(name)
        close(host, vm)
    return Stopped(name=name, node=host.name, state="stopped", meanwhile=meanwhile)


def _say_stopped(host: Host, name: str, is_word: bool) -> None:
    """Tell the document first what an operator wants; where that must wait, tell who waits."""
    if is_word and (note := wanted.say_or_note(host, name, "stopped")):
        host.job.progress(note)


def _require_active(host: Host, name: str, hint: str = "") -> None:
    """Raises Refused unless the VM's own domain is active here."""
    if host.domains.is_active(name):
        return
    preconditions.no_foreign(host.name, host.domains.foreign(name))
    raise Refused(f"{name} does not run on {host.name}.", hint)


def _pull_plug(host: Host, vm: Vm) -> None:
    """End the VM's domain. Raises DoneInPart where its QEMU outlives the signal that ends it."""
    try:
        host.domains.stop(vm.name)
    except HypervisorFailed as error:
        emulators = open_disks.emulators(host, vm)
        if not emulators:
            raise
        raise open_disks.done_but_open(host, vm, emulators) from error


def shutdown(
    host: Host,
    name: str,
    wait: bool = False,
    timeout: float | None = None,
    keeps_wanted: bool = False,
) -> VmState:
    """Ask the guest to shut down; with wait, until it has, at most timeout seconds.

    What high availability manages is not wanted from then on, as with `stop`.
    """
    vm = host.read().vm(name)
    preconditions.unlocked(vm)
    _require_active(host, name)
    if host.domains.state(name) == "paused":
        raise Refused(
            f"{name} is paused, so its guest hears nothing.", preconditions.resume_or_stop(name)
        )
    _say_stopped(host, name, not keeps_wanted)
    run_notes.write(host, name, asked=time.time())
    host.domains.shutdown(name)
    if not wait:
        return VmState(name=name, node=host.name, state=host.domains.state(name))
    try:
        has_ended = wait_for_end(host, name, timeout)
    except Cancelled:
        raise DoneInPart(
            f"{name} was asked to shut down and is waited for no longer; it may still end.",
            f"See: mcv info {name}",
        ) from None
    if not has_ended:
        raise DoneInPart(
            f"{name} was asked to shut down and has not within {timeout:g} s; it may still end.",
            f"Ask it again: mcv shutdown {name}; or pull the plug: mcv stop {name}",
        )
    with host.hold(Subject.vm(name), f"shutdown {name}"):
        if not host.domains.is_active(name):
            run_notes.remove(host, name)
            close(host, vm)
    return VmState(name=name, node=host.name, state="stopped")


def wait_for_end(host: Host, name: str, timeout: float | None, how: str = "") -> bool:
    """Wait until a domain has ended; False when it has not within timeout seconds.

    `how` is told with the progress: what has to be done for it to end.
    """
    job = host.job
    began = time.monotonic()
    job.progress(f"waiting for {name} to shut down{how}")
    with job.may_be_cancelled():
        while not has_ended(host, name):
            job.check_cancelled()
            if timeout is not None and time.monotonic() - began > timeout:
                return False
            time.sleep(POLL)
    return True


def has_ended(host: Host, name: str) -> bool:
    """Whether a domain that is waited for has ended; False, and told, while libvirt is silent."""
    try:
        is_active = host.domains.is_active(name)
    except LibvirtSilent as silent:
        stall.tell(silent.message)
        return False
    stall.tell("")
    return not is_active


def reset(host: Host, name: str) -> VmState:
    """Press the reset button; a paused guest stands still afterwards, too, as `state` says."""
    vm = host.read().vm(name)
    preconditions.unlocked(vm)
    with host.hold(Subject.vm(name), f"reset {name}"):
        _require_active(host, name, f"mcv start {name}")
        host.domains.reset(name)
        state = host.domains.state(name)
    return VmState(name=name, node=host.name, state=state)


# Steps of plans: the dispatcher holds the lock and has checked the claim.


def power_on(host: Host, name: str, ignore_verify: bool = False) -> None:
    """Start a VM as the last part of a creation or a move: as `start`; harmless when it runs."""
    preconditions.staying(host.name, host.is_leaving)
    vm = preconditions.owned(host.both(), host.name, name)
    if host.domains.is_active(name):
        return
    preconditions.no_foreign(host.name, host.domains.foreign(name))
    bootable.require(host, vm, ignore_verify)
    try:
        boot(host, vm, ignore_verify)
    except HypervisorFailed as error:
        hint = error.hint or f"Start it, when that is mended: mcv start {name}"
        raise HypervisorFailed(error.message, hint, error.problems) from error
