"""Pools, judged: whether they can be used, how full they are, and what is beside them."""

from collections.abc import Iterator

from mcv.check.finding import ClusterSnapshot, Finding
from mcv.check.inventory import Inventory
from mcv.document.model import Cluster
from mcv.document.pools import DEFAULT, DEFAULT_LOCATION, Pool
from mcv.rules.finding import Severity
from mcv.storage import fullness
from mcv.storage.rooms import KEPT_FREE, LVM_TYPES, Room

GIB = 1024**3


def judge(scene: ClusterSnapshot) -> Iterator[Finding]:
    """What each node tells of its pools, and shared pools whose locks are not proved."""
    for name in sorted(scene.cluster.pools):
        yield from _without_locks(scene, name, scene.cluster.pools[name])
    for node, inventory in scene.seen.items():
        for pool, room in inventory.rooms.items():
            if not _is_told(inventory, room):
                yield from _of_pool(scene.cluster, node, pool, room)


def _without_locks(scene: ClusterSnapshot, name: str, pool: Pool) -> Iterator[Finding]:
    """A shared pool with disks, of whose nodes some were not seen to exclude the others."""
    others = set(pool.nodes) - set(pool.locks)
    is_used = any(disk.pool == name for _, disk in scene.cluster.disks())
    if pool.type != "shared" or len(pool.nodes) < 2 or not others or not is_used:
        return
    yield Finding(
        severity=Severity.WARNING,
        node=scene.me,
        subject=name,
        message=f"In pool {name} the locks of {', '.join(sorted(others))} were not seen to exclude "
        "those of other nodes: no VM with a disk there is taken over from them, or by them.",
        hint="Mount it with locks, then have them tried anew: "
        f"mcv pool remove-node {name} --node {max(others)}; mcv pool add-node {name} "
        f"--node {max(others)}",
    )


def _is_told(inventory: Inventory, room: Room) -> bool:
    """Whether another finding tells the problem: of LVM, or of the volume group of disks."""
    if not room.problem or room.type not in LVM_TYPES:
        return False
    return "LVM" in inventory.trouble or room.location.partition("/")[0] in inventory.group_problems


def _of_pool(cluster: Cluster, node: str, pool: str, room: Room) -> Iterator[Finding]:
    is_used = _is_used(cluster, pool, node)
    found = fullness.finding(pool, node, room)
    # A pool without disks may be full; that it cannot be used is told of it, too.
    if found is not None and (is_used or room.problem):
        is_needed = is_used or pool == DEFAULT
        yield Finding(
            severity=found.severity if is_needed else Severity.WARNING,
            node=node,
            subject=pool,
            message=found.message,
            hint=found.hint,
        )
    if room.with_state and (is_used or pool != DEFAULT):
        yield _beside_state(node, pool, room)


def _is_used(cluster: Cluster, pool: str, node: str) -> bool:
    """Whether a disk lies in the pool on that node."""
    return any(
        disk.pool == pool and (node in disk.places or disk.storage == "shared")
        for _, disk in cluster.disks()
    )


def _beside_state(node: str, pool: str, room: Room) -> Finding:
    is_default = room.location == DEFAULT_LOCATION
    return Finding(
        severity=Severity.NOTE if is_default else Severity.WARNING,
        node=node,
        subject=pool,
        message=f"Pool {pool} ({room.location}) on {node} is in one file system with mcv's state: "
        f"full disks there stop every change. {KEPT_FREE // GIB} GiB are kept free of new disks.",
        hint="A file system of its own is better: mcv pool create NAME --type dir --location L",
    )
