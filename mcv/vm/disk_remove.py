"""Taking a disk from a VM: its guest lets go first, and only then its volume goes."""

import contextvars
import logging
import time

from mcv.document.disks import BOOT_ROLES, Disk
from mcv.document.model import Vm
from mcv.document.subject import Subject
from mcv.errors import Busy, DoneInPart, LibvirtSilent, McvError, NotFound, Refused, refuse_all
from mcv.host import DryRun, Host, Prepared
from mcv.rules import disk_bus, preconditions
from mcv.transaction.plan import readable
from mcv.vm import disks
from mcv.vm.disk_answers import DiskRemoved
from mcv.vm.disk_plans import leave_plan, remove_plan
from mcv.vm.validation import Problems

log = logging.getLogger(__name__)

PATIENCE = 30.0  # s that a removal waits for the daemon's loop, which does the same
POLL = 0.1


def remove(
    host: Host, name: str, disk: int, keep: bool = False, dry_run: bool = False
) -> DiskRemoved | DryRun:
    """Take a disk from a VM, with its volume unless that is kept.

    While the VM runs the document says first that the disk is leaving; then its guest is asked.
    Raises DoneInPart where the guest does not let go: the disk goes when the guest stops.
    """

    def prepare() -> Prepared[DiskRemoved]:
        return _prepared(host, name, disk, keep)

    answer = host.operate(Subject.vm(name), f"remove disk {disk} of {name}", prepare, dry_run)
    if not dry_run and name in host.read().vms:
        _finish_now(host, name, disk)
    return answer


def _prepared(host: Host, name: str, disk: int, keep: bool) -> Prepared[DiskRemoved]:
    problems = Problems()
    vm = disks.changeable(host, name, problems)
    known = vm.disk(disk)
    try:
        preconditions.unprotected(vm)
    except Refused as problem:
        problems.found.append(problem)
    problems.found += _why_stays(host, vm, known)
    is_attached = known.target in host.domains.disks.targets(name)
    problems.found += disk_bus.why_not_plugged(vm, known, is_attached, "removed")
    problems.found += _where_offline(host, known)
    refuse_all(problems.found)
    answer = DiskRemoved(name=name, disk=disk, kept=[known.volume] if keep else [])
    rest = remove_plan(vm, known, keep)
    if not is_attached:
        return Prepared(rest, answer)

    def preview(plan: list[str]) -> DryRun:
        return DryRun(plan=[*plan, *readable(rest)[1:]])

    return Prepared(leave_plan(vm, known, keep), answer, preview)


def _why_stays(host: Host, vm: Vm, disk: Disk) -> list[Refused]:
    """Why a disk that the guest does not see stays: a kernel goes while its VM is stopped."""
    if disk.role not in BOOT_ROLES:
        return disks.why_fixed(vm, disk)
    if not host.domains.is_active(vm.name):
        return []
    return [
        Refused(
            f"Disk {disk.id} of {vm.name} holds the {disk.role} it runs with.",
            f"First: mcv shutdown {vm.name} --wait",
        )
    ]


def _where_offline(host: Host, disk: Disk) -> list[Refused]:
    found = []
    for node in sorted(disk.places):
        try:
            preconditions.online(host.read(), node)
        except Refused as problem:
            found.append(problem)
    return found


def _finish_now(host: Host, name: str, disk: int) -> None:
    """Remove a disk that its guest has let go of; DoneInPart where a part of it has to wait."""
    if all(known.id != disk for known in host.read().vm(name).disks):
        return
    try:
        _finish_or_wait(host, name, disk)
    except McvError as error:
        raise DoneInPart(
            f"{name} has no disk {disk} any more, and its volume is not gone yet: {error.message}",
            error.hint or f"It goes by itself; see: mcv disk list {name}",
        ) from error


def _finish_or_wait(host: Host, name: str, disk: int) -> None:
    """Finish, unless the daemon's loop has begun to: between two claims it may be the first."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            # An operation of its own: its changes are counted from the beginning.
            return contextvars.Context().run(finish, host, name, disk)
        except (Busy, NotFound):
            vm = host.read().vms.get(name)
            if vm is None or all(known.id != disk for known in vm.disks):
                return None
            if time.monotonic() > until:
                raise
        time.sleep(POLL)


def finish(host: Host, name: str, disk: int) -> None:
    """Remove a leaving disk that no guest has, under a claim of its own.

    Errors: Refused and Busy, nothing was changed; as Host.operate.
    """

    def prepare() -> Prepared[DiskRemoved]:
        problems = Problems()
        vm = disks.changeable(host, name, problems)
        known = vm.disk(disk)
        if known.target in host.domains.disks.targets(name):
            problems.found += disk_bus.why_leaving(vm, known)
        problems.found += _where_offline(host, known)
        refuse_all(problems.found)
        return Prepared(
            remove_plan(vm, known, known.keep), DiskRemoved(name=name, disk=disk, kept=[])
        )

    host.operate(Subject.vm(name), f"remove disk {disk} of {name}", prepare)


def reconcile(host: Host) -> None:
    """Remove the disks that were leaving and that no guest has any more; a round of the loop."""
    for vm in list(host.read().vms.values()):
        if vm.node != host.name or vm.claim is not None:
            continue
        for disk in vm.disks:
            if disk.leaving:
                _finish_by_itself(host, vm, disk)


def _finish_by_itself(host: Host, vm: Vm, disk: Disk) -> None:
    try:
        if disk.target not in host.domains.disks.targets(vm.name):
            finish(host, vm.name, disk.id)
    except (Busy, Refused, LibvirtSilent) as error:
        log.debug("disk %d of %s: %s", disk.id, vm.name, error)
    except McvError as error:
        log.warning("disk %d of %s: %s", disk.id, vm.name, error)
