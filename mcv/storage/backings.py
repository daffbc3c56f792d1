"""What volumes are made of: a directory, a volume group or a thin pool of this host.

Each verb is harmless when it is done already. A location and a volume name one thing.
"""

from dataclasses import dataclass
from typing import Protocol

from mcv.document.disks import Disk, DrbdDisk, Format, SharedDisk, device_of
from mcv.document.pools import PoolType
from mcv.drivers.lvm import drbd_size, metadata_size, rounded
from mcv.errors import McvError, Refused
from mcv.host import Host
from mcv.storage import marks
from mcv.storage.paths import is_file


class Backing(Protocol):
    """A kind of place for volumes; sizes in bytes."""

    def create(self, location: str, volume: str, size: int, format: Format) -> None:
        """Make a volume that reads as zeros and holds at least `size`."""

    def remove(self, location: str, volume: str) -> None:
        """Delete a volume with all that is in it."""

    def release(self, location: str, volume: str) -> None:
        """Keep a volume whose VM goes: from then on it is the administrator's."""

    def bring_up(self, location: str, volume: str) -> None:
        """Make the volume's path appear after a boot of the host."""

    def why_not_open(self, location: str, volume: str) -> Refused | None:
        """What forbids a domain to open the volume."""

    def size(self, location: str, volume: str) -> int:
        """How many bytes the volume holds for a guest, or for DRBD; McvError without a volume."""

    def grow(self, location: str, volume: str, size: int) -> None:
        """Make a volume that no QEMU has open hold at least `size`; McvError for less."""

    def zero_growth(self, location: str, volume: str, start: int, reserve: int) -> None:
        """Make what was added behind `start` read as zeros, the last `reserve` bytes left out."""

    def adopt(self, location: str, volume: str) -> None:
        """Take a volume over that was released."""


@dataclass(frozen=True)
class Directory:
    """Volumes are files."""

    host: Host

    def create(self, location: str, volume: str, size: int, format: Format) -> None:
        self.host.directories.create(location, volume, size, format)

    def remove(self, location: str, volume: str) -> None:
        self.host.directories.remove(location, volume)

    def release(self, location: str, volume: str) -> None:
        """A file bears no mark of mcv's but its name."""

    def bring_up(self, location: str, volume: str) -> None:
        """A file needs nothing; its file system is the administrator's to mount."""

    def why_not_open(self, location: str, volume: str) -> Refused | None:
        try:
            is_there = self.host.directories.exists(location, volume)
        except McvError as error:
            return Refused(error.message, error.hint)
        if is_there:
            return None
        return Refused(
            f"{self.host.name} has no file {location}/{volume}.",
            "Is its file system mounted? See: mcv cluster check",
        )

    def size(self, location: str, volume: str) -> int:
        return self.host.directories.guest_size(location, volume)

    def grow(self, location: str, volume: str, size: int) -> None:
        self.host.directories.grow(location, volume, size)

    def zero_growth(self, location: str, volume: str, start: int, reserve: int) -> None:
        """What a file did not hold reads as zeros."""

    def adopt(self, location: str, volume: str) -> None:
        """A file bears no mark of mcv's but its name."""


@dataclass(frozen=True)
class SharedDirectory(Directory):
    """The same in a shared pool: the directory is used where it bears the pool's id."""

    pool: str

    def create(self, location: str, volume: str, size: int, format: Format) -> None:
        marks.require(self.host, self.pool)
        super().create(location, volume, size, format)

    def remove(self, location: str, volume: str) -> None:
        marks.require(self.host, self.pool)
        super().remove(location, volume)

    def bring_up(self, location: str, volume: str) -> None:
        marks.require(self.host, self.pool)

    def grow(self, location: str, volume: str, size: int) -> None:
        marks.require(self.host, self.pool)
        super().grow(location, volume, size)

    def why_not_open(self, location: str, volume: str) -> Refused | None:
        try:
            marks.require(self.host, self.pool)
        except Refused as problem:
            return problem
        return super().why_not_open(location, volume)


@dataclass(frozen=True)
class Group:
    """Volumes are logical volumes; `location` is the volume group."""

    host: Host

    def create(self, location: str, volume: str, size: int, format: Format) -> None:
        groups = self.host.volumes.groups()
        if location not in groups:
            raise McvError(f"There is no volume group {location} on {self.host.name}.")
        self.host.volumes.create(location, volume, rounded(size, groups[location].extent_size))
        # lvcreate brings the bytes of deleted VMs.
        self.host.volumes.zero(device_of(location, volume))

    def remove(self, location: str, volume: str) -> None:
        self.host.volumes.remove(location.partition("/")[0], volume)

    def release(self, location: str, volume: str) -> None:
        self.host.volumes.untag(location.partition("/")[0], volume)

    def bring_up(self, location: str, volume: str) -> None:
        self.host.volumes.activate(location.partition("/")[0], volume)

    def why_not_open(self, location: str, volume: str) -> Refused | None:
        if self.host.volumes.volume(location.partition("/")[0], volume) is not None:
            return None
        return Refused(
            f"{self.host.name} has no volume {location}/{volume}.", "See: mcv cluster check"
        )

    def size(self, location: str, volume: str) -> int:
        found = self.host.volumes.volume(location.partition("/")[0], volume)
        if found is None:
            raise McvError(f"There is no volume {location}/{volume} on {self.host.name}.")
        return found.size

    def grow(self, location: str, volume: str, size: int) -> None:
        group = location.partition("/")[0]
        whole = rounded(size, self.host.volumes.groups()[group].extent_size)
        present = self.size(location, volume)
        if whole < present:
            raise McvError(f"{location}/{volume} has {present} bytes: it does not shrink.")
        self.host.volumes.extend(group, volume, whole)

    def zero_growth(self, location: str, volume: str, start: int, reserve: int) -> None:
        length = self.size(location, volume) - reserve - start
        if length > 0:
            self.host.volumes.zero_part(device_of(location, volume), start, length)

    def adopt(self, location: str, volume: str) -> None:
        self.host.volumes.tag(location.partition("/")[0], volume)


@dataclass(frozen=True)
class ThinPool(Group):
    """Volumes are thin ones; `location` is VG/POOL. They read as zeros from the beginning."""

    def create(self, location: str, volume: str, size: int, format: Format) -> None:
        group, _, pool = location.partition("/")
        self.host.volumes.create_thin(group, pool, volume, size)

    def zero_growth(self, location: str, volume: str, start: int, reserve: int) -> None:
        """What a thin volume did not hold reads as zeros."""


def of(host: Host, disk: Disk) -> Backing:
    """The backing of a disk on this host; for a replicated disk, of the replica here."""
    if isinstance(disk, SharedDisk):
        return SharedDirectory(host, disk.pool)
    if is_file(disk):
        return Directory(host)
    where = disk.places.get(host.name, "")
    return ThinPool(host) if "/" in where else Group(host)


def in_pool(host: Host, name: str, type: PoolType) -> Backing:
    """The backing of volumes in a pool, which is of that type."""
    if type == "shared":
        return SharedDirectory(host, name)
    if type == "dir":
        return Directory(host)
    return ThinPool(host) if type == "thin" else Group(host)


def reserve(disk: Disk, volume_size: int) -> int:
    """What DRBD keeps at the end of a volume of so many bytes."""
    return metadata_size(volume_size) if isinstance(disk, DrbdDisk) else 0


def volume_size(host: Host, disk: Disk) -> int:
    """How large the disk's volume has to be here: DRBD keeps its metadata behind the data."""
    if not isinstance(disk, DrbdDisk):
        return disk.size
    group = disk.places[host.name].partition("/")[0]
    groups = host.volumes.groups()
    if group not in groups:
        raise McvError(f"There is no volume group {group} on {host.name}.")
    return drbd_size(disk.size, groups[group].extent_size)
