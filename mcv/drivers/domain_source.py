"""Where the bytes of a disk are, as a definition says it."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Source:
    """Where the bytes of a disk are on every node where its VM may run."""

    type: Literal["block", "file"]
    path: str
