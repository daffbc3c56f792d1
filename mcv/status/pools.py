"""pool list, and what pools need somebody for: by the rooms that all nodes report."""

from collections.abc import Iterator

from msgspec import Struct

from mcv.document.disks import Disk
from mcv.document.model import Cluster, Vm
from mcv.document.pools import PoolType
from mcv.errors import McvError
from mcv.host import Host
from mcv.rules.finding import Finding
from mcv.status.report import NodeReport, Reports, reports, told
from mcv.storage import fullness
from mcv.storage.rooms import Room

UNTOLD = "its room was not told in time"


class PoolOnNode(Struct, frozen=True, kw_only=True):
    """A pool on one node, sizes in bytes; None where that node did not tell.

    `ok` is whether the pool can be used there now; where it cannot, `problem` says why.
    """

    location: str
    size: int | None
    free: int | None
    used_percent: float | None
    ok: bool
    problem: str | None


class PoolRow(Struct, frozen=True, kw_only=True):
    """A pool in a list, node by node."""

    name: str
    type: PoolType
    nodes: dict[str, PoolOnNode]


def list_(host: Host) -> list[PoolRow]:
    """Every pool; a node that does not tell its room in time says so."""
    seen = reports(host)
    cluster = host.read()
    return [
        PoolRow(
            name=name,
            type=pool.type,
            nodes={
                node: _on_node(location, name, seen.get(node), cluster.nodes[node].status)
                for node, location in sorted(pool.nodes.items())
            },
        )
        for name, pool in sorted(cluster.all_pools.items())
    ]


def _on_node(
    location: str, name: str, report: NodeReport | McvError | None, status: str
) -> PoolOnNode:
    room = report.rooms.get(name) if isinstance(report, NodeReport) else None
    problem = room.problem or fullness.words(room, fullness.FULL) if room else UNTOLD
    if room is None and status == "offline":
        problem = "the node is offline"
    elif isinstance(report, McvError):
        problem = report.message
    is_read = room is not None and not room.problem
    return PoolOnNode(
        location=location,
        size=room.size if room and is_read else None,
        free=room.free if room and is_read else None,
        used_percent=room.used_percent if room and is_read else None,
        ok=not problem,
        problem=problem or None,
    )


def nodes_of(cluster: Cluster, vm: Vm, disk: Disk) -> list[str]:
    """The nodes on which what a disk's pool is like matters to the VM."""
    return [vm.node] if disk.storage == "shared" else sorted(disk.places)


def of_vm(cluster: Cluster, vm: Vm, seen: Reports) -> Iterator[Finding]:
    """What is wrong with the pools of a VM's disks, as the nodes of these disks tell it."""
    for disk in vm.disks:
        for node in nodes_of(cluster, vm, disk):
            room = _room(seen, node, disk.pool)
            found = fullness.finding(disk.pool, node, room) if room else None
            if found is not None:
                yield found


def full_under(cluster: Cluster, vm: Vm, seen: Reports) -> list[str]:
    """The pools under a VM in which a write may have failed for want of room, in words."""
    return sorted(
        {
            f"pool {disk.pool} on {node} is full ({fullness.words(room, fullness.FULL)})"
            for disk in vm.disks
            for node in nodes_of(cluster, vm, disk)
            if (room := _room(seen, node, disk.pool)) and fullness.is_full(room)
        }
    )


def attention(cluster: Cluster, seen: Reports) -> list[str]:
    """A line for each pool of each node that disks lie in and that needs somebody."""
    findings = (found for vm in cluster.vms.values() for found in of_vm(cluster, vm, seen))
    return sorted({found.sentence for found in findings})


def _room(seen: Reports, node: str, pool: str) -> Room | None:
    report = told(seen).get(node)
    return report.rooms.get(pool) if report else None
