"""Which kind of storage, which pool and which nodes the disks of a new VM have."""

from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from mcv.document.disks import (
    Disk,
    DrbdDisk,
    FileDisk,
    Format,
    LvmDisk,
    Role,
    SharedDisk,
    ThinDisk,
)
from mcv.document.model import Cluster, Vm
from mcv.document.pools import PoolType
from mcv.document.schema import older_member
from mcv.errors import Refused
from mcv.printable import names
from mcv.rules import preconditions
from mcv.storage.rooms import IMPLICIT, has_implicit

Storage = Literal["drbd", "lvm", "thin", "file", "shared"]
STORAGES: tuple[Storage, ...] = get_args(Storage)

ON: dict[Storage, tuple[PoolType, ...]] = {
    "drbd": ("lvm", "thin"),
    "lvm": ("lvm",),
    "thin": ("thin",),
    "file": ("dir",),
    "shared": ("shared",),
}
OF_POOL: dict[PoolType, Storage] = {
    "dir": "file",
    "lvm": "lvm",
    "thin": "thin",
    "shared": "shared",
}

WHOLE = 4 * 1024**2  # bytes that a disk's size is rounded up to
SECTOR = 4096  # the same in documents of before schema 3


@dataclass(frozen=True)
class Choice:
    """What the disks of a new VM have in common. `nodes`: the owner, then the others."""

    storage: Storage
    pool: str
    nodes: tuple[str, ...]


def choose(
    cluster: Cluster,
    owner: str,
    storage: str | None,
    pool: str | None,
    nodes: list[str] | None,
    problems: list[Refused],
) -> Choice | None:
    """The kind, the pool and the nodes that were asked for, or what is usual; None with problems.

    Without a kind: what the pool is where it is a directory; else drbd where it is enabled and
    the VM has two nodes; else what the pool is; else file.
    """
    before = len(problems)
    type_ = _type_of(cluster, pool, problems)
    if storage is not None and storage not in STORAGES:
        problems.append(
            Refused(f"There is no storage {storage}.", f"It can be: {', '.join(STORAGES)}.")
        )
    if len(problems) > before:
        problems += _not_there(cluster, nodes or [])
        return None
    kind = cast(Storage, storage) if storage else _usual(cluster, type_, nodes)
    if type_ is not None and type_ not in ON[kind]:
        problems.append(
            Refused(
                f"A disk of kind {kind} does not lie in a pool of type {type_} ({pool}).",
                f"It lies in one of type {' or '.join(ON[kind])}. See: mcv pool list",
            )
        )
        return None
    if cluster.schema < 3 and kind != "drbd":
        problems.append(older_member(f"A disk of kind {kind} cannot be written down"))
        return None
    found = _nodes(cluster, owner, kind, nodes, problems)
    chosen = pool or _only_pool(cluster, kind, found, problems)
    if chosen and kind == "shared" and nodes is None:
        there = cluster.pool(chosen).nodes
        found = [owner, *sorted(node for node in there if node != owner)]
    if chosen:
        _require_there(cluster, chosen, found, problems)
    if len(problems) > before:
        return None
    return Choice(storage=kind, pool=chosen, nodes=tuple(found))


def _type_of(cluster: Cluster, pool: str | None, problems: list[Refused]) -> PoolType | None:
    if pool is None:
        return None
    pools = cluster.all_pools
    if pool not in pools:
        problems.append(Refused(f"There is no pool {pool}.", f"Pools: {', '.join(sorted(pools))}."))
        return None
    return pools[pool].type


def _usual(cluster: Cluster, type_: PoolType | None, nodes: list[str] | None) -> Storage:
    if type_ in ("dir", "shared"):
        return OF_POOL[type_]
    if cluster.drbd.enabled and (len(cluster.nodes) if nodes is None else len(nodes)) > 1:
        return "drbd"
    return OF_POOL[type_] if type_ else "file"


def _nodes(
    cluster: Cluster, owner: str, kind: Storage, nodes: list[str] | None, problems: list[Refused]
) -> list[str]:
    """The VM's nodes, the owner first."""
    others = sorted(set(cluster.nodes) - {owner})
    if nodes is None:
        nodes = [owner, *others] if kind == "drbd" and len(others) == 1 else [owner]
        if kind == "drbd" and len(others) > 1:
            problems.append(
                Refused("With more than two nodes, say which two hold the replicas.", "--nodes A,B")
            )
            return nodes
    problems += _not_there(cluster, nodes)
    if owner not in nodes:
        problems.append(Refused(f"{owner}, which is to own it, is not among {', '.join(nodes)}."))
    if len(set(nodes)) != len(nodes):
        problems.append(Refused("A node is named twice in --nodes."))
    problems += _count(cluster, kind, len(nodes))
    return [owner, *(node for node in nodes if node != owner and node in cluster.nodes)]


def _not_there(cluster: Cluster, nodes: list[str]) -> list[Refused]:
    """The nodes that are no members, or take no VMs."""
    found = []
    for node in nodes:
        if node not in cluster.nodes:
            found.append(
                Refused(f"There is no node {node}.", f"Nodes: {', '.join(sorted(cluster.nodes))}.")
            )
        else:
            found += preconditions.why_not_accepting(cluster, node)
    return found


def _count(cluster: Cluster, kind: Storage, count: int) -> list[Refused]:
    """Whether so many nodes fit the kind."""
    found = []
    if kind == "drbd":
        if not cluster.drbd.enabled:
            found.append(Refused("DRBD is not enabled in this cluster.", "First: mcv drbd enable"))
        if len(cluster.nodes) < 2:
            found.append(
                Refused(
                    "A replicated disk needs a second node.",
                    "First: mcv cluster add-node --node N --ip-address IP",
                )
            )
        elif count != 2:
            found.append(Refused(f"A replicated disk lives on two nodes, not on {count}."))
    elif kind != "shared" and count != 1:
        found.append(
            Refused(
                f"A disk of kind {kind} is on one node, its owner's, not on {count}.",
                "Replicated: --storage drbd",
            )
        )
    return found


def _only_pool(cluster: Cluster, kind: Storage, nodes: list[str], problems: list[Refused]) -> str:
    """The only pool of the kind on these nodes; volume groups need none in the document."""
    pools = cluster.all_pools
    fitting = [
        name
        for name, pool in sorted(pools.items())
        if pool.type in ON[kind] and all(node in pool.nodes for node in nodes)
    ]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting and "lvm" in ON[kind] and has_implicit(cluster):
        return IMPLICIT
    if fitting:
        problems.append(
            Refused(
                f"There are several pools for a disk of kind {kind}: {', '.join(fitting)}.",
                "Name one: --pool P",
            )
        )
    else:
        where = names(nodes)
        problems.append(
            Refused(
                f"There is no pool for a disk of kind {kind} on {where}.",
                f"Make one: mcv pool create NAME --type {ON[kind][0]} --location L",
            )
        )
    return ""


def _require_there(cluster: Cluster, pool: str, nodes: list[str], problems: list[Refused]) -> None:
    known = cluster.all_pools.get(pool)
    if known is None or (pool == IMPLICIT and has_implicit(cluster)):
        return
    for node in nodes:
        if node in cluster.nodes and node not in known.nodes:
            problems.append(
                Refused(
                    f"Pool {pool} is not on {node}.",
                    f"mcv pool add-node {pool} --node {node} --location L",
                )
            )


def of_vm(vm: Vm) -> Choice | None:
    """What a further disk of a VM has in common with the first; None for a VM without disks."""
    if not vm.disks:
        return None
    first = vm.disks[0]
    others = tuple(node for node in vm.nodes if node != vm.node)
    storage = cast(Storage, first.storage)
    return Choice(storage=storage, pool=first.pool, nodes=(vm.node, *others))


def new_disk(
    cluster: Cluster,
    name: str,
    uuid: str,
    number: int,
    size: int,
    choice: Choice,
    role: Role = "data",
) -> Disk:
    """Another disk of a VM, by its kind; a replicated one has no minor and no port yet.

    The name of a file holds a part of the VM's UUID: a file of that name is of this disk. So does
    the name of another volume where a VM that was renamed has a disk of the usual name. A disk
    that is not for data is as large as it is asked for, and raw.
    """
    whole = -(-size // unit(cluster)) * unit(cluster) if role == "data" else size
    volume = f"mcv-{name}-{number}"
    file_stem = volume
    if any(disk.volume == volume for _, disk in cluster.disks()):
        volume = f"mcv-{name}-{uuid[:8]}-{number}"
    format: Format = "qcow2" if role == "data" else "raw"
    file = f"{file_stem}-{uuid[:8]}.{format}"
    here = {choice.nodes[0]: ""}
    common: dict[str, Any] = {"id": number, "size": whole}
    if cluster.schema >= 3:
        common |= {"pool": choice.pool, "discard": role == "data", "role": role}
    match choice.storage:
        case "drbd":
            both = dict.fromkeys(choice.nodes, "")
            return DrbdDisk(
                **common,
                volume=volume,
                places=both,
                resource=volume,
                minor=0,
                port=0,
                exact=cluster.schema >= 3,
            )
        case "lvm":
            return LvmDisk(**common, volume=volume, places=here)
        case "thin":
            return ThinDisk(**common, volume=volume, places=here)
        case "file":
            return FileDisk(**common, format=format, volume=file, places=here)
        case "shared":
            return SharedDisk(**common, format=format, volume=file)


def unit(cluster: Cluster) -> int:
    """What the size of a new disk is rounded up to, in bytes."""
    return WHOLE if cluster.schema >= 3 else SECTOR
