"""The document and its past, for human eyes."""

import difflib
import json
from typing import Any

from msgspec import Struct

from mcv.document.history import on_disk
from mcv.document.model import Cluster, digest, encode
from mcv.errors import NotFound
from mcv.host import Host


def show(host: Host, generation: int | None = None) -> dict[str, Any]:
    return dict(json.loads(encode(_find(host, generation))))


def _find(host: Host, generation: int | None) -> Cluster:
    if generation is None:
        return host.read()
    for cluster in host.consensus.generations():
        if cluster.generation == generation:
            return cluster
    raise NotFound(f"Generation {generation} is not kept.", "See: mcv config history")


class HistoryRow(Struct, frozen=True, kw_only=True):
    """One generation of the document that is kept."""

    epoch: int
    generation: int
    hash: str
    who: str
    when: str
    why: str


class Diff(Struct, frozen=True, kw_only=True):
    lines: list[str]


def history(host: Host) -> list[HistoryRow]:
    """Every generation that is kept, the newest first."""
    return [
        HistoryRow(
            epoch=cluster.epoch.number,
            generation=cluster.generation,
            hash=digest(cluster),
            who=cluster.change.who,
            when=cluster.change.when,
            why=cluster.change.why,
        )
        for cluster in host.consensus.generations()
    ]


def diff(host: Host, a: int, b: int) -> Diff:
    old, new = _find(host, a), _find(host, b)
    lines = difflib.unified_diff(
        on_disk(old).splitlines(),
        on_disk(new).splitlines(),
        f"generation {a}",
        f"generation {b}",
        lineterm="",
    )
    return Diff(lines=list(lines))
