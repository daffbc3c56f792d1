"""Who may make which change: one table, by the change's name, judged in the parent document."""

from collections.abc import Callable
from typing import Any

from mcv.document.claim import Claim
from mcv.document.generation import ChangeMade
from mcv.document.model import Cluster
from mcv.document.registry import operation_of
from mcv.document.subject import Subject
from mcv.errors import Refused

Params = dict[str, Any]
Rule = Callable[[Cluster, str, Params], bool]  # whether a node may make it, in this parent


def _is_away(base: Cluster, node: str) -> bool:
    """Whether a node is offline in the document, or no member."""
    return node not in base.online


def _any_member(base: Cluster, author: str, params: Params) -> bool:
    return True


def _itself(base: Cluster, author: str, params: Params) -> bool:
    return author == params.get("name")


def _itself_or_claimant(base: Cluster, author: str, params: Params) -> bool:
    """The member that the change is about; the claim's node while the member is claimed."""
    claim = _claim(base, Subject.node, params)
    return author == (claim.node if claim else params.get("name"))


def _claimant_of_node(base: Cluster, author: str, params: Params) -> bool:
    """The claim's node; any member while the member is not claimed."""
    claim = _claim(base, Subject.node, params)
    return claim is None or author == claim.node


def _owner(base: Cluster, author: str, params: Params) -> bool:
    """The VM's owner, or any member where the owner is away; under a claim the claim's node."""
    vm = base.vms.get(_name(params))
    if vm is None:
        return True
    if vm.claim is not None:
        return author == vm.claim.node
    return author == vm.node or _is_away(base, vm.node)


def _claimant_of_vm(base: Cluster, author: str, params: Params) -> bool:
    """The claim's node. Without VM or claim the change itself is refused or has no effect."""
    claim = _claim(base, Subject.vm, params)
    return claim is None or author == claim.node


def _releaser_of_vm(base: Cluster, author: str, params: Params) -> bool:
    return _may_release(base, author, _claim(base, Subject.vm, params))


def _releaser_of_node(base: Cluster, author: str, params: Params) -> bool:
    return _may_release(base, author, _claim(base, Subject.node, params))


def _releaser_of_pool(base: Cluster, author: str, params: Params) -> bool:
    return _may_release(base, author, _claim(base, Subject.pool, params))


def _releaser_of_image(base: Cluster, author: str, params: Params) -> bool:
    return _may_release(base, author, _claim(base, Subject.image, params))


def _owner_of_service(base: Cluster, author: str, params: Params) -> bool:
    """The service's owner, or any member where it is away; under a claim the claim's node."""
    service = base.services.get(_name(params))
    if service is None:
        return True
    if service.claim is not None:
        return author == service.claim.node
    return author == service.node or _is_away(base, service.node)


def _claimant_of_service(base: Cluster, author: str, params: Params) -> bool:
    claim = _claim(base, Subject.service, params)
    return claim is None or author == claim.node


def _releaser_of_service(base: Cluster, author: str, params: Params) -> bool:
    return _may_release(base, author, _claim(base, Subject.service, params))


def _may_release(base: Cluster, author: str, claim: Claim | None) -> bool:
    """The claim's node, or any member where that node is away."""
    return claim is None or author == claim.node or _is_away(base, claim.node)


def _successor(base: Cluster, author: str, params: Params) -> bool:
    """Any member, of a claim whose node is away."""
    claim = base.claim_of(Subject.parse(str(params.get("subject"))))
    return claim is None or _is_away(base, claim.node)


def _owner_to_be(base: Cluster, author: str, params: Params) -> bool:
    vm = params.get("vm")
    return isinstance(vm, dict) and author == vm.get("node")


def _verifier(base: Cluster, author: str, params: Params) -> bool:
    """The owner begins a verification; its end is told by each node that has a replica.

    The kernel names a finding on both sides, and the VM may have moved meanwhile.
    """
    vm = base.vms.get(_name(params))
    verification = params.get("verification")
    if isinstance(verification, dict) and verification.get("result") == "running":
        return _owner(base, author, params)
    return vm is None or author == vm.node or any(author in disk.places for disk in vm.disks)


def _name(params: Params) -> str:
    return str(params.get("name"))


def _claim(base: Cluster, kind: Callable[[str], Subject], params: Params) -> Claim | None:
    return base.claim_of(kind(_name(params)))


AUTHORS: dict[str, Rule] = {
    "barrier": _any_member,
    "claim.take_over": _successor,
    "cluster.cpu": _any_member,
    "cluster.sync": _any_member,
    "disk.add": _claimant_of_vm,
    "disk.exchange": _claimant_of_vm,
    "disk.grow": _claimant_of_vm,
    "disk.leaving": _claimant_of_vm,
    "disk.remove": _claimant_of_vm,
    "disk.replicas": _claimant_of_vm,
    "disk.set": _claimant_of_vm,
    "disk.sized": _owner,
    "disk.whole": _claimant_of_vm,
    "document.schema": _any_member,
    "drbd.enable": _any_member,
    "drbd.set": _any_member,
    "drbd.secret": _any_member,
    "fence.device": _any_member,
    "fence.device_gone": _any_member,
    "fence.level": _claimant_of_node,
    "fence.tested": _any_member,
    "ha.add": _any_member,
    "ha.arm": _any_member,
    "ha.change": _any_member,
    "ha.disarm": _any_member,
    "ha.domain": _any_member,
    "ha.domain_gone": _any_member,
    "ha.failed": _any_member,
    "ha.prepare": _any_member,
    "ha.remove": _any_member,
    "ha.set": _any_member,
    "ha.tie": _any_member,
    "ha.untie": _any_member,
    "ha.watchdog": _claimant_of_node,
    "image.add": _any_member,
    "image.claim": _any_member,
    "image.forget": _any_member,
    "image.give_up": _any_member,
    "image.release": _releaser_of_image,
    "image.remove": _any_member,
    "image.state": _any_member,
    "network.add": _any_member,
    "network.add_nat": _any_member,
    "network.alter": _any_member,
    "network.remove": _any_member,
    "network.set": _any_member,
    "node.add": _any_member,
    "node.addresses": _itself,
    "node.claim": _any_member,
    "node.dead": _any_member,
    "node.drain": _claimant_of_node,
    "node.etcd": _itself_or_claimant,
    "node.macs": _itself,
    "node.maintenance": _claimant_of_node,
    "node.offline": _itself_or_claimant,
    "node.online": _itself_or_claimant,
    "node.release": _releaser_of_node,
    "node.remove": _claimant_of_node,
    "node.restore": _claimant_of_node,
    "node.taken": _any_member,
    "permission.add": _any_member,
    "permission.grant": _any_member,
    "permission.remove": _any_member,
    "permission.revoke": _any_member,
    "pool.add": _any_member,
    "pool.claim": _any_member,
    "pool.extend": _any_member,
    "pool.reduce": _any_member,
    "pool.release": _releaser_of_pool,
    "pool.remove": _any_member,
    "service.add": _any_member,
    "service.claim": _owner_of_service,
    "service.gone": _claimant_of_service,
    "service.owner": _claimant_of_service,
    "service.release": _releaser_of_service,
    "service.scripts": _claimant_of_service,
    "store.etcd": _any_member,
    "store.survivors": _any_member,
    "store.unanimous": _any_member,
    "store.voters": _any_member,
    "vm.add": _owner_to_be,
    "vm.assign": _claimant_of_vm,
    "vm.claim": _owner,
    "vm.devices": _claimant_of_vm,
    "vm.lock": _owner,
    "vm.move": _claimant_of_vm,
    "vm.nics": _claimant_of_vm,
    "vm.override": _owner,
    "vm.overlay": _claimant_of_vm,
    "vm.release": _releaser_of_vm,
    "vm.remove": _claimant_of_vm,
    "vm.rename": _claimant_of_vm,
    "vm.renew": _claimant_of_vm,
    "vm.set": _claimant_of_vm,
    "vm.set_cd": _claimant_of_vm,
    "vm.set_start": _claimant_of_vm,
    "vm.take_all": _claimant_of_node,
    "vm.update": _claimant_of_vm,
    "vm.verified": _verifier,
    "witness.remove": _any_member,
    "witness.set": _any_member,
}


def require_author(base: Cluster, new: Cluster) -> None:
    """Raise Refused unless the change's node may make that change of base.

    A node that is offline in both documents makes none. The id of an operation that claims
    something belongs to the claim's node: another node's change under it would pass for a
    step of that operation that was made.
    """
    made = new.change
    rule = AUTHORS.get(made.name)
    if rule is None:
        raise Refused(f"This mcv does not know the change {made.name!r}.")
    if made.node not in base.nodes or made.node not in {*base.online, *new.online}:
        raise Refused(
            f"{made.node} is offline in the document, so nothing is changed at its word.",
            f"It comes back by itself, or: mcv node online {made.node}",
        )
    if not rule(base, made.node, made.params) or _is_another_s(base, made):
        raise Refused(f"{made.node} may not make this change ({made.name}).")


def _is_another_s(base: Cluster, made: ChangeMade) -> bool:
    claims = filter(None, map(base.claim_of, base.subjects()))
    return any(
        claim.operation == operation_of(made)
        and not (made.node == claim.node or _is_away(base, claim.node))
        for claim in claims
    )
