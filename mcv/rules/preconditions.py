"""Preconditions of operations on a VM: values in; the VM, or a refusal in words, out.

`documents` are the committed document and, where there is one, the proposal, in this order: a
node acts on what both allow.
"""

from collections.abc import Sequence

from mcv.document.model import Cluster, Vm
from mcv.document.registry import busy
from mcv.drivers.domain_reading import SavedState
from mcv.drivers.libvirt_identity import ForeignDomain
from mcv.errors import Refused
from mcv.rules.domain import why_foreign

Documents = Sequence[Cluster]


def owned(documents: Documents, me: str, name: str) -> Vm:
    """The VM of the committed document. Raises Refused unless every document gives it to `me`."""
    for cluster in reversed(documents):
        vm = cluster.vm(name)
        if vm.node != me:
            raise Refused(f"{name} belongs to {vm.node}.", f"Ask there, or: mcv info {name}")
    return vm


def staying(me: str, is_leaving: bool) -> None:
    """Raises Refused on a node that is going down: it starts no VM any more."""
    if is_leaving:
        raise Refused(f"{me} is shutting down.")


def unclaimed(documents: Documents, operation: str, name: str) -> None:
    """Raises Busy where an operation other than `operation` has claimed the VM."""
    for cluster in documents:
        claim = cluster.vm(name).claim
        if claim is not None and claim.operation != operation:
            raise busy(name, claim)


def under_way(documents: Documents, operation: str, name: str) -> str:
    """In words, the operation that another has claimed the VM for, and what a stop makes of it."""
    claims = [cluster.vms[name].claim for cluster in documents if name in cluster.vms]
    claim = next((claim for claim in claims if claim is not None), None)
    if claim is None or claim.operation == operation:
        return ""
    return (
        f"{claim.why} is under way (job {claim.operation} on {claim.node}): without the guest it "
        f"is undone, or ends as far as it can. How it ends: mcv job wait {claim.operation}"
    )


def unlocked(vm: Vm) -> None:
    """Raises Refused while an administrator has locked the VM."""
    if vm.locked:
        raise Refused(f"{vm.name} is locked by an administrator.", f"mcv unlock {vm.name}")


def unprotected(vm: Vm) -> None:
    """Raises Refused for a VM that is protected: neither it nor a disk of it is deleted."""
    if vm.protected:
        raise Refused(f"{vm.name} is protected.", f"mcv update {vm.name} --protect no")


def stopped(name: str, is_active: bool, state: str) -> None:
    """Raises Refused while the VM's domain is active: a paused domain holds its disks too."""
    if is_active and state == "paused":
        raise Refused(f"{name} is paused.", resume_or_stop(name))
    if is_active:
        raise Refused(
            f"{name} is {state}.", f"First: mcv shutdown {name} --wait (or: mcv stop {name})"
        )


def resume_or_stop(name: str) -> str:
    """What helps where a paused guest is in the way: it hears no request to shut down."""
    return f"Let it go on with: mcv resume {name} (or pull the plug: mcv stop {name})"


def inactive(name: str, node: str, is_active: bool, state: str) -> None:
    """Raises Refused where a domain of that name, the VM's or a copy, is active on a node.

    The precondition of steps that need the VM's disks closed.
    """
    if is_active:
        raise Refused(f"{name} is {state} on {node}.")


def no_foreign(node: str, domain: ForeignDomain | None) -> None:
    """Raises Refused where a domain that is not the VM's has its name or UUID on a node."""
    if domain is not None:
        raise why_foreign(node, domain)


def without_memory(name: str, node: str, state: SavedState | None) -> None:
    """Raises Refused where a VM's memory is saved on a node: it would be lost in silence."""
    if state is not None:
        raise Refused(f"{name} is saved on {node}.", f"Let it go on with: mcv start {name}")


def with_disks(documents: Documents, me: str, operation: str, name: str) -> Vm:
    """The VM. Raises Refused unless `me` owns it, no other operation claims it, it has disks."""
    vm = owned(documents, me, name)
    unclaimed(documents, operation, name)
    if not vm.disks:
        raise Refused(f"{name} has no disk.")
    return vm


def online(cluster: Cluster, node: str) -> None:
    """Raises Refused where the document calls a node offline."""
    if cluster.node(node).status == "offline":
        raise Refused(f"{node} is offline.", f"Bring it back with: mcv node online {node}")


def accepting(cluster: Cluster, node: str) -> None:
    """Raises Refused where a node takes no VM and no replica: it is offline, or is drained."""
    if cluster.node(node).draining:
        raise Refused(f"{node} is drained: it takes no VMs.", _restore(node))
    online(cluster, node)


def why_not_accepting(cluster: Cluster, node: str) -> list[Refused]:
    """The same as a list, for whoever tells all problems at once."""
    try:
        accepting(cluster, node)
    except Refused as problem:
        return [problem]
    return []


def startable(cluster: Cluster, me: str, name: str) -> None:
    """Raises Refused on a node that is drained: what is left there is not started."""
    if cluster.node(me).draining:
        raise Refused(
            f"{me} is drained: it starts no VMs.",
            f"Move it: mcv migrate --start-after-migration {name}; or, when the work on {me} is "
            f"over: mcv node restore {me}",
        )


def _restore(node: str) -> str:
    return f"When the work on it is over: mcv node restore {node}"
