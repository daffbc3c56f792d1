"""Reboot: the guest is asked, on its owner; no document is changed."""

import time
from collections.abc import Iterator

from mcv.document.subject import Subject
from mcv.errors import Cancelled, DoneInPart, Refused
from mcv.host import Host
from mcv.rules import preconditions
from mcv.vm import power
from mcv.vm.answers import VmState


def reboot(host: Host, name: str, wait: bool = False, timeout: float | None = None) -> VmState:
    """Ask the guest to reboot; with wait, until it has been reset, at most timeout seconds.

    The state is "running" for a guest that was asked, "rebooted" for one that was reset.
    Raises Refused unless the VM runs, or while an operation has claimed it: a guest that moves
    meanwhile would end on the other node. Raises DoneInPart where it is not known to have been
    reset.
    """
    _require_running(host, name)
    with host.domains.resets.watched(name) as looks:
        with host.hold(Subject.vm(name), f"reboot {name}"):
            _require_running(host, name)
            host.domains.resets.reboot(name)
        if not wait:
            return VmState(name=name, node=host.name, state=host.domains.state(name))
        try:
            _wait_for_reset(host, name, looks, timeout)
        except Cancelled:
            raise DoneInPart(
                f"{name} was asked to reboot and is waited for no longer; it may still do so.",
                f"See: mcv info {name}",
            ) from None
    return VmState(name=name, node=host.name, state="rebooted")


def _require_running(host: Host, name: str) -> None:
    """Raises Refused where the guest of a VM cannot hear, or nobody may ask it now."""
    vm = preconditions.owned(host.both(), host.name, name)
    preconditions.unclaimed(host.both(), host.job.id, name)
    preconditions.unlocked(vm)
    if not host.domains.is_active(name):
        preconditions.no_foreign(host.name, host.domains.foreign(name))
        raise Refused(f"{name} does not run on {host.name}.", f"mcv start {name}")
    state = host.domains.state(name)
    if state == "paused":
        raise Refused(
            f"{name} is paused, so its guest hears nothing.", preconditions.resume_or_stop(name)
        )
    if state != "running":
        raise Refused(f"{name} is {state}, so its guest hears nothing.", f"mcv reset {name}")


def _wait_for_reset(host: Host, name: str, looks: Iterator[bool], timeout: float | None) -> None:
    """Wait until a guest that was asked has been reset. Raises DoneInPart where that is open."""
    job = host.job
    began = time.monotonic()
    job.progress(f"waiting for {name} to reboot")
    with job.may_be_cancelled():
        for has_reset in looks:
            if has_reset:
                return
            job.check_cancelled()
            if power.has_ended(host, name):
                raise _ended(host, name)
            if timeout is not None and time.monotonic() - began > timeout:
                raise DoneInPart(
                    f"{name} was asked to reboot and has not within {timeout:g} s: its guest has "
                    "neither an agent nor ACPI, or is still shutting down.",
                    f"Ask it again: mcv reboot {name}; or press the reset button: mcv reset {name}",
                )
    raise DoneInPart(
        f"{name} was asked to reboot, and then libvirtd went away on {host.name}: "
        "whether it has is not known.",
        f"See: mcv info {name}",
    )


def _ended(host: Host, name: str) -> DoneInPart:
    vm = host.read().vms.get(name)
    if vm is not None and vm.node != host.name:
        return DoneInPart(
            f"{name} was asked to reboot and has moved to {vm.node} before it had.",
            f"See: mcv info {name}",
        )
    return DoneInPart(f"{name} was asked to reboot and has ended instead.", f"mcv start {name}")
