"""An open file without a name that the daemon holds for a later step."""

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class HeldFile:
    """An open descriptor, the size of what it holds, and whether the later step has begun."""

    fd: int
    size: int
    is_claimed: bool = False

    def read(self, offset: int, length: int) -> bytes:
        return os.pread(self.fd, length, offset)

    def close(self) -> None:
        os.close(self.fd)
