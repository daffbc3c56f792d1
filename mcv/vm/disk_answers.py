"""What the verbs of disks answer an operator."""

from msgspec import Struct


class DiskRow(Struct, frozen=True, kw_only=True):
    """One disk of a VM as the document has it; `places` are its locations by node."""

    id: int
    target: str
    size: int
    storage: str
    pool: str | None
    bus: str
    role: str
    places: dict[str, str]
    leaving: bool
    volume: str
    format: str
    cache: str
    discard: bool
    iops: int
    bandwidth: int


class DiskAdded(Struct, frozen=True, kw_only=True):
    """A VM's new disk: where the VM may run now, and whether its guest has the disk already."""

    name: str
    disk: int
    target: str
    size: int
    storage: str
    pool: str
    nodes: list[str]
    attached: bool


class DiskRemoved(Struct, frozen=True, kw_only=True):
    """A disk that is gone from a VM, and the volume of it that was kept."""

    name: str
    disk: int
    kept: list[str]


class DiskGrown(Struct, frozen=True, kw_only=True):
    """A disk's size now, in bytes, and whether a guest was told."""

    name: str
    disk: int
    size: int
    told: bool


class DiskSet(Struct, frozen=True, kw_only=True):
    """What of a disk was changed, in words; `pending` counts from the next start on."""

    name: str
    disk: int
    said: str
    pending: list[str]


class DiskMoved(Struct, frozen=True, kw_only=True):
    """Where a disk of a VM is now: kind, pool, and the nodes that have it."""

    name: str
    disk: int
    storage: str
    pool: str
    nodes: list[str]
