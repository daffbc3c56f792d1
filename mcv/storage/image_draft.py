"""A file of an image while it is written: its digest, its holes, and the room that it may take."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from mcv.errors import Refused, in_words
from mcv.sizes import shown

OURS = 0o600


class Draft:
    """A file that is written from its beginning, zeros as holes.

    `room` is what it may take, `largest` how long it may be: a small packed file may hold
    terabytes of zeros.
    """

    def __init__(self, fd: int, directory: Path, room: int, largest: int) -> None:
        self.fd = fd
        self.directory = directory
        self.size = 0
        self._taken = 0
        self._room = room
        self._largest = largest
        self._sha = hashlib.sha256()

    @classmethod
    def at(cls, path: Path, room: int, largest: int) -> "Draft":
        """A draft with a name; what an earlier attempt has written is kept until `begin`."""
        with in_words(path):
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            return cls(os.open(path, flags, OURS), path.parent, room, largest)

    def __enter__(self) -> "Draft":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)

    @property
    def sha256(self) -> str:
        return self._sha.hexdigest()

    def require_room(self, size: int) -> None:
        """Raise Refused where so many bytes more do not fit."""
        if self._taken + size > self._room:
            raise Refused(
                f"The image needs more than the {shown(self._room)} that {self.directory} has.",
                "Make room there: df -h",
            )

    def begin(self) -> None:
        """Forget what an earlier attempt has written."""
        with in_words(self.directory):
            os.ftruncate(self.fd, 0)
        self.size, self._sha = 0, hashlib.sha256()

    def resume(self, length: int, watch: Callable[[], None]) -> None:
        """Go on behind so many bytes, which are there and were compared."""
        with in_words(self.directory):
            while self.size < length:
                data = os.pread(self.fd, min(1 << 22, length - self.size), self.size)
                if not data:
                    break
                self._sha.update(data)
                self.size += len(data)
                watch()

    def write(self, data: bytes) -> None:
        """Write the next bytes. Raises Refused beyond the room, SystemFailed where it is gone."""
        is_hole = data.count(0) == len(data)
        if not is_hole:
            self.require_room(len(data))
            self._taken += len(data)
        if self.size + len(data) > self._largest:
            raise Refused(
                f"The image is larger than {shown(self._largest)}, the file system of "
                f"{self.directory}."
            )
        with in_words(self.directory):
            if is_hole:
                os.ftruncate(self.fd, self.size + len(data))
            else:
                written = 0
                while written < len(data):
                    written += os.pwrite(self.fd, data[written:], self.size + written)
        self._sha.update(data)
        self.size += len(data)

    def sync(self) -> None:
        with in_words(self.directory):
            os.fsync(self.fd)
