"""How full a pool may be: pure, over what a node tells of it."""

from mcv.document.pools import PoolType
from mcv.rules.finding import Finding, Severity
from mcv.storage.rooms import Room

# Percent of a thin pool, or of a file system. A full one stops guests in the middle of writing.
ATTENTION = 80.0
FULL = 95.0

HINTS: dict[PoolType, str] = {
    "dir": "Make room: df -h",
    "shared": "Make room: df -h",
    "lvm": "Make room: vgs, pvcreate, vgextend",
    "thin": "Make room: lvextend, or for the metadata lvextend --poolmetadatasize",
}


def words(room: Room, from_percent: float) -> str:
    """What of a pool is that full, in words; "" where nothing is, and for a volume group.

    A volume group that is full takes no more volumes, and harms none.
    """
    if room.type == "lvm" or room.problem:
        return ""
    parts = []
    if room.used_percent >= from_percent:
        parts.append(f"{room.used_percent:.0f}% used")
    if room.metadata_percent >= from_percent:
        parts.append(f"{room.metadata_percent:.0f}% of its metadata used")
    return ", ".join(parts)


def why_full(room: Room) -> str:
    """In words, that a thin pool takes no new volume; "" where it does."""
    return words(room, FULL) if room.type == "thin" else ""


def is_full(room: Room) -> bool:
    """Whether writes in the pool fail, or will soon."""
    return bool(words(room, FULL))


def finding(pool: str, node: str, room: Room) -> Finding | None:
    """What a pool in use needs somebody for; None where it needs nobody."""
    if room.problem:
        said = f"Pool {pool} cannot be used on {node}: {room.problem}"
        return Finding(severity=Severity.ERROR, message=said, hint=room.hint)
    said = words(room, ATTENTION)
    if not said:
        return None
    severity = Severity.ERROR if is_full(room) else Severity.WARNING
    message = f"Pool {pool} ({room.location}) on {node} is nearly full: {said}."
    if is_full(room):
        message = f"Pool {pool} ({room.location}) on {node} is full: {said}."
    return Finding(severity=severity, message=message, hint=HINTS[room.type])
