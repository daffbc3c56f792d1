"""Overrides of a failed verification: each is in the document."""

from mcv import storage
from mcv.document.model import Vm
from mcv.host import Host
from mcv.transaction.plan import Item, Step, change


def steps(host: Host, vm: Vm, what: str, ignore_verify: bool) -> list[Item]:
    """Return the steps that record the override of a failed verification, if it failed."""
    if ignore_verify and storage.is_blocked(host, vm):
        return [Step(change("vm.override", name=vm.name, what=what))]
    return []


def record(host: Host, vm: Vm, what: str) -> None:
    """Record the override of a failed verification, if a verification failed."""
    if storage.is_blocked(host, vm):
        host.update_beside(
            "vm.override", f"{what} {vm.name} --ignore-verify", name=vm.name, what=what
        )
