"""An open file without a name that the daemon holds for a later step."""

import os
import threading
from dataclasses import dataclass


@dataclass(frozen=True)
class HeldFile:
    """An open descriptor, the size of what it holds, and whether the later step has begun.

    `limit` is the timer that lets it go where nobody else does; its end ends that too.
    """

    fd: int
    size: int
    is_claimed: bool = False
    limit: threading.Timer | None = None

    def read(self, offset: int, length: int) -> bytes:
        return os.pread(self.fd, length, offset)

    def close(self) -> None:
        if self.limit is not None:
            self.limit.cancel()
        os.close(self.fd)
