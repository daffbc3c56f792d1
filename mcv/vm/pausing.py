"""Pause and resume: a guest stands still and goes on, on its owner; no document is changed."""

import time

from mcv.document.model import Vm
from mcv.document.subject import Subject
from mcv.errors import HypervisorFailed, Refused
from mcv.host import Host
from mcv.rules import preconditions
from mcv.vm.answers import VmState

AGAIN = 1.0  # s in which a guest whose disk still fails stands still again


def pause(host: Host, name: str) -> VmState:
    """Let a guest stand still, its memory and its disks kept open.

    Raises Refused unless the VM runs here, or while an operation has claimed it.
    """
    with host.hold(Subject.vm(name), f"pause {name}"):
        _require_state(host, _unclaimed(host, name), "running")
        host.domains.pause(name)
    return VmState(name=name, node=host.name, state="paused")


def resume(host: Host, name: str) -> VmState:
    """Let a guest that stands still go on: paused by an operator, or when a disk failed.

    Raises Refused for a copy that lost the VM, and for an arrival of a migration: both the
    document and the proposal have to give the VM to this node, unclaimed. Raises
    HypervisorFailed where the guest stands still again at once.
    """
    host.consensus.require_contact()
    with host.hold(Subject.vm(name), f"resume {name}"):
        _require_state(host, _unclaimed(host, name), "paused")
        host.domains.resume(name)
        time.sleep(AGAIN)
        if host.domains.state(name) == "paused":
            raise HypervisorFailed(
                f"{name} stood still again at once: its disk still fails, or has no room.",
                f"See: mcv info {name}, and /var/log/libvirt/qemu/{name}.log on {host.name}",
            )
    return VmState(name=name, node=host.name, state="running")


def _unclaimed(host: Host, name: str) -> Vm:
    vm = preconditions.owned(host.both(), host.name, name)
    preconditions.unclaimed(host.both(), host.job.id, name)
    preconditions.unlocked(vm)
    return vm


def _require_state(host: Host, vm: Vm, wanted: str) -> None:
    """Raises Refused unless the VM's domain is in that state; the hint leads on from its own."""
    state = host.domains.state(vm.name)
    if state == wanted:
        return
    if state == "paused":
        raise Refused(f"{vm.name} is paused already.", f"mcv resume {vm.name}")
    if state == "running":
        raise Refused(f"{vm.name} is running already.")
    preconditions.no_foreign(host.name, host.domains.foreign(vm.name))
    raise Refused(f"{vm.name} does not run on {host.name}.", f"mcv start {vm.name}")
