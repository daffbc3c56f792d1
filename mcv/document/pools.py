"""Pools, where disks lie, and images, which disks are filled from."""

from collections.abc import Iterable
from typing import Annotated, Literal

from msgspec import Meta, field
from msgspec.structs import replace

from mcv.document.claim import Claim
from mcv.document.disks import Bytes, Format
from mcv.document.generation import Value
from mcv.document.names import Location, Name

PoolType = Literal["dir", "lvm", "thin", "shared"]
ImageState = Literal["ready", "syncing", "failed"]
ImageKind = Literal["disk", "iso"]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]

DEFAULT = "default"  # a pool that every node has
DEFAULT_LOCATION = "/var/lib/mcv/pool"


class Pool(Value, frozen=True, kw_only=True):
    """Where disks lie: on each of its nodes a directory, a volume group, or VG/POOL.

    A shared pool is proved on each node by the file that holds its `id`. `locks` are the nodes
    whose locks were seen to exclude each other there: none, or two at least.
    """

    type: PoolType
    nodes: dict[Name, Location]
    id: Annotated[str, Meta(pattern=r"^[0-9a-f-]{0,36}\Z")] = ""
    locks: tuple[Name, ...] = ()
    claim: Claim | None = None

    def without(self, node: str) -> "Pool":
        kept = {name: location for name, location in self.nodes.items() if name != node}
        return replace(self, nodes=kept, locks=excluding(set(self.locks) - {node}))


def excluding(nodes: Iterable[str]) -> tuple[str, ...]:
    """Nodes whose locks exclude each other; a node alone excludes nobody."""
    names = tuple(sorted(nodes))
    return names if len(names) > 1 else ()


class Image(Value, frozen=True, kw_only=True):
    """A disk image or a CD, kept once on each of its nodes, in the directory of images.

    `bytes` is how long its file is, `size` how large the guest sees it; `sha256` is the
    file's, `given` that of the bytes which it came from, before they were unpacked. `problems`
    says of each node where the image `failed` why.
    """

    kind: ImageKind
    format: Format
    size: Bytes
    bytes: Bytes
    sha256: Sha256
    given: Sha256
    nodes: dict[Name, ImageState] = field(default_factory=dict)
    problems: dict[Name, str] = field(default_factory=dict)
    claim: Claim | None = None

    @property
    def ready(self) -> list[str]:
        """The nodes that have the image whole."""
        return sorted(node for node, state in self.nodes.items() if state == "ready")

    def without(self, node: str) -> "Image":
        return replace(
            self,
            nodes={key: state for key, state in self.nodes.items() if key != node},
            problems={key: text for key, text in self.problems.items() if key != node},
        )
