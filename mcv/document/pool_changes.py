"""Changes of pools."""

from typing import Any

import msgspec
from msgspec.structs import replace

from mcv.document.disks import Disk
from mcv.document.generation import ChangeMade
from mcv.document.model import Cluster
from mcv.document.pools import DEFAULT, Pool, excluding
from mcv.document.registry import busy, change, claimed, new_claim, operation_of, released
from mcv.document.vm_nodes import spread
from mcv.errors import Refused


@change("pool.add")
def pool_add(
    base: Cluster, made: ChangeMade, /, name: str, pool: dict[str, Any], why: str = ""
) -> Cluster:
    """A new pool, on nodes that are members; with `why` its entry comes with its claim."""
    claim = new_claim(base, made, why) if why else None
    new = replace(msgspec.convert(pool, Pool), claim=claim)
    if name in base.all_pools:
        raise Refused(f"There is a pool {name} already.", "See: mcv pool list")
    for node in new.nodes:
        base.node(node)
    return replace(base, pools={**base.pools, name: new})


@change("pool.extend")
def pool_extend(
    base: Cluster,
    made: ChangeMade,
    /,
    name: str,
    node: str,
    location: str,
    locks: list[str] | None = None,
) -> Cluster:
    """A pool on one more node; Refused where the pool is on it already.

    `locks` are the nodes whose locks exclude each other there, the new one perhaps among them.
    """
    base.node(node)
    pool = _unclaimed(base, made, name)
    if node in pool.nodes:
        raise Refused(f"Pool {name} is on {node} already ({pool.nodes[node]}).")
    wider = with_pool_on(base, name, replace(pool, nodes={node: location}))
    there = wider.pools[name]
    known = {*pool.locks, *(locks or ())} & there.nodes.keys()
    return spread(_with(wider, name, replace(there, locks=excluding(known))))


@change("pool.reduce")
def pool_reduce(base: Cluster, made: ChangeMade, /, name: str, node: str) -> Cluster:
    """A pool without one of its nodes; Refused while a disk lies there, or for the last node."""
    pool = _unclaimed(base, made, name)
    if node not in pool.nodes:
        return base
    require_without(base, name, node)
    return spread(_with(base, name, pool.without(node)))


@change("pool.remove")
def pool_remove(base: Cluster, made: ChangeMade, /, name: str) -> Cluster:
    """Forget a pool; Refused while a disk lies in it, without effect where it is gone."""
    if name not in base.pools:
        return base
    _unclaimed(base, made, name)
    require_empty(base, name)
    return replace(base, pools={key: pool for key, pool in base.pools.items() if key != name})


@change("pool.claim")
def pool_claim(base: Cluster, made: ChangeMade, /, name: str, why: str) -> Cluster:
    """Claim a pool; Busy while another operation has claimed it."""
    return _with(base, name, claimed(base, made, name, own(base, name), why))


@change("pool.release")
def pool_release(base: Cluster, made: ChangeMade, /, name: str) -> Cluster:
    """End the claim; without effect where the pool, or this operation's claim, is gone."""
    pool = released(made, base.pools.get(name))
    return base if pool is None else _with(base, name, pool)


def own(base: Cluster, name: str) -> Pool:
    """A pool of the document; Refused for `default`, which every node has."""
    if name == DEFAULT:
        raise Refused(f"The pool {DEFAULT} is on every node and stays as it is.")
    return base.pool(name)


def _unclaimed(base: Cluster, made: ChangeMade, name: str) -> Pool:
    """A pool of the document that no other operation has claimed; Busy where one has."""
    pool = own(base, name)
    if pool.claim is not None and pool.claim.operation != operation_of(made):
        raise busy(name, pool.claim)
    return pool


def require_place(base: Cluster, made: ChangeMade, disk: Disk) -> None:
    """Precondition of a new disk: its pool takes disks, and is where the disk is to lie.

    Errors: NotFound where the pool is gone, Busy while another operation has claimed it (it is
    being made or deleted), Refused where it lies elsewhere by now.
    """
    if not disk.pool:
        return
    pool = base.pool(disk.pool)
    if pool.claim is not None and pool.claim.operation != operation_of(made):
        raise busy(f"Pool {disk.pool}", pool.claim)
    for node, location in disk.places.items():
        if pool.nodes.get(node) != location:
            raise Refused(
                f"Pool {disk.pool} is not at {location} on {node} any more.", "See: mcv pool list"
            )


def with_pool_on(base: Cluster, name: str, pool: Pool) -> Cluster:
    """The document with a pool on more nodes; Refused where a node has another location."""
    known = base.pools.get(name, pool)
    for node, location in pool.nodes.items():
        base.node(node)
        if known.type != pool.type or known.nodes.get(node, location) != location:
            raise Refused(f"Pool {name} on {node} is another: {known.nodes.get(node)}.")
    return _with(base, name, replace(known, nodes={**known.nodes, **pool.nodes}))


def without_node(base: Cluster, node: str) -> Cluster:
    """The document whose pools and images are not on a node; a pool that was there alone goes."""
    pools = {name: pool.without(node) for name, pool in base.pools.items()}
    images = {name: image.without(node) for name, image in base.images.items()}
    left = {name: pool for name, pool in pools.items() if pool.nodes}
    return spread(replace(base, pools=left, images=images))


def _with(base: Cluster, name: str, pool: Pool) -> Cluster:
    return replace(base, pools={**base.pools, name: pool})


def require_without(base: Cluster, name: str, node: str) -> None:
    """Raise Refused while a disk of the pool lies on the node, and for the pool's last node."""
    require_empty(base, name, node)
    if list(base.pool(name).nodes) == [node]:
        raise Refused(f"{node} is the last node of pool {name}.", f"mcv pool delete {name}")


def require_empty(base: Cluster, name: str, node: str = "") -> None:
    """Raise Refused while a disk lies in the pool; with a node, while its VM needs it there."""
    users = sorted(
        {
            vm.name
            for vm, disk in base.disks()
            if disk.pool == name
            and (not node or node in disk.places or (disk.storage == "shared" and vm.node == node))
        }
    )
    if users:
        raise Refused(
            f"Pool {name} holds disks of {', '.join(users)}.",
            f"Move them first: mcv disk move {users[0]} ID --pool P",
        )
