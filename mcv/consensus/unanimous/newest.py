"""Which of several documents and proposals is the newest that may have been committed."""

from mcv.document.lineage import contains
from mcv.document.model import Cluster

Held = list[tuple[Cluster, str]]  # what one node has: the settled document, then its proposal


def writer(new: Cluster, base: Cluster) -> str:
    """Who may write a document: the coordinator of its parent, or who begins an epoch with it."""
    return new.coordinator if new.epoch.number > base.epoch.number else base.coordinator


def needed(proposal: Cluster, settled: Cluster) -> set[str]:
    """Whose acceptance a proposal needs: of a declaration its survivors', else that of all
    who are online before or after it."""
    if proposal.epoch != settled.epoch:
        return set(proposal.online)
    return {*settled.online, *proposal.online}


def newest(settled: Cluster, hash_: str, held: dict[str, Held]) -> Cluster:
    """The newest of what nodes hold, proposals that may have been acknowledged included.

    Of two proposals that exclude each other, one that a node whose acceptance it needs does
    not hold was never settled and gives way; if that is so of both, the earlier epoch.
    """
    found = {
        one_hash: one
        for documents in held.values()
        for one, one_hash in documents
        if one_hash != hash_ and contains(one, one_hash, settled, hash_)
    }
    last = [
        (key, one)
        for key, one in found.items()
        if not any(
            other != key and contains(newer, other, one, key) for other, newer in found.items()
        )
    ]

    def may_be_settled(key: str, one: Cluster) -> bool:
        asked = needed(one, settled) & set(held)
        return all(any(contains(*mine, one, key) for mine in held[name]) for name in asked)

    if len(last) > 1:
        last = [pair for pair in last if may_be_settled(*pair)] or last
    last.sort(key=lambda pair: (pair[1].epoch.number, pair[0]))
    return last[-1][1] if last else settled
