"""What is wrong with a VM, by the reports of all nodes: what list and info show."""

from collections.abc import Iterator

from msgspec.structs import replace

from mcv.document.disks import DrbdDisk
from mcv.document.model import Cluster, Vm
from mcv.drivers.libvirt_saved import SAVED
from mcv.errors import McvError
from mcv.rules import disk_bus, domain, replica, saved, tied
from mcv.rules.finding import Finding, Severity, worst_first
from mcv.rules.replica import Kind, ReplicaFinding
from mcv.rules.replica_pair import Replica, ReplicaPair
from mcv.status import pools
from mcv.status.report import NodeReport, Reports, told


def of_vm(cluster: Cluster, vm: Vm, seen: Reports) -> list[Finding]:
    """Everything that is not as it should be with a VM, the worst first.

    A split brain comes before all else: data is at stake, and one command alone ends it. Then
    I/O that stands still: the state says running, and the guest does nothing.
    """
    replicas = [
        finding
        for disk in vm.replicated
        for finding in replica.findings(pair(cluster, vm, disk, seen))
    ]
    urgent = [
        finding
        for kind in (Kind.SPLIT_BRAIN, Kind.SUSPENDED)
        for finding in replicas
        if finding.kind is kind
    ]
    # That the owner does not answer is a finding about the VM already.
    others = [
        finding
        for finding in replicas
        if finding not in urgent and not (finding.kind is Kind.AWAY and finding.node == vm.node)
    ]
    found = [
        *map(_shown, urgent),
        *_owner(cluster, vm, seen),
        *_foreign(vm, seen),
        *_copies(vm, seen, active=True),
        *_saved(vm, seen),
        *map(_shown, others),
        *_copies(vm, seen, active=False),
        *_pools(cluster, vm, seen),
        *_unfinished(vm, seen),
        *filter(None, [tied.finding(vm)]),
        *(finding for disk in vm.disks if (finding := disk_bus.finding(vm, disk))),
    ]
    return worst_first(found)


def _pools(cluster: Cluster, vm: Vm, seen: Reports) -> Iterator[Finding]:
    """What is wrong with the VM's pools; a VM whose owner is offline is brought back first."""
    owner = cluster.nodes.get(vm.node)
    for finding in pools.of_vm(cluster, vm, seen):
        is_error = finding.severity is Severity.ERROR
        if is_error and owner is not None and owner.status == "offline":
            finding = replace(finding, severity=Severity.WARNING)
        yield finding


def _shown(finding: ReplicaFinding) -> Finding:
    return Finding(severity=finding.severity, message=finding.message, hint=finding.hint)


def attention(found: list[Finding]) -> str | None:
    """The sentence of the worst finding that needs somebody; None where there is none."""
    return next((finding.sentence for finding in found if finding.needs_somebody), None)


def _own(
    cluster: Cluster, vm: Vm, owner: NodeReport, state: str | None, seen: Reports
) -> Iterator[Finding]:
    """The VM's domain on its owner, while no operation is at work on it."""
    if state is None:
        yield domain.not_defined(vm)
    elif state == "crashed":
        yield domain.crashed(vm)
    elif state == "paused":
        after_io_error = vm.name in owner.io_errors
        full = pools.full_under(cluster, vm, seen) if after_io_error else []
        yield domain.paused(vm, after_io_error, full)


def _owner(cluster: Cluster, vm: Vm, seen: Reports) -> Iterator[Finding]:
    owner = seen.get(vm.node)
    if any(vm.node in report.diverged for report in told(seen).values()):
        yield domain.owner_diverged(vm)
    if isinstance(owner, NodeReport):
        if owner.domains is None:
            yield domain.unknown(vm)
        elif vm.name not in owner.foreign and vm.claim is None:
            yield from _own(cluster, vm, owner, owner.domains.get(vm.name), seen)
        if owner.full:
            yield domain.no_room(vm, owner.full)
        if vm.name in owner.not_started:
            yield domain.not_started(vm, owner.not_started[vm.name])
        if vm.name in owner.unverified:
            yield domain.unverified(vm, owner.unverified[vm.name])
    elif vm.node in cluster.nodes and cluster.nodes[vm.node].status == "offline":
        yield domain.owner_offline(vm)
    else:
        yield domain.owner_silent(vm, owner or McvError(f"{vm.node} was not asked."))


def _foreign(vm: Vm, seen: Reports) -> Iterator[Finding]:
    """Domains on any node that have the VM's name or UUID and are not the VM's."""
    for node, report in told(seen).items():
        if vm.name in report.foreign:
            yield domain.foreign(vm, node, report.foreign[vm.name])


def _saved(vm: Vm, seen: Reports) -> Iterator[Finding]:
    """Memory of the VM that is saved, on its owner or where the VM once was."""
    for node, report in told(seen).items():
        if vm.name in report.saved and vm.claim is None:
            yield saved.finding(vm, node, report.saved[vm.name])


def _copies(vm: Vm, seen: Reports, active: bool) -> Iterator[Finding]:
    """The VM's own domains on nodes that do not own it."""
    for node, report in told(seen).items():
        state = (report.domains or {}).get(vm.name)
        if node == vm.node or state is None or vm.claim is not None:
            continue
        if state != SAVED and (state in domain.ACTIVE) == active:
            yield domain.elsewhere(vm, node, state)


def _unfinished(vm: Vm, seen: Reports) -> Iterator[Finding]:
    left = {entry.operation for report in told(seen).values() for entry in report.left}
    if vm.claim is not None and vm.claim.operation in left:
        yield domain.unfinished(vm.claim.why, vm.claim.operation)


def pair(cluster: Cluster, vm: Vm, disk: DrbdDisk, seen: Reports) -> ReplicaPair:
    """Both replicas of a disk, as the reports tell them."""
    return ReplicaPair(
        vm=vm,
        disk=disk,
        replicas={
            node: _replica(cluster, disk, node, seen.get(node)) for node in sorted(disk.places)
        },
        is_enabled=cluster.drbd.enabled,
        is_verified=is_verified_now(vm, seen),
    )


def _replica(
    cluster: Cluster, disk: DrbdDisk, node: str, report: NodeReport | McvError | None
) -> Replica:
    is_online = node in cluster.nodes and cluster.nodes[node].status == "online"
    if report is None:
        return Replica(node=node, is_online=is_online, silent=f"{node} was not asked")
    if not isinstance(report, NodeReport):
        return Replica(node=node, is_online=is_online, silent=report.message, advice=report.hint)
    noted = disk.resource in report.blocked
    if report.resources is None:
        silent = f"DRBD cannot be read on {node}"
        return Replica(node=node, is_online=is_online, silent=silent, noted=noted)
    state = report.resources.get(disk.resource)
    return Replica(node=node, is_online=is_online, state=state, noted=noted)


def is_verified_now(vm: Vm, seen: Reports) -> bool:
    """Whether a daemon is at work on a verification of the VM: the owner's, or the daemon of
    the node that owned the VM when the verification began."""
    return any(vm.name in report.verifying for report in told(seen).values())
