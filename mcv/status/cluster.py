"""info without a VM: the cluster, its nodes, and what needs somebody."""

import threading

from msgspec import Struct

import mcv
from mcv.document import etcd_voters
from mcv.document.model import Cluster, Node
from mcv.errors import McvError, NotUnderstood, SlowAnswer
from mcv.host import Host
from mcv.status.attention import attention
from mcv.status.report import NodeReport, Reports, reports, told
from mcv.status.vms import verification


class Share(Struct, frozen=True, kw_only=True):
    """Memory or room of a node in bytes; None where the node did not tell.

    Of memory the node's VMs are spoken for, running or not; of room what disks were promised
    and do not take yet.
    """

    total: int | None = None
    free: int | None = None
    spoken_for: int | None = None


class NodeView(Struct, frozen=True, kw_only=True):
    """One member. `problem` says in words what is wrong with it, or why it did not answer.

    `room` is by pool.
    """

    name: str
    ip_address: str
    drbd_address: str
    status: str
    problem: str | None
    local: bool
    version: str | None
    memory: Share
    room: dict[str, Share]


class VerificationSummary(Struct, frozen=True, kw_only=True):
    """What the last verifications of all VMs on DRBD said.

    `clean` counts the clean ones, `oldest` is when the oldest of these ended, and `others` has
    the result of each VM that is not clean.
    """

    clean: int
    oldest: str | None
    others: dict[str, str]


class WitnessView(Struct, frozen=True, kw_only=True):
    """The machine that runs etcd and nothing else of mcv's; `state` as a voter has it."""

    name: str
    ip_address: str
    state: str


class ClusterInfo(Struct, frozen=True, kw_only=True):
    """The cluster as this node sees it; `attention` has a line for each thing."""

    cluster: str | None
    epoch: int
    generation: int
    hash: str
    node: str
    nodes: list[NodeView]
    witness: WitnessView | None
    vms: int
    verify: VerificationSummary
    attention: list[str]


def info(host: Host) -> ClusterInfo:
    """The cluster; a peer that does not answer in time is unreachable."""
    voting, seen = _with_voters(host)
    cluster = host.read()
    return ClusterInfo(
        cluster=cluster.name or None,
        epoch=cluster.epoch.number,
        generation=cluster.generation,
        hash=host.consensus.committed()[1],
        node=host.name,
        nodes=[
            _view(cluster, node, name == host.name, seen)
            for name, node in sorted(cluster.nodes.items())
        ],
        witness=_witness(cluster, voting),
        vms=len(cluster.vms),
        verify=_verify(cluster, seen),
        attention=attention(host, seen, voting),
    )


def _with_voters(host: Host) -> tuple[dict[str, str], Reports]:
    """States of voters by name, and every member's report, asked for side by side."""
    voting: dict[str, str] = {}
    asking = threading.Thread(target=lambda: voting.update(_voting(host)), daemon=True)
    asking.start()
    seen = reports(host)
    asking.join()
    return voting, seen


def _voting(host: Host) -> dict[str, str]:
    """Of the witness, which has no daemon; of all voters where etcd may have no majority."""
    cluster = host.read()
    asked = etcd_voters.voters(cluster)
    if host.consensus.in_contact:
        witness = cluster.witness.name if cluster.witness is not None else ""
        asked = [voter for voter in asked if voter.name == witness]
    return {voter.name: voter.state for voter in host.etcd.shown(asked)} if asked else {}


def _witness(cluster: Cluster, voting: dict[str, str]) -> WitnessView | None:
    if cluster.witness is None:
        return None
    name, address = cluster.witness.name, cluster.witness.ip_address
    return WitnessView(name=name, ip_address=address, state=voting.get(name, "unused"))


def _verify(cluster: Cluster, seen: Reports) -> VerificationSummary:
    results = {
        name: verification(vm, seen) for name, vm in sorted(cluster.vms.items()) if vm.replicated
    }
    clean = [view.when for view in results.values() if view.result == "clean"]
    return VerificationSummary(
        clean=len(clean),
        oldest=min(clean, default=None),
        others={name: view.result for name, view in results.items() if view.result != "clean"},
    )


def _view(cluster: Cluster, node: Node, is_local: bool, seen: Reports) -> NodeView:
    report = seen.get(node.name)
    return NodeView(
        name=node.name,
        ip_address=node.ip_address,
        drbd_address=node.drbd_address,
        status=_status(node, report, seen),
        problem=_problem(node, report),
        local=is_local,
        version=mcv.__version__
        if is_local
        else report.version
        if isinstance(report, NodeReport)
        else None,
        memory=_memory(cluster, node.name, report),
        room={
            pool: _room(pool, report)
            for pool, known in sorted(cluster.all_pools.items())
            if node.name in known.nodes
        },
    )


def _status(node: Node, report: NodeReport | McvError | None, seen: Reports) -> str:
    """`draining` until all VMs have left, then `maintenance`; both end with its restoration."""
    is_silent = isinstance(report, McvError) and not isinstance(report, NotUnderstood | SlowAnswer)
    if node.status == "online":
        if any(node.name in each.fencing for each in told(seen).values()):
            return "fencing"
        if is_silent:
            return "unreachable"
    if not node.draining:
        return node.status
    return (
        "draining" if node.status == "online" else "maintenance" if node.maintenance else "offline"
    )


def _memory(cluster: Cluster, node: str, report: NodeReport | McvError | None) -> Share:
    spoken_for = sum(vm.memory for vm in cluster.vms.values() if vm.node == node)
    memory = report.memory if isinstance(report, NodeReport) else None
    if memory is None:
        return Share(spoken_for=spoken_for)
    return Share(total=memory.total, free=memory.free, spoken_for=spoken_for)


def _room(pool: str, report: NodeReport | McvError | None) -> Share:
    room = report.rooms.get(pool) if isinstance(report, NodeReport) else None
    if room is None or room.problem:
        return Share()
    return Share(total=room.size, free=room.free, spoken_for=room.spoken_for)


def _problem(node: Node, report: NodeReport | McvError | None) -> str | None:
    if isinstance(report, NodeReport):
        return report.problem or (report.trouble[0] if report.trouble else None)
    if isinstance(report, SlowAnswer):
        return "slow"
    if isinstance(report, McvError) and node.status == "online":
        return report.message
    return None
