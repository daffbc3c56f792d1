"""Changes by which nodes count as dead by evidence, and others own their VMs."""

from msgspec.structs import replace

from mcv.document import service_changes
from mcv.document.availability import Evidence, EvidenceKind
from mcv.document.cluster_changes import begin_epoch
from mcv.document.generation import ChangeMade
from mcv.document.model import Cluster, Vm
from mcv.document.registry import busy, change, operation_of
from mcv.document.schema import require_schema
from mcv.document.schema_4 import assigned
from mcv.errors import Refused


@change("node.taken")
def node_taken(
    base: Cluster,
    made: ChangeMade,
    /,
    leases: dict[str, int],
    kind: EvidenceKind,
    epoch: str,
    detail: str = "",
) -> Cluster:
    """Members are offline by this evidence, in an epoch that this begins; none runs a guest.

    `leases` are the members, each with the revision at which its lease was seen, 0 for none.
    Precondition: the leases are taken in the same transaction. Those that are offline already are
    left as they are. Refused where no member would be online.
    """
    require_schema(base, 5)
    if base.store is None:
        raise Refused("Leases lie in etcd, and the document does not.")
    dead = [name for name in sorted(leases) if base.node(name).status == "online"]
    if not dead:
        return base
    if set(dead) >= set(base.online):
        raise Refused(f"{' and '.join(dead)} are all nodes that are online.")
    draft = begin_epoch(base, epoch, base.epoch.number + 1)
    for name in dead:
        lease = leases[name]
        evidence = Evidence(kind=kind, by=made.node, when=made.when, lease=lease, detail=detail)
        draft = draft.with_node(replace(draft.node(name), status="offline", evidence=evidence))
    return draft


@change("vm.take_all")
def vm_take_all(
    base: Cluster, made: ChangeMade, /, name: str, takers: dict[str, str], marks: int = 0
) -> Cluster:
    """Give VMs and services of a node that is offline to others, all at once; their homes stay.

    `takers` are the new owners by name; what is not the node's any more is left as it is.
    `marks` is etcd's revision at which the marks of stale replicas were read, which the
    transaction compares. Refused while the node is online, while another operation has claimed
    one of the VMs, or where a taker is not there to take it.
    """
    require_schema(base, 5)
    if base.node(name).status == "online":
        raise Refused(f"{name} is online.", f"mcv evacuate {name}")
    draft = base
    for vm in [base.vms[each] for each in sorted(takers) if each in base.vms]:
        if vm.node == name:
            draft = draft.with_vm(_taken(base, made, vm, takers[vm.name]))
    for service in [each for each in sorted(takers) if each in base.services]:
        draft = service_changes.taken(draft, made, service, name, takers[service])
    return draft


def _taken(base: Cluster, made: ChangeMade, vm: Vm, taker: str) -> Vm:
    if vm.claim is not None and vm.claim.operation != operation_of(made):
        raise busy(vm.name, vm.claim)
    if vm.locked:
        raise Refused(f"{vm.name} is locked.", f"mcv unlock {vm.name}")
    node = base.node(taker)
    if node.status != "online" or node.draining:
        raise Refused(f"{taker} takes no VMs now.", "Look again.")
    if vm.disks and taker not in vm.nodes:
        raise Refused(f"{taker} holds no replica of {vm.name}.")
    return assigned(base, vm.renewed(), taker, home=False)
