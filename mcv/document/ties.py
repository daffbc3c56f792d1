"""Ties between VMs and services: what one allows beside the others, and what a name leaves."""

from collections.abc import Iterable, Sequence
from itertools import combinations

from msgspec.structs import replace

from mcv.document.ha_entries import Tie


def without(ties: Sequence[Tie], name: str) -> tuple[Tie, ...]:
    """The ties without a name; one that ties nothing to another any more is gone."""
    return _kept(replace(tie, names=tuple(n for n in tie.names if n != name)) for tie in ties)


def renamed(ties: Sequence[Tie], name: str, new: str) -> tuple[Tie, ...]:
    """The ties with another name of the same VM or service."""
    return _kept(
        replace(tie, names=tuple(sorted(new if n == name else n for n in tie.names)))
        for tie in ties
    )


def _kept(ties: Iterable[Tie]) -> tuple[Tie, ...]:
    return tuple(sorted({tie for tie in ties if len(tie.names) > 1}))


def contradictions(ties: Sequence[Tie]) -> list[tuple[str, str]]:
    """Pairs that are to run apart and are tied together, if by others between them."""
    group: dict[str, str] = {}

    def root(name: str) -> str:
        while group.get(name, name) != name:
            name = group[name]
        return name

    for tie in ties:
        if tie.kind == "together":
            for name in tie.names[1:]:
                group[root(name)] = root(tie.names[0])
    apart = (pair for tie in ties if tie.kind == "apart" for pair in combinations(tie.names, 2))
    return sorted({(one, other) for one, other in apart if root(one) == root(other)})
