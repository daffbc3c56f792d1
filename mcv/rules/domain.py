"""What is wrong with where a VM's domain is: the words that list, info and check share."""

from collections.abc import Sequence

from mcv.document.model import Vm
from mcv.drivers.libvirt_identity import ForeignDomain
from mcv.errors import (
    McvError,
    NotMember,
    NotThatNode,
    NotUnderstood,
    Refused,
    SlowAnswer,
)
from mcv.rules.finding import Finding, Severity

ACTIVE = ("running", "paused")


def not_defined(vm: Vm) -> Finding:
    return Finding(
        severity=Severity.ERROR,
        message=f"{vm.name} is not defined on {vm.node}, its owner.",
        hint=f"mcv register {vm.name}",
    )


def not_started(vm: Vm, why: str) -> Finding:
    """The VM is to start with its node, and the last attempt failed."""
    return Finding(
        severity=Severity.ERROR,
        message=f"{vm.name} is to start again on {vm.node}, and cannot yet: {why}",
        hint=f"mcv start {vm.name}, or leave it stopped: mcv stop {vm.name}",
    )


def unverified(vm: Vm, since: str) -> Finding:
    """No verification of the VM has ended for two periods."""
    return Finding(
        severity=Severity.WARNING,
        message=f"{vm.name} has not been verified since {since}.",
        hint=f"mcv verify {vm.name}; on {vm.node}: systemctl status mcv-verify.timer",
    )


def no_room(vm: Vm, problem: str) -> Finding:
    """The owner can write nothing down, and no change is made without it."""
    return Finding(
        severity=Severity.WARNING,
        message=f"{problem} on {vm.node}: {vm.name} can be started, stopped, "
        "paused and resumed, and nothing can be changed.",
        hint=f"make room on {vm.node}: df -h",
    )


def crashed(vm: Vm) -> Finding:
    """The VM's QEMU ended, or never began, by no order; told until the next start."""
    return Finding(
        severity=Severity.WARNING,
        message=f"{vm.name} crashed on {vm.node}: its QEMU was killed, or ended by itself.",
        hint=f"see /var/log/libvirt/qemu/{vm.name}.log on {vm.node}; then: mcv start {vm.name}",
    )


def paused(vm: Vm, after_io_error: bool, full: Sequence[str] = ()) -> Finding:
    """The VM's guest stands still on its owner; `full` says which pools have no room."""
    if not after_io_error:
        return Finding(
            severity=Severity.NOTE,
            message=f"{vm.name} is paused on {vm.node}.",
            hint=f"mcv resume {vm.name}",
        )
    if full:
        return Finding(
            severity=Severity.ERROR,
            message=f"{vm.name} is paused on {vm.node}: {', '.join(full)}.",
            hint=f"make room there; then: mcv resume {vm.name}",
        )
    return Finding(
        severity=Severity.ERROR,
        message=f"{vm.name} is paused on {vm.node}, since a disk of it failed or is full.",
        hint=f"see dmesg on {vm.node}; when the disk is well again: mcv resume {vm.name}",
    )


def elsewhere(vm: Vm, node: str, state: str) -> Finding:
    """A domain of the VM's name on a node that does not own the VM."""
    is_active = state in ACTIVE
    return Finding(
        severity=Severity.ERROR,
        message=f"{vm.name} is {state if is_active else 'defined'} on {node}, "
        f"but belongs to {vm.node}.",
        hint=f"mcv stop {vm.name} --on {node}" if is_active else "mcv cluster check --fix",
    )


def foreign(vm: Vm, node: str, domain: ForeignDomain) -> Finding:
    """A domain with the VM's name or UUID that is not the VM's: mcv leaves it alone."""
    refusal = why_foreign(node, domain)
    lost = f", so {vm.name} cannot {'start' if node == vm.node else 'move'} there."
    return Finding(
        severity=Severity.ERROR if node == vm.node else Severity.WARNING,
        message=refusal.message.removesuffix(".") + lost if node in vm.nodes else refusal.message,
        hint=refusal.hint,
    )


def why_foreign(node: str, domain: ForeignDomain) -> Refused:
    """Why a VM has no place beside a foreign domain of its name or UUID, and what helps."""
    name, state = domain.name, domain.state
    if not domain.marked:
        return Refused(
            f"A domain {name} that is not mcv's is {state} on {node}.",
            f"On {node}, when it is off: virsh domrename {name} NEW",
        )
    return Refused(
        f"A domain {name} with another UUID, of a former VM, is {state} on {node}.",
        f"On {node}, when it is off: virsh undefine {name}",
    )


def owner_offline(vm: Vm) -> Finding:
    other = vm.other(vm.node)
    takeover = f", or take it over: mcv register {vm.name} --node {other}" * (other != vm.node)
    return Finding(
        severity=Severity.WARNING,
        message=f"{vm.name} belongs to {vm.node}, which is offline.",
        hint=f"bring {vm.node} back{takeover}",
    )


def owner_diverged(vm: Vm) -> Finding:
    """The owner holds another document, so neither side takes the VM over or changes it."""
    return Finding(
        severity=Severity.ERROR,
        message=f"{vm.name} belongs to {vm.node}, which holds another document.",
        hint="mcv cluster sync --from NODE",
    )


def owner_silent(vm: Vm, error: McvError) -> Finding:
    """The owner is online in the document, and no report of it arrived."""
    message = error.message
    if isinstance(error, SlowAnswer):
        message = f"{vm.node} is slow, so the state of {vm.name} is unknown."
    elif not isinstance(error, NotUnderstood | NotMember | NotThatNode):
        message = f"{vm.node} does not answer, so the state of {vm.name} is unknown."
    return Finding(severity=Severity.ERROR, message=message, hint=error.hint)


def unknown(vm: Vm) -> Finding:
    return Finding(
        severity=Severity.ERROR,
        message=f"libvirt does not answer on {vm.node}, so the state of {vm.name} is unknown.",
        hint=f"on {vm.node}: systemctl status libvirtd",
    )


def unfinished(why: str, operation: str) -> Finding:
    return Finding(
        severity=Severity.WARNING,
        message=f"{why} is unfinished.",
        hint=f"mcv job wait {operation}, mcv repair",
    )
