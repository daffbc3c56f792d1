"""Of two nodes that may shoot each other: which one does at once, and for how long the other waits.

The node that owns more of what is managed, by the sum of priorities, shoots at once. The other one
waits until that shot would have come, so that of two that cut each other off one survives.
"""

from collections.abc import Sequence

from mcv.document.model import Cluster
from mcv.rules import managed

# s; both do not notice a loss at the same time: rounds, looks at paths and DRBD's pings differ.
SKEW = 15.0


def longest_shot(cluster: Cluster) -> float:
    """The longest that a level of any node took to be off and seen off in its test, in seconds."""
    levels = [level for node in cluster.nodes.values() for level in node.levels]
    # A plug's seconds are whole ones, rounded.
    return max((plug.seconds + 1.0 for level in levels for plug in level), default=0.0)


def delay(cluster: Cluster) -> float:
    """How long the second node waits for the shot of the first: twice the longest, and more."""
    return 2 * longest_shot(cluster) + SKEW


def turn(me: str, peer: str, documents: Sequence[Cluster]) -> float:
    """For how many seconds this node waits before it shoots its peer.

    `documents` are the committed one and the proposal, where there is one: the peer may hold
    either alone. Where they do not agree on the first, this node comes after a peer that they give
    the second turn; of two such nodes the first by name comes first.
    """
    wait = max(delay(cluster) for cluster in documents)
    firsts = {_first(cluster, me, peer) for cluster in documents}
    if firsts == {me}:
        return 0.0
    if firsts == {peer}:
        return wait
    return 2 * wait if me < peer else 3 * wait


def _first(cluster: Cluster, me: str, peer: str) -> str:
    """By the sum of priorities of what each owns, and then by name."""
    owners, entries = managed.owners_of(cluster), managed.entries_of(cluster)
    sums = {
        node: sum(entries[name].priority for name, owner in owners.items() if owner == node)
        for node in (me, peer)
    }
    return min((me, peer), key=lambda node: (-sums[node], node))
