"""Pools, where disks lie, and images, which disks are filled from."""

from typing import Annotated, Literal

from msgspec import Meta, field

from mcv.document.claim import Claim
from mcv.document.disks import Bytes, Format
from mcv.document.generation import Value
from mcv.document.names import Location, Name

PoolType = Literal["dir", "lvm", "thin", "shared"]
ImageState = Literal["ready", "syncing", "failed"]

DEFAULT = "default"  # a pool that every node has
DEFAULT_LOCATION = "/var/lib/mcv/pool"


class Pool(Value, frozen=True, kw_only=True):
    """Where disks lie: on each of its nodes a directory, a volume group, or VG/POOL.

    A shared pool is proved on each node by the file that holds its `id`.
    """

    type: PoolType
    nodes: dict[Name, Location]
    id: Annotated[str, Meta(pattern=r"^[0-9a-f-]{0,36}\Z")] = ""
    claim: Claim | None = None


class Image(Value, frozen=True, kw_only=True):
    """A disk image or a CD, kept once on each of its nodes, in the directory of images.

    `bytes` is how long its file is, `size` how large the guest sees it; `sha256` is the
    file's.
    """

    kind: Literal["disk", "iso"]
    format: Format
    size: Bytes
    bytes: Bytes
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    nodes: dict[Name, ImageState] = field(default_factory=dict)
    claim: Claim | None = None
