"""Live migration: a VM moves while it runs, and runs on one side at any instant."""

import logging
import threading
import time
from collections.abc import Sequence
from typing import Any

from mcv import sizes
from mcv.document.model import Vm
from mcv.document.subject import Subject
from mcv.drivers.libvirt_identity import FOREIGN
from mcv.drivers.migration_xml import MovedDisks
from mcv.errors import Cancelled, HypervisorFailed, LibvirtSilent, McvError, Refused, refuse_all
from mcv.host import DryRun, Host, Prepared
from mcv.rules import preconditions
from mcv.storage import copy_notes
from mcv.system import stall
from mcv.vm import (
    arrivals,
    as_it_runs,
    copies,
    live_storage,
    migration_tunnel,
    overrides,
    run_notes,
)
from mcv.vm.answers import Moved
from mcv.vm.live_progress import Speed, tell
from mcv.vm.migrate import only_place, require_movable
from mcv.vm.plans import live_plan

log = logging.getLogger(__name__)

POLL = 0.25
LEFT_OVER = 60.0  # seconds for what an earlier call began to come to its end
LEAST = 1024**2  # bytes a second, as fine as libvirt keeps it


def migrate(
    host: Host,
    name: str,
    to: str | None = None,
    bandwidth: str | None = None,
    ignore_verify: bool = False,
    discard_saved: bool = False,
    dry_run: bool = False,
    keeps_home: bool = False,
) -> Moved | DryRun:
    """Move a VM that runs, without a stop longer than the last of its memory takes.

    Raises Refused, with all that stands in the way; Failed when it was begun and undone: then
    it runs on where it was, or has ended there.
    """
    to = to or only_place(host, name)
    rate = 0 if bandwidth is None else _rate(bandwidth)

    def prepare() -> Prepared[Moved]:
        vm = _require_sendable(host, name, to, ignore_verify, discard_saved, keeps_home)
        disk_moves = copies.to_node(host, vm, to)
        plan = [
            *overrides.steps(host, vm, "migrate", ignore_verify),
            *live_plan(
                vm,
                to,
                rate,
                discard_saved,
                disk_moves,
                pools=copies.new_pools(host, vm, disk_moves),
                exact=live_storage.guest_sizes(host, vm),
                keeps_home=keeps_home,
                overlay=as_it_runs.other_overlay(host, vm),
            ),
        ]
        return Prepared(plan, Moved(name=name, node=to, started=True))

    return host.operate(Subject.vm(name), f"migrate {name} to {to}, live", prepare, dry_run)


def _rate(bandwidth: str) -> int:
    rate = sizes.parse(bandwidth.removesuffix("/s"), "bandwidth")
    if rate < LEAST:
        raise Refused(f"{bandwidth} is too little to migrate with.", "At least: 1MiB")
    return rate


def _require_sendable(
    host: Host, name: str, to: str, ignore_verify: bool, discard_saved: bool, keeps_home: bool
) -> Vm:
    vm = host.read().vm(name)
    problems: list[Refused] = []
    state = host.domains.state(name) if vm.node == host.name else "running"
    if state != "running":
        shown = "stopped" if state in ("absent", FOREIGN) else state
        offline = f"mcv migrate --node {to} {name}"
        problems.append(
            Refused(
                f"{name} is {shown}, and only a VM that runs moves online.",
                preconditions.resume_or_stop(name) if state == "paused" else offline,
            )
        )
    try:
        vm = require_movable(
            host,
            name,
            to,
            ignore_verify,
            may_run=True,
            live=state == "running",
            discard_saved=discard_saved,
            keeps_home=keeps_home,
        )
    except Refused as problem:
        problems.append(problem)
    if state == "running" and vm.node == host.name:
        problems += as_it_runs.why_not_move(host, vm, to)
    refuse_all(problems)
    return vm


# Steps of the plan: the dispatcher holds the lock and has checked the claim.


def send(
    host: Host, name: str, to: str, bandwidth: int = 0, disks: Sequence[dict[str, Any]] = ()
) -> None:
    """Send the domain; when this returns it has ended here, and may stand still over there.

    `disks` are entries of local disks as they are over there, which go along. Harmless when the
    domain has ended here. If it failed, the domain runs on here: it has not run anywhere else,
    since `resume_target` comes after this.
    """
    _end_what_is_left(host, name)
    if not host.domains.is_active(name):
        migration_tunnel.clear(name)
        return
    if host.domains.state(name) == "paused":
        host.domains.resume(name)
        raise HypervisorFailed(f"The migration of {name} was cut off; it runs on here.")
    _require_not_cancelled(host, name)
    try:
        entries = live_storage.entries(disks)
        mirrored = live_storage.mirrored(entries)
        with migration_tunnel.opened(host, name, to, with_disks=bool(mirrored)) as way:
            moved = live_storage.moved(host, name, entries, to, way.disks)
            # libvirt gives the limit to each disk; together they keep to it.
            limit = bandwidth // max(1, len(mirrored))
            sending = _Sending(host, name, way.libvirt, way.memory, limit, moved)
            _follow(host, name, to, sending)
    except McvError:
        if not host.domains.is_active(name):
            return
        resume_source(host, name)
        raise


def resume_source(host: Host, name: str) -> None:
    """Let a domain that was being sent run on here; harmless when it does, or has ended."""
    _end_what_is_left(host, name)
    if host.domains.state(name) == "paused":
        host.domains.resume(name)


class _Sending:
    """libvirt's call, which lasts as long as the migration, in a thread of its own."""

    def __init__(
        self,
        host: Host,
        name: str,
        uri: str,
        memory: str,
        bandwidth: int,
        disks: MovedDisks | None,
    ) -> None:
        self.error: McvError | None = None
        proven = live_storage.is_proven_shared(host.read().vm(name))
        self._arguments = (name, uri, memory, bandwidth, disks, proven)
        self._migration = host.domains.migration
        self._thread = threading.Thread(target=self._run, name=f"send-{name}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._migration.send(*self._arguments)
        except McvError as error:
            self.error = error
        except Exception as error:
            self.error = HypervisorFailed(f"Could not migrate {self._arguments[0]}: {error}.")

    def is_over(self, seconds: float) -> bool:
        self._thread.join(seconds)
        return not self._thread.is_alive()


def _follow(host: Host, name: str, to: str, sending: _Sending) -> None:
    """Tell how far it is until it is over; a cancel ends it."""
    job, speed = host.job, Speed()
    with job.may_be_cancelled(waits=False):
        while not sending.is_over(POLL):
            try:
                if job.cancelled.is_set():
                    host.domains.migration.abort(name)
                movement = host.domains.migration.movement(name)
            except LibvirtSilent as silent:
                stall.tell(silent.message)
                continue
            except HypervisorFailed as error:
                # A look that fails cuts nothing off: the sending tells by itself how it ends.
                log.info("%s", error)
                continue
            if movement is not None and movement.total:
                tell(host, f"migrate {name} to {to}", movement, speed.of(movement))
    if host.domains.is_active(name):
        _require_not_cancelled(host, name)
    if sending.error is not None:
        raise sending.error
    if host.domains.is_active(name):
        raise HypervisorFailed(f"libvirt ended the migration of {name} and said nothing.")


def _require_not_cancelled(host: Host, name: str) -> None:
    """Raises Cancelled where an operator has cancelled the migration. Precondition: it is here."""
    if host.job.cancelled.is_set():
        raise Cancelled(f"it was cancelled, and {name} runs on {host.name}.")


def _end_what_is_left(host: Host, name: str) -> None:
    """End what libvirt still does of an earlier call: its way led through a daemon that is gone."""
    until = time.monotonic() + LEFT_OVER
    while host.domains.migration.movement(name) is not None:
        host.domains.migration.abort(name)
        if time.monotonic() > until:
            raise HypervisorFailed(f"libvirt still migrates {name}.", f"virsh domjobabort {name}")
        time.sleep(POLL)


def resume_target(host: Host, name: str) -> None:
    """Let the arrival go on, now that it has ended where it was; harmless when it runs.

    A domain whose memory has not arrived whole never runs: libvirt takes it away when its source
    is gone. With local disks it is noted first, for the volumes here are newer from then on.
    """
    if not host.domains.is_active(name) and _was_resumed(host, name):
        return  # by an earlier call; it has ended since
    until = time.monotonic() + LEFT_OVER
    while host.domains.migration.movement(name) is not None and time.monotonic() < until:
        time.sleep(POLL)
    if not host.domains.is_active(name) or host.domains.migration.movement(name) is not None:
        raise Refused(f"{name} did not arrive on {host.name}.", f"mcv start {name}")
    run_notes.write(host, name)
    _resume_noted(host, name)
    try:
        _forget_arrival(host, name)
    except McvError as error:  # it runs, and the note goes when the claim is over
        log.warning("the note of the arrival of %s: %s", name, error)


def _resume_noted(host: Host, name: str) -> None:
    """Resume an arrival. Where libvirt refuses, nothing says that it was resumed."""
    copy_notes.keep(host, name)
    arrivals.mark_resumed(host, name)
    try:
        host.domains.resume(name)
    except LibvirtSilent:
        raise  # it may do so yet
    except HypervisorFailed:
        if host.domains.state(name) != "running":
            arrivals.mark_resumed(host, name, resumed=False)
        raise


def has_arrived(host: Host, name: str) -> bool:
    """Whether a domain that was sent here was resumed here.

    A disk that failed may have paused it since, and with local disks this host may have gone
    down since.
    """
    if host.domains.state(name) == "running" or arrivals.was_resumed(host, name):
        return True
    return host.domains.is_active(name) and _was_resumed(host, name)


def _was_resumed(host: Host, name: str) -> bool:
    """Whether the notes tell that an arrival was resumed: it runs in this boot, and is awaited
    no more. An earlier version noted neither. With local disks a note outlives a boot.
    """
    if arrivals.was_resumed(host, name):
        return True
    note = run_notes.read(host, name)
    is_of_this_boot = note is not None and note.boot == host.observations.boot
    return is_of_this_boot and not arrivals.is_noted(host, name)


def discard_target(host: Host, name: str) -> None:
    """Forget an arrival that has never run here; harmless when there is none."""
    if has_arrived(host, name):
        raise Refused(f"{name} has run on {host.name} since it arrived.")
    host.domains.stop(name)
    if host.domains.saved.of(name) is None:
        host.domains.undefine(name)
    run_notes.remove(host, name)
    _forget_arrival(host, name)


def _forget_arrival(host: Host, name: str) -> None:
    arrivals.forget(host, name)
    migration_tunnel.clear(name)
