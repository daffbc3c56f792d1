"""May libvirt begin a domain of mcv's here: the judge of the hook, whoever asks libvirt.

mcv's own start has been judged before, in more depth, by mcv.rules.preconditions and replica.
"""

from collections.abc import Iterator, Sequence
from enum import StrEnum

from mcv.document.claim import Claim
from mcv.document.generation import Value
from mcv.document.model import Cluster, Vm
from mcv.errors import Refused
from mcv.rules import disk_bus, saved
from mcv.rules.replica import verify_problem


class Operation(StrEnum):
    """What libvirt is about to do, in the words of its hook; each calls for PREPARE too.

    RESTORE comes before PREPARE where memory is restored, MIGRATE where a domain arrives.
    """

    PREPARE = "prepare"
    RESTORE = "restore"
    MIGRATE = "migrate"


class Permit(Value, frozen=True, kw_only=True):
    """A start by mcvd that is under way: under which claim, and past a failed verification?"""

    operation: str = ""
    ignores_verification: bool = False


class Beginning(Value, frozen=True, kw_only=True):
    """A domain that libvirt is about to begin, and what this node has noted of it.

    `arrival` is the operation under which the domain was let in by MIGRATE a moment ago;
    `expected` the operation for which this node made volumes that its local disks go to.
    `noted` are the resources whose failed verification is noted on this node alone.
    """

    operation: Operation
    uuid: str
    incarnation: int
    permit: Permit = Permit()
    arrival: str = ""
    expected: str = ""
    noted: tuple[str, ...] = ()


Documents = Sequence[Cluster]


def why_not(documents: Documents, me: str, beginning: Beginning) -> Refused | None:
    """What forbids the beginning on this node; None where nothing does, or it is no VM's.

    Every document that knows the VM must allow it: the VM is `me`'s, unclaimed but for the
    permit's operation, its verification has not failed but for a permit to ignore that, and
    memory that is restored is of the VM's present incarnation. A live arrival needs the claim
    of its operation in one of the documents instead.
    """
    expected = beginning.expected
    claims = [claim for _, _, claim in _arrivals(documents, me, beginning.uuid, expected)]
    if beginning.arrival and beginning.arrival in [claim.operation for claim in claims]:
        return None
    if beginning.operation is Operation.MIGRATE:
        return None if claims else _no_migration(documents, me, beginning.uuid)
    problems = (
        _problem(cluster, vm, me, beginning) for cluster, vm in _known(documents, beginning.uuid)
    )
    return next((problem for problem in problems if problem is not None), None)


def arriving(documents: Documents, me: str, uuid: str, expected: str = "") -> str:
    """The operation under which a VM of another node may arrive here; "" where there is none."""
    arrivals = _arrivals(documents, me, uuid, expected)
    return next((claim.operation for _, _, claim in arrivals), "")


def _known(documents: Documents, uuid: str) -> Iterator[tuple[Cluster, Vm]]:
    for cluster in documents:
        yield from ((cluster, vm) for vm in cluster.vms.values() if vm.uuid == uuid)


def _arrivals(
    documents: Documents, me: str, uuid: str, expected: str
) -> Iterator[tuple[Cluster, Vm, Claim]]:
    """Claims of VMs of other nodes that may come: all their disks are here, or are made here."""
    for cluster, vm in _known(documents, uuid):
        if vm.claim is None or vm.node == me:
            continue
        if me in vm.nodes or vm.claim.operation == expected:
            yield cluster, vm, vm.claim


def _no_migration(documents: Documents, me: str, uuid: str) -> Refused | None:
    names = [vm.name for _, vm in _known(documents, uuid)]
    if not names:
        return None
    return Refused(
        f"no operation of mcv's migrates {names[0]} to {me}.",
        f"mcv migrate --online --node {me} {names[0]}",
    )


def _problem(cluster: Cluster, vm: Vm, me: str, beginning: Beginning) -> Refused | None:
    """What one document says against it."""
    if vm.node != me:
        return Refused(f"{vm.name} belongs to {vm.node}.", f"mcv info {vm.name}")
    if me not in cluster.online:
        return Refused(f"{me} is offline in the document.", "mcv info")
    if vm.claim is not None and vm.claim.operation != beginning.permit.operation:
        return Refused(
            f"{vm.name} is busy: {vm.claim.why}, on {vm.claim.node}.",
            f"mcv job wait {vm.claim.operation}",
        )
    if mirrored := disk_bus.why_mirrored(vm):
        return mirrored[0]
    if beginning.operation is Operation.RESTORE:
        return saved.why_not_restore(vm, beginning.incarnation)
    is_blocked = vm.blocked or any(disk.resource in beginning.noted for disk in vm.replicated)
    if is_blocked and not beginning.permit.ignores_verification:
        return verify_problem(vm)
    return None
