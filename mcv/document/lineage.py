"""What documents are to each other, told by the epochs that each of them lists."""

from mcv.document.generation import Past
from mcv.document.model import Cluster


def descends(newer: Cluster, older: Cluster, older_hash: str) -> bool:
    """Whether newer contains older, told by their epochs.

    A document lists each epoch with the generation and hash that it began from. Within one
    epoch a single coordinator writes one generation after the other, so there the number
    decides. An earlier epoch ended at the document that the next one began from, or at the
    end that a resolved divergence names.
    """
    if newer.epoch == older.epoch:
        return newer.generation >= older.generation
    ends = [past for epoch in newer.epochs for past in epoch.also]
    starts = zip(newer.epochs, newer.epochs[1:], strict=False)
    ends += [Past(epoch=old.id, generation=new.generation, hash=new.hash) for old, new in starts]
    for past in ends:
        if past.epoch == older.epoch.id and (
            older.generation < past.generation
            or (older.generation == past.generation and older_hash == past.hash)
        ):
            return True
    return False


def relation(own: Cluster, own_hash: str, other: Cluster, other_hash: str) -> str:
    """How another committed document stands to this node's: same, newer, older or diverged."""
    if own_hash == other_hash:
        return "same"
    if own.epoch == other.epoch and own.generation == other.generation:
        return "diverged"
    if descends(other, own, own_hash):
        return "newer"
    return "older" if descends(own, other, other_hash) else "diverged"


def contains(newer: Cluster, newer_hash: str, older: Cluster, older_hash: str) -> bool:
    """Whether a document is the older one, or was made over it."""
    if newer.epoch == older.epoch and newer.generation == older.generation:
        return newer_hash == older_hash
    return descends(newer, older, older_hash)
