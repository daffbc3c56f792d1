"""What every change of the document has in common: its name, and the claim that it needs."""

from collections.abc import Callable
from typing import TypeVar

from msgspec.structs import replace

from mcv.document.claim import Claim
from mcv.document.generation import ChangeMade
from mcv.document.ha_entries import Service
from mcv.document.model import Cluster, Node, Vm
from mcv.document.pools import Image, Pool
from mcv.errors import Busy

Function = Callable[..., Cluster]
Claimable = TypeVar("Claimable", Vm, Node, Pool, Image, Service)
CHANGES: dict[str, Function] = {}


def change(name: str) -> Callable[[Function], Function]:
    """Register a function as the change of that name.

    A name that has landed is never given another meaning: every member computes the change.
    """

    def register(function: Function) -> Function:
        CHANGES[name] = function
        return function

    return register


def operation_of(made: ChangeMade) -> str:
    """A change's id is its operation's and the step's number."""
    return made.id.partition(".")[0]


def new_claim(base: Cluster, made: ChangeMade, why: str) -> Claim:
    """The claim that a change sets: its number is the generation which the change makes."""
    return Claim(
        operation=operation_of(made),
        node=made.node,
        epoch=base.epoch.number,
        generation=base.generation + 1,
        why=why,
        since=made.when,
    )


def claimed(base: Cluster, made: ChangeMade, name: str, entry: Claimable, why: str) -> Claimable:
    """An entry with this operation's claim; Busy while another operation has claimed it."""
    if entry.claim is not None and entry.claim.operation != operation_of(made):
        raise busy(name, entry.claim)
    return replace(entry, claim=new_claim(base, made, why))


def released(made: ChangeMade, entry: Claimable | None) -> Claimable | None:
    """An entry without this operation's claim; None where the entry, or that claim, is gone."""
    if entry is None or entry.claim is None or entry.claim.operation != operation_of(made):
        return None
    return replace(entry, claim=None)


def require_claim(base: Cluster, made: ChangeMade, name: str) -> Vm:
    """Owner and definition change only under the claim of the operation that changes them."""
    vm = base.vm(name)
    if vm.claim is None or vm.claim.operation != operation_of(made):
        raise Busy(f"{name} is not claimed by this operation any more.", "See: mcv locks list")
    return vm


def busy(name: str, claim: Claim) -> Busy:
    """The error for a subject that another operation has claimed."""
    return Busy(
        f"{name} is busy: {claim.why}, on {claim.node} since {claim.since}.",
        f"Wait for it with: mcv job wait {claim.operation}",
    )
