"""A disk's volume on this node made larger: steps of plans, and the question before them.

A volume larger than its disk is allowed, so nothing is made smaller on the way back. What was
added is zeroed before DRBD or a guest sees it, on the way back too.
"""

from msgspec import Struct
from msgspec.structs import replace

from mcv.document.disks import DrbdDisk
from mcv.errors import McvError
from mcv.host import Host
from mcv.storage import backings, paths
from mcv.storage.volumes import find


class VolumeSize(Struct, frozen=True, kw_only=True):
    """How many bytes the volume of a disk has on a node; of a qcow2 file those of its guest."""

    size: int


def size(host: Host, name: str, disk: int) -> VolumeSize:
    """How large the volume of a disk is here, looked at and not remembered."""
    cluster, wanted = find(host, name, disk)
    where = paths.location(cluster, wanted, host.name)
    return VolumeSize(size=backings.of(host, wanted).size(where, wanted.volume))


def grow(host: Host, name: str, disk: int, size: int, was: int) -> None:
    """Make the volume hold a disk of `size` bytes, the added part zeroed; harmless when done.

    `was`: the bytes that the volume had before the plan began. QEMU itself makes a file larger
    that it has open. Errors: McvError for a smaller size than the volume holds by now, and where
    the volume has not got its size in the end.
    """
    cluster, known = find(host, name, disk)
    where = paths.location(cluster, known, host.name)
    backing = backings.of(host, known)
    if paths.is_file(known) and known.target in host.domains.disks.targets(name):
        _grow_in_qemu(host, name, known.target, size)
        return
    needed = backings.volume_size(host, replace(known, size=size))
    # DRBD shows its guest no more than the size that its file names.
    if needed > backing.size(where, known.volume) or not isinstance(known, DrbdDisk):
        backing.grow(where, known.volume, needed)
    zero_growth(host, name, disk, was)
    present = backing.size(where, known.volume)
    if present < needed:
        raise McvError(f"{where}/{known.volume} on {host.name} has {present} bytes, not {needed}.")


def _grow_in_qemu(host: Host, name: str, target: str, size: int) -> None:
    present = host.domains.disks.capacity(name, target)
    if size < present:
        raise McvError(f"{target} of {name} has {present} bytes: it does not shrink.")
    host.domains.disks.resize(name, target, size)


def zero_growth(host: Host, name: str, disk: int, was: int) -> None:
    """Zero what was added to the volume behind `was`; harmless where nothing was.

    No byte of the disk as any document knows it is touched, and none of DRBD's metadata, which
    may have been moved to the new end by a boot of the host.
    """
    cluster, known = find(host, name, disk)
    largest = max(each.vm(name).disk(disk).size for each in host.both())
    where = paths.location(cluster, known, host.name)
    backing = backings.of(host, known)
    reserve = backings.reserve(known, backing.size(where, known.volume))
    backing.zero_growth(where, known.volume, max(was, largest), reserve)
