"""Saved states: may a guest's saved memory be restored, and may a VM change while it has one.

A saved state (virsh managedsave, or libvirt-guests suspending) fits the disks of the moment in
which it was made. Every change of owner and every change of what the disks hold raises the VM's
incarnation, and the mark in a domain's XML carries it: memory of another incarnation is old.
"""

from collections.abc import Mapping

from mcv.document.model import Vm
from mcv.drivers.domain_reading import SavedState
from mcv.errors import Refused
from mcv.rules.finding import Finding, Severity

DISCARD = "--discard-saved"

States = Mapping[str, SavedState | None]  # by node; None where there is none


def is_old(vm: Vm, node: str, state: SavedState) -> bool:
    """Whether memory on a node does not fit the VM's disks any more, or nobody can tell."""
    return node != vm.node or state.incarnation != vm.incarnation


def why_not_restore(vm: Vm, incarnation: int | None) -> Refused | None:
    """What forbids to restore memory of an incarnation on the owner; None where nothing does."""
    state = SavedState(incarnation=incarnation)
    return _old(vm, vm.node, state) if is_old(vm, vm.node, state) else None


def why_not_start(vm: Vm, state: SavedState | None, discard: bool) -> Refused | None:
    """What a saved state on the owner forbids about a start, which restores it."""
    if state is None or discard:
        return None
    return why_not_restore(vm, state.incarnation)


def why_not_change(vm: Vm, states: States, discard: bool, by: str = DISCARD) -> list[Refused]:
    """What forbids a change of a VM's disks, place or definition: a saved state on some node.

    `by` is what gives the memory up: a flag of the command, or another command.
    """
    if discard:
        return []
    return [
        _old(vm, node, state, by) if is_old(vm, node, state) else _present(vm, node, by)
        for node, state in states.items()
        if state is not None
    ]


def by_a_start(vm: Vm) -> str:
    """The command that gives saved memory up, for commands that do not."""
    return f"mcv start {vm.name} {DISCARD}"


def _present(vm: Vm, node: str, by: str) -> Refused:
    return Refused(
        f"{vm.name} is saved on {node}: the memory of its guest would be lost.",
        f"Let it go on with: mcv start {vm.name}; or give that memory up with: {by}",
    )


def _old(vm: Vm, node: str, state: SavedState, by: str = DISCARD) -> Refused:
    why = (
        "cannot be read"
        if state.incarnation is None
        else "is old: its memory does not fit the disks any more"
    )
    return Refused(f"The saved state of {vm.name} on {node} {why}.", f"Give it up with: {by}")


# What is wrong?


def finding(vm: Vm, node: str, state: SavedState) -> Finding:
    """What there is to say of a saved state on a node: a note where its memory can go on."""
    if not is_old(vm, node, state):
        return Finding(
            severity=Severity.NOTE,
            message=f"{vm.name} is saved on {node}, and goes on there with its memory.",
            hint=f"mcv start {vm.name}",
        )
    give_up = f"mcv start {vm.name} {DISCARD}" if node == vm.node else stop_copy(vm, node)
    return Finding(
        severity=Severity.ERROR if node == vm.node else Severity.WARNING,
        message=_old(vm, node, state).message,
        hint=give_up,
    )


def stop_copy(vm: Vm, node: str) -> str:
    """The command by which a copy that lost, and its memory, are given up."""
    return f"mcv stop {vm.name} --on {node}"
