"""Which of several documents and proposals is the newest that may have been committed."""

from mcv.document.lineage import contains
from mcv.document.model import Cluster

Held = list[tuple[Cluster, str]]  # what a node holds: the committed document, then its proposal


def writer(new: Cluster, base: Cluster) -> str:
    """The node that may write a document: the coordinator of its parent, or, of a document
    that begins an epoch, its own coordinator."""
    return new.coordinator if new.epoch.number > base.epoch.number else base.coordinator


def acceptors(proposal: Cluster, committed: Cluster) -> set[str]:
    """The nodes whose acceptance a proposal needs: the survivors of a declaration, otherwise
    all nodes that are online before or after the change."""
    if proposal.epoch != committed.epoch:
        return set(proposal.online)
    return {*committed.online, *proposal.online}


def newest(committed: Cluster, hash_: str, held: dict[str, Held]) -> Cluster:
    """The newest document that nodes hold, proposals that may be acknowledged included.

    Precondition: `held` lists what each node that answered holds. Two proposals may exclude
    each other. A proposal that an acceptor among those nodes does not hold cannot have been
    committed and is discarded; if that is so of both, the earlier epoch is discarded.
    """
    newer = {
        key: document
        for documents in held.values()
        for document, key in documents
        if key != hash_ and contains(document, key, committed, hash_)
    }
    tips = [
        (key, document)
        for key, document in newer.items()
        if not any(
            other_key != key and contains(other, other_key, document, key)
            for other_key, other in newer.items()
        )
    ]

    def may_be_committed(key: str, document: Cluster) -> bool:
        answered = acceptors(document, committed) & set(held)
        return all(any(contains(*copy, document, key) for copy in held[name]) for name in answered)

    if len(tips) > 1:
        tips = [tip for tip in tips if may_be_committed(*tip)] or tips
    tips.sort(key=lambda tip: (tip[1].epoch.number, tip[0]))
    return tips[-1][1] if tips else committed
