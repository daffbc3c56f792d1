"""The changes that the document knows: each a pure function from one generation to the next.

A change is made anew from the newest document whenever somebody else's came first, so each
looks for itself whether it still makes sense, and refuses where it does not.
"""

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec.structs import replace

from mcv.document.model import (
    REMEMBERED_CHANGES,
    ChangeMade,
    Claim,
    Cluster,
    Epoch,
    EpochNow,
    Network,
    Node,
    Override,
    Past,
    Permissions,
    Verification,
    Vm,
    digest,
)
from mcv.errors import Busy, NotFound, Refused

Function = Callable[..., Cluster]
CHANGES: dict[str, Function] = {}


def apply(base: Cluster, name: str, params: dict[str, Any], made: ChangeMade) -> Cluster:
    """The next generation: base with one change made, its lineage and author written down.

    Base itself where there was nothing left to change.
    """
    draft = CHANGES[name](base, made, **params)
    if draft is base:
        return base
    return replace(
        draft,
        parent=digest(base),
        generation=base.generation + 1,
        change=made,
        changes=(*base.changes, made.id)[-REMEMBERED_CHANGES:],
    )


def _change(name: str) -> Callable[[Function], Function]:
    def register(function: Function) -> Function:
        CHANGES[name] = function
        return function

    return register


def operation_of(made: ChangeMade) -> str:
    """A change's id is its operation's and the step's number."""
    return made.id.partition(".")[0]


def _claim(base: Cluster, made: ChangeMade, why: str) -> Claim:
    return Claim(
        operation=operation_of(made),
        node=made.node,
        epoch=base.epoch.number,
        generation=base.generation + 1,
        why=why,
        since=made.when,
    )


def _require_claim(base: Cluster, made: ChangeMade, name: str) -> Vm:
    """Owner and definition change only under the claim of the operation that changes them."""
    vm = base.vm(name)
    if vm.claim is None or vm.claim.operation != operation_of(made):
        raise Busy(f"{name} is not claimed by this operation any more.", "See: mcv locks list")
    return vm


def busy(name: str, claim: Claim) -> Busy:
    return Busy(
        f"{name} is busy: {claim.why}, on {claim.node} since {claim.since}.",
        f"Wait for it with: mcv job wait {claim.operation}",
    )


@_change("vm.claim")
def vm_claim(base: Cluster, made: ChangeMade, /, name: str, why: str) -> Cluster:
    vm = base.vm(name)
    if vm.claim is not None and vm.claim.operation != operation_of(made):
        raise busy(name, vm.claim)
    return base.with_vm(replace(vm, claim=_claim(base, made, why)))


@_change("vm.release")
def vm_release(base: Cluster, made: ChangeMade, /, name: str) -> Cluster:
    """End the claim; nothing to do where the VM, or this operation's claim, is gone."""
    vm = base.vms.get(name)
    if vm is None or vm.claim is None or vm.claim.operation != operation_of(made):
        return base
    return base.with_vm(replace(vm, claim=None))


@_change("vm.add")
def vm_add(base: Cluster, made: ChangeMade, /, vm: dict[str, Any], why: str) -> Cluster:
    """A new VM's entry comes with its claim; what it needs for itself must still be free."""
    new = msgspec.convert(vm, Vm)
    if new.name in base.vms:
        raise Refused(f"There is a VM {new.name} already.", "See: mcv list")
    for node in new.nodes:
        base.node(node)
    for nic in new.nics:
        base.network(nic.network)
    taken = [disk for _, disk in base.disks()]
    for disk in new.disks:
        if clash := next(filter(None, map(disk.clash, taken)), ""):
            raise Busy(f"{clash} has been taken meanwhile.")
    return base.with_vm(replace(new, claim=_claim(base, made, why)))


@_change("vm.remove")
def vm_remove(base: Cluster, made: ChangeMade, /, name: str) -> Cluster:
    if name not in base.vms:
        return base
    _require_claim(base, made, name)
    return base.without_vm(name)


@_change("vm.assign")
def vm_assign(base: Cluster, made: ChangeMade, /, name: str, node: str) -> Cluster:
    base.node(node)
    return base.with_vm(replace(_require_claim(base, made, name), node=node))


@_change("vm.update")
def vm_update(
    base: Cluster, made: ChangeMade, /, name: str, memory: int | None, cpus: int | None
) -> Cluster:
    vm = _require_claim(base, made, name)
    return base.with_vm(
        replace(
            vm,
            memory=vm.memory if memory is None else memory,
            cpus=vm.cpus if cpus is None else cpus,
        )
    )


@_change("vm.lock")
def vm_lock(base: Cluster, made: ChangeMade, /, name: str, locked: bool) -> Cluster:
    vm = base.vm(name)
    if vm.locked == locked:
        raise Refused(f"{name} is {'locked already' if locked else 'not locked'}.")
    if vm.claim is not None:
        raise busy(name, vm.claim)
    return base.with_vm(replace(vm, locked=locked))


@_change("vm.verified")
def vm_verified(
    base: Cluster, made: ChangeMade, /, name: str, disk: int, verification: dict[str, Any]
) -> Cluster:
    """Write down a verification's beginning or its end.

    A finding always counts, any other end only for the verification that began last; a mark
    is lifted by a clean one alone.
    """
    vm = base.vm(name)
    old = vm.disk(disk)
    new = msgspec.convert(verification, Verification)
    last = (old.verification.result, old.verification.operation)
    if new.result in ("clean", "interrupted") and last != ("running", new.operation):
        raise Refused(f"That verification of {name} is not the last one any more.")
    blocked = (old.verification.blocked or new.result == "out-of-sync") and new.result != "clean"
    return base.with_vm(vm.with_disk(replace(old, verification=replace(new, blocked=blocked))))


@_change("vm.override")
def vm_override(base: Cluster, made: ChangeMade, /, name: str, what: str) -> Cluster:
    return base.with_vm(
        replace(base.vm(name), override=Override(who=made.who, when=made.when, what=what))
    )


@_change("claim.take_over")
def claim_take_over(base: Cluster, made: ChangeMade, /, subject: str, why: str) -> Cluster:
    """Give the claim of an operation another node and a new number."""
    kind, _, name = subject.partition(":")
    old = base.claim_of(subject)
    if old is None or old.operation != operation_of(made):
        raise Refused(f"{name} is not claimed by that operation any more.", "See: mcv locks list")
    claim = _claim(base, made, why)
    if kind == "vm":
        return base.with_vm(replace(base.vm(name), claim=claim))
    return base.with_node(replace(base.node(name), claim=claim))


@_change("barrier")
def barrier(base: Cluster, made: ChangeMade, /) -> Cluster:
    """Change nothing, but come after everything that was offered before."""
    return replace(base)


@_change("network.add")
def network_add(base: Cluster, made: ChangeMade, /, name: str, bridge: str) -> Cluster:
    if name in base.networks:
        raise Refused(f"There is a network {name} already.", "See: mcv network list")
    return base.with_network(Network(name=name, bridge=bridge))


@_change("network.remove")
def network_remove(base: Cluster, made: ChangeMade, /, name: str) -> Cluster:
    base.network(name)
    users = sorted(vm.name for vm in base.vms.values() if any(n.network == name for n in vm.nics))
    if users:
        raise Refused(
            f"Network {name} is used by {', '.join(users)}.", f"First: mcv delete {' '.join(users)}"
        )
    return base.without_network(name)


@_change("node.add")
def node_add(base: Cluster, made: ChangeMade, /, node: dict[str, Any], why: str) -> Cluster:
    """A member is added as offline; its entry comes with the claim of the join."""
    new = msgspec.convert(node, Node)
    if new.name in base.nodes:
        raise Refused(f"{new.name} is a member already.", "See: mcv info")
    draft = base.with_node(replace(new, status="offline", claim=_claim(base, made, why)))
    return _spread_diskless(draft)


def _spread_diskless(base: Cluster) -> Cluster:
    """A VM without disks may run on every member, whoever comes and goes."""
    nodes = tuple(sorted(base.nodes))
    for vm in base.vms.values():
        if not vm.disks:
            base = base.with_vm(replace(vm, nodes=nodes))
    return base


@_change("node.claim")
def node_claim(base: Cluster, made: ChangeMade, /, name: str, why: str) -> Cluster:
    node = base.node(name)
    if node.claim is not None and node.claim.operation != operation_of(made):
        raise busy(name, node.claim)
    return base.with_node(replace(node, claim=_claim(base, made, why)))


@_change("node.release")
def node_release(base: Cluster, made: ChangeMade, /, name: str) -> Cluster:
    node = base.nodes.get(name)
    if node is None or node.claim is None or node.claim.operation != operation_of(made):
        return base
    return base.with_node(replace(node, claim=None))


@_change("node.online")
def node_online(
    base: Cluster, made: ChangeMade, /, name: str, maintenance: bool = False
) -> Cluster:
    node = base.node(name)
    if node.maintenance and not maintenance:
        raise Refused(
            f"{name} is offline for maintenance.", f"Bring it back with: mcv node online {name}"
        )
    return base.with_node(replace(node, status="online", maintenance=False))


@_change("node.offline")
def node_offline(
    base: Cluster, made: ChangeMade, /, name: str, maintenance: bool = False
) -> Cluster:
    node = base.node(name)
    if base.online == [name]:
        raise Refused(f"{name} is the last node online.")
    return base.with_node(replace(node, status="offline", maintenance=maintenance))


@_change("node.dead")
def node_dead(
    base: Cluster, made: ChangeMade, /, names: list[str], survivor: str, epoch: str
) -> Cluster:
    """An operator's word about the dead: all of them offline at once; it begins an epoch."""
    draft = _begin_epoch(base, epoch, base.epoch.number + 1)
    for name in names:
        draft = draft.with_node(replace(draft.node(name), status="offline"))
    if not draft.online:
        draft = draft.with_node(replace(draft.node(survivor), status="online"))
    return draft


@_change("cluster.sync")
def cluster_sync(
    base: Cluster, made: ChangeMade, /, pasts: list[dict[str, Any]], number: int, epoch: str
) -> Cluster:
    """Settle a divergence: base goes on, in an epoch that names the other ends as its past."""
    also = tuple(msgspec.convert(past, Past) for past in pasts)
    return _begin_epoch(base, epoch, number, also)


def _begin_epoch(base: Cluster, epoch: str, number: int, also: tuple[Past, ...] = ()) -> Cluster:
    hash_ = digest(base)
    link = Epoch(number=number, id=epoch, generation=base.generation, hash=hash_, also=also)
    return replace(base, epoch=EpochNow(number=number, id=epoch), epochs=(*base.epochs, link))


@_change("node.remove")
def node_remove(base: Cluster, made: ChangeMade, /, name: str) -> Cluster:
    if name not in base.nodes:
        return base
    holds = sorted(
        vm.name
        for vm in base.vms.values()
        if name == vm.node or any(name in disk.places for disk in vm.disks)
    )
    if holds:
        raise Refused(f"{name} owns or holds a replica of {', '.join(holds)}.")
    return _spread_diskless(base.without_node(name))


@_change("node.addresses")
def node_addresses(
    base: Cluster, made: ChangeMade, /, name: str, ip_address: str, drbd_address: str
) -> Cluster:
    node = base.node(name)
    return base.with_node(replace(node, ip_address=ip_address, drbd_address=drbd_address))


@_change("drbd.enable")
def drbd_enable(base: Cluster, made: ChangeMade, /) -> Cluster:
    if base.drbd.enabled:
        raise Refused("DRBD is enabled already.")
    return replace(base, drbd=replace(base.drbd, enabled=True))


@_change("drbd.set")
def drbd_set(base: Cluster, made: ChangeMade, /, **values: Any) -> Cluster:
    return replace(base, drbd=replace(base.drbd, **values))


@_change("permission.add")
def permission_add(base: Cluster, made: ChangeMade, /, user: str) -> Cluster:
    users = base.permissions.superusers
    if user in users:
        raise Refused(f"{user} is a superuser already.")
    return replace(base, permissions=Permissions(superusers=tuple(sorted((*users, user)))))


@_change("permission.remove")
def permission_remove(base: Cluster, made: ChangeMade, /, user: str) -> Cluster:
    users = base.permissions.superusers
    if user not in users:
        raise NotFound(f"{user} is no superuser.", "See: mcv permission list")
    return replace(
        base, permissions=Permissions(superusers=tuple(one for one in users if one != user))
    )
