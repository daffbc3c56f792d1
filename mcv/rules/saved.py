"""Saved states: may a guest's saved memory be restored, and may a VM change while it has one.

A saved state (virsh managedsave, or libvirt-guests suspending) fits the disks of the moment in
which it was made. Every change of owner and every change of what the disks hold raises the VM's
incarnation, and the mark in a domain's XML carries it: memory of another incarnation is old.
"""

from collections.abc import Mapping

from mcv.document.generation import Value
from mcv.document.model import Vm
from mcv.errors import Refused
from mcv.rules.finding import Finding, Severity

SAVED = "saved"  # the state of a domain that is off and whose next start restores its memory
DISCARD = "--discard-saved"


class SavedState(Value, frozen=True, kw_only=True):
    """The saved memory of a domain: of which incarnation of its VM; None: it cannot be read."""

    incarnation: int | None


def is_old(vm: Vm, state: SavedState) -> bool:
    """Whether memory does not fit the VM's disks any more, or nobody can tell."""
    return state.incarnation != vm.incarnation


def why_not_restore(vm: Vm, incarnation: int | None) -> Refused | None:
    """What forbids to restore memory of an incarnation; None where it is the present one."""
    if incarnation == vm.incarnation:
        return None
    return _old(vm, vm.node)


def why_not_start(vm: Vm, state: SavedState | None, discard: bool) -> Refused | None:
    """What a saved state on the owner forbids about a start, which restores it."""
    if state is None or discard:
        return None
    return why_not_restore(vm, state.incarnation)


def why_not_change(vm: Vm, states: Mapping[str, SavedState | None], discard: bool) -> list[Refused]:
    """What forbids a change of a VM's disks, place or definition: a saved state on some node."""
    if discard:
        return []
    return [
        _old(vm, node) if node != vm.node or is_old(vm, state) else _present(vm, node)
        for node, state in states.items()
        if state is not None
    ]


def _present(vm: Vm, node: str) -> Refused:
    return Refused(
        f"{vm.name} is saved on {node}: its memory would be lost.",
        f"Start it: mcv start {vm.name}; or give its memory up: {DISCARD}",
    )


def _old(vm: Vm, node: str) -> Refused:
    return Refused(
        f"The saved state of {vm.name} on {node} is old: it does not fit the disks any more.",
        f"It can only be given up: {DISCARD}",
    )


# What is wrong?


def old_here(vm: Vm, node: str) -> Finding:
    """The owner holds memory that is never restored."""
    return Finding(
        severity=Severity.ERROR,
        message=_old(vm, node).message,
        hint=f"mcv start {vm.name} {DISCARD}",
    )
