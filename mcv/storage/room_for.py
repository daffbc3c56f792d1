"""Whether a pool of a node has room for new disks."""

from collections.abc import Sequence

from mcv.document.disks import Disk, DrbdDisk, LvmDisk, ThinDisk
from mcv.document.pools import DEFAULT
from mcv.drivers.lvm import drbd_size, rounded
from mcv.errors import Refused
from mcv.sizes import shown
from mcv.storage import fullness
from mcv.storage.rooms import KEPT_FREE, Room


def needed(disk: Disk, extent: int) -> int:
    """The bytes that a disk takes of a pool whose sizes are whole extents."""
    return (
        drbd_size(disk.size, extent) if isinstance(disk, DrbdDisk) else rounded(disk.size, extent)
    )


def why_not(node: str, pool: str, room: Room, disks: Sequence[Disk]) -> list[Refused]:
    """What forbids to make these disks in a pool of a node.

    A replica in a thin pool takes its whole size at the first full sync, so what all volumes
    there were promised has to fit; a thin volume without replicas may be promised more than
    there is, but no more than the pool, and only where no replica lies beside it: a pool that is
    full freezes the guests of all replicas in it, on the other nodes too.
    """
    asked = sum(needed(disk, room.extent) for disk in disks)
    found = why_not_more(node, pool, room, disks, asked)
    found += [problem for disk in disks if (problem := _why_not_whole(node, pool, room, disk))]
    for volume in sorted({disk.volume for disk in disks} & set(room.volumes)):
        found.append(
            Refused(
                f"There is {volume} in {room.location} on {node} already.",
                "See: mcv cluster check",
            )
        )
    return found


def _why_not_whole(node: str, pool: str, room: Room, disk: Disk) -> Refused | None:
    """What forbids a disk of UEFI's variables: they are found at the end of a device alone."""
    if disk.role != "efi" or not isinstance(disk, LvmDisk | ThinDisk):
        return None
    if rounded(disk.size, room.extent) == disk.size:
        return None
    return Refused(
        f"Pool {pool} on {node} has extents of {shown(room.extent)}: the variables of UEFI, of "
        f"{shown(disk.size)}, do not fill them.",
        "A pool that can have them: mcv pool list",
    )


def why_not_more(
    node: str, pool: str, room: Room, disks: Sequence[Disk], asked: int
) -> list[Refused]:
    """What forbids so many more bytes for these disks, new or there, in a pool of a node."""
    replicated = room.replicated or any(isinstance(disk, DrbdDisk) for disk in disks)
    may_overcommit = room.type == "thin" and not replicated
    free = room.size if may_overcommit else max(0, room.free - room.spoken_for)
    found = []
    if full := fullness.why_full(room):
        said = f"Pool {pool} ({room.location}) on {node} is full: {full}."
        found.append(Refused(said, fullness.HINTS[room.type]))
    if asked <= free:
        return found
    kept = f" ({shown(KEPT_FREE)} of its file system stay free)" if pool == DEFAULT else ""
    of = "" if room.location in ("", pool) else f" ({room.location})"
    said = f"Pool {pool}{of} on {node} has {shown(free)} free, {shown(asked)} are needed{kept}."
    return [*found, Refused(said)]
