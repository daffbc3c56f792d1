"""info without a VM: the cluster, its nodes, and what needs somebody."""

from msgspec import Struct

import mcv
from mcv.document.model import Node
from mcv.errors import McvError, NotUnderstood, SlowAnswer
from mcv.host import Host
from mcv.status.attention import attention
from mcv.status.report import NodeReport, reports


class NodeView(Struct, frozen=True, kw_only=True):
    """One member. `problem` says in words what is wrong with it, or why it did not answer."""

    name: str
    ip_address: str
    drbd_address: str
    status: str
    problem: str | None
    local: bool
    version: str | None


class ClusterInfo(Struct, frozen=True, kw_only=True):
    """The cluster as this node sees it; `attention` has a line for each thing."""

    cluster: str | None
    epoch: int
    generation: int
    hash: str
    node: str
    nodes: list[NodeView]
    vms: int
    attention: list[str]


def info(host: Host) -> ClusterInfo:
    """The cluster; a peer that does not answer in time is unreachable."""
    seen = reports(host)
    cluster = host.read()
    return ClusterInfo(
        cluster=cluster.name or None,
        epoch=cluster.epoch.number,
        generation=cluster.generation,
        hash=host.consensus.committed()[1],
        node=host.name,
        nodes=[
            _view(node, name == host.name, seen.get(name))
            for name, node in sorted(cluster.nodes.items())
        ],
        vms=len(cluster.vms),
        attention=attention(host, seen),
    )


def _view(node: Node, is_local: bool, report: NodeReport | McvError | None) -> NodeView:
    is_silent = isinstance(report, McvError) and not isinstance(report, NotUnderstood | SlowAnswer)
    return NodeView(
        name=node.name,
        ip_address=node.ip_address,
        drbd_address=node.drbd_address,
        status="unreachable" if is_silent and node.status == "online" else node.status,
        problem=_problem(node, report),
        local=is_local,
        version=mcv.__version__
        if is_local
        else report.version
        if isinstance(report, NodeReport)
        else None,
    )


def _problem(node: Node, report: NodeReport | McvError | None) -> str | None:
    if isinstance(report, NodeReport):
        return report.problem or (report.trouble[0] if report.trouble else None)
    if isinstance(report, SlowAnswer):
        return "slow"
    if isinstance(report, McvError) and node.status == "online":
        return report.message
    return None
