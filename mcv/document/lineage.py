"""What documents are to each other, told by the epochs that each of them lists."""

from mcv.document.model import Cluster, Past


def descends(newer: Cluster, older: Cluster, older_hash: str) -> bool:
    """Whether newer contains older, told by their epochs.

    A document lists each epoch with the generation and hash that it began from. Within
    one epoch the coordinator alone writes, one generation after the other, so there the
    number decides; an epoch that newer lists and older is in ended where the next began, or
    where what settled a divergence says.
    """
    if newer.epoch == older.epoch:
        return newer.generation >= older.generation
    ends = [past for epoch in newer.epochs for past in epoch.also]
    starts = zip(newer.epochs, newer.epochs[1:], strict=False)
    ends += [Past(epoch=one.id, generation=to.generation, hash=to.hash) for one, to in starts]
    for past in ends:
        if past.epoch == older.epoch.id and (
            older.generation < past.generation
            or (older.generation == past.generation and older_hash == past.hash)
        ):
            return True
    return False


def relation(mine: Cluster, my_hash: str, other: Cluster, other_hash: str) -> str:
    """Say how another settled document stands to mine: same, newer, older or diverged."""
    if my_hash == other_hash:
        return "same"
    if mine.epoch == other.epoch and mine.generation == other.generation:
        return "diverged"
    if descends(other, mine, my_hash):
        return "newer"
    return "older" if descends(mine, other, other_hash) else "diverged"


def contains(newer: Cluster, newer_hash: str, older: Cluster, older_hash: str) -> bool:
    """Whether a document is another one, or was made over it."""
    if newer.epoch == older.epoch and newer.generation == older.generation:
        return newer_hash == older_hash
    return descends(newer, older, older_hash)
