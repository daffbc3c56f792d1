"""Where the bytes of a disk are: the one place where a location and a volume become a path."""

from mcv.document.disks import Disk, DrbdDisk, FileDisk, SharedDisk, device_of
from mcv.document.model import Cluster
from mcv.document.pools import PoolType
from mcv.drivers.domain_xml import Source


def location(cluster: Cluster, disk: Disk, node: str) -> str:
    """Where the disk's volume lies on a node: a directory, a volume group, or VG/POOL.

    "" where the node has no part of the disk.
    """
    if isinstance(disk, SharedDisk):
        pool = cluster.all_pools.get(disk.pool)
        return pool.nodes.get(node, "") if pool else ""
    return disk.places.get(node, "")


def volume_path(cluster: Cluster, disk: Disk, node: str) -> str:
    """The file or the logical volume of the disk on a node, "" where it has none there."""
    where = location(cluster, disk, node)
    if not where:
        return ""
    return f"{where}/{disk.volume}" if is_file(disk) else device_of(where, disk.volume)


def joined(type: PoolType, where: str, volume: str) -> str:
    """A volume of a pool of a type at a location, whatever disk it is of, or of none."""
    return f"{where}/{volume}" if type in ("dir", "shared") else device_of(where, volume)


def path(cluster: Cluster, disk: Disk, node: str) -> str:
    """What QEMU opens on a node: the DRBD device, or else the volume; "" where there is none."""
    return disk.device if isinstance(disk, DrbdDisk) else volume_path(cluster, disk, node)


def source(cluster: Cluster, disk: Disk, node: str) -> Source:
    """The same for the domain's XML."""
    return Source(type="file" if is_file(disk) else "block", path=path(cluster, disk, node))


def is_file(disk: Disk) -> bool:
    return isinstance(disk, FileDisk | SharedDisk)
