"""The disks of a VM: a tagged union, a member for each kind of storage."""

from typing import Annotated, Literal

from msgspec import Meta, field

from mcv.document.generation import Value
from mcv.document.names import Location, Name, PlainName

Bytes = Annotated[int, Meta(ge=0)]
Result = Literal["clean", "out-of-sync", "interrupted", "never", "running"]
Bus = Literal["virtio", "scsi", "sata", "ide"]
Cache = Literal["none", "writethrough", "writeback", "directsync", "unsafe"]
Format = Literal["raw", "qcow2"]
Role = Literal["data", "efi", "seed", "kernel", "initrd"]
BOOT_ROLES: tuple[Role, ...] = ("kernel", "initrd")
# What QEMU has of the VM, and its guest sees as no disk.
UNSEEN_ROLES: tuple[Role, ...] = ("efi", *BOOT_ROLES)

LETTERS = 26
SECTOR = 512  # bytes
NAME_OF_BUS: dict[Bus, str] = {"virtio": "vd", "scsi": "sd", "sata": "sd", "ide": "hd"}


class Override(Value, frozen=True, kw_only=True):
    """Once, somebody started or moved a VM past a failed verification."""

    who: str
    when: str
    what: str


class Verification(Value, frozen=True, kw_only=True):
    """The last verification of a disk: its result counts until the next one."""

    result: Result = "never"
    when: str = ""
    who: str = ""
    out_of_sync: Bytes = 0
    seconds: float = 0.0
    blocked: bool = False
    operation: str = ""


class AnyDisk(Value, frozen=True, kw_only=True, tag_field="storage"):
    """What every kind of disk has; the tag `storage` names the kind.

    `size` is exact, in bytes. `pool` is "" for a disk of a document of before there were
    pools. `bandwidth` is in bytes a second, `iops` in operations a second; 0 is no limit.
    A disk that is `leaving` has been taken from its VM and may still be open in its guest; with
    `keep` its volume stays when the guest has let go. Where `mirror_of` is not 0 the disk is not
    known to be whole: a running domain was to go over to it from the disk of that id, and only
    the VM's owner can tell whether it did.
    """

    id: int
    size: Bytes
    pool: Annotated[str, Meta(pattern=r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)?\Z")] = ""
    format: Format = "raw"
    role: Role = "data"
    bus: Bus = "virtio"
    cache: Cache = "none"
    discard: bool = False
    iops: Bytes = 0
    bandwidth: Bytes = 0
    leaving: bool = False
    keep: bool = False
    mirror_of: Bytes = 0

    @property
    def storage(self) -> str:
        return str(self.__struct_config__.tag)

    @property
    def target(self) -> str:
        """The name that libvirt gives the disk: vda for disk 1, vdaa for disk 27.

        The firmware's variables, and what is booted directly, are no disks of the guest and have
        none.
        """
        if self.role in UNSEEN_ROLES:
            return ""
        letters, number = "", self.id
        while number > 0:
            number, letter = divmod(number - 1, LETTERS)
            letters = chr(ord("a") + letter) + letters
        return NAME_OF_BUS[self.bus] + letters

    @property
    def blocked(self) -> bool:
        """Whether the disk must not be used before its VM's owner has had it verified."""
        return False

    def clash(self, other: "Disk") -> str:
        """What both disks would have that a host has once; "" where they get along."""
        return ""


class DrbdDisk(AnyDisk, frozen=True, kw_only=True, tag="drbd"):
    """A replicated disk: a replica, on a logical volume, on each of its nodes.

    A disk that is `exact` has its size in its resource file. A disk of before schema 3 is not:
    its device is larger than `size` says, until that is written down.
    `former` is a replica that is being replaced, by its node: it is kept, outdated, until the
    replica that replaces it is whole and checked. `former_port` is the port of its connection.
    """

    volume: PlainName
    # Where the bytes are, by node: a volume group, or VG/POOL for a thin volume. In documents
    # the field bears its name of before there were thin ones.
    places: dict[Name, Location] = field(name="volume_groups")
    resource: PlainName
    minor: int
    port: int
    exact: bool = False
    verification: Verification = Verification()
    former: dict[Name, Location] = field(default_factory=dict)
    former_port: int = 0

    @property
    def blocked(self) -> bool:
        """Whether the disk must not be used before its VM's owner has had it verified."""
        return self.verification.blocked

    @property
    def device(self) -> str:
        """Where the guest's bytes are: the DRBD device."""
        return f"/dev/drbd{self.minor}"

    def other(self, node: str) -> str:
        """The node that holds the other replica."""
        return next((other for other in sorted(self.places) if other != node), node)

    def backing(self, node: str) -> str:
        """The logical volume below the DRBD device on one node."""
        return device_of(self.places[node], self.volume)

    @property
    def ports(self) -> set[int]:
        """The ports that no other disk may have, with that of a replica being replaced."""
        return {self.port, self.former_port} - {0}

    def clash(self, other: "Disk") -> str:
        """What both disks would have that a host has once; "" where they get along."""
        if isinstance(other, DrbdDisk) and (self.minor == other.minor or self.ports & other.ports):
            return f"Minor {self.minor} or port {self.port}"
        return ""


class LocalDisk(AnyDisk, frozen=True, kw_only=True):
    """A disk whose bytes are on one node alone."""

    volume: PlainName
    places: dict[Name, Location]


class FileDisk(LocalDisk, frozen=True, kw_only=True, tag="file"):
    """A file in a directory of one node."""


class LvmDisk(LocalDisk, frozen=True, kw_only=True, tag="lvm"):
    """A logical volume of one node."""


class ThinDisk(LocalDisk, frozen=True, kw_only=True, tag="thin"):
    """A thin volume of one node."""


class SharedDisk(AnyDisk, frozen=True, kw_only=True, tag="shared"):
    """A file in a directory that every node of its pool mounts; the pool says where."""

    volume: PlainName

    @property
    def places(self) -> dict[Name, Location]:
        """Nowhere in particular: the nodes are those of the pool."""
        return {}


# A union over the tag: each kind of storage has its own member, and a module in storage/.
Disk = DrbdDisk | FileDisk | LvmDisk | ThinDisk | SharedDisk


def group_of(location: str) -> str:
    """The volume group of a location: of a volume group, or of a thin pool (VG/POOL)."""
    return location.partition("/")[0]


def device_of(location: str, volume: str) -> str:
    """The device of a logical volume, in a volume group or in a thin pool (VG/POOL)."""
    return f"/dev/{group_of(location)}/{volume}"
