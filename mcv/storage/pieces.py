"""What two sides of a copy compare: a digest for each piece of a disk."""

import hashlib

from msgspec import Struct

from mcv.drivers.nbd import Nbd

PIECE = 4 * 1024**2  # bytes
MOST_PIECES = 4096  # of an answer
MOST_READ = 256 * 1024**2  # bytes that are read for an answer
LOOK = 1024**3  # bytes of which the server is asked at once whether they are zeros


class Digests(Struct, frozen=True, kw_only=True):
    """The pieces of a disk of `size` bytes from an offset on: a sha256, "" where all is zero."""

    size: int
    pieces: list[str]


def digests(nbd: Nbd, offset: int, end: int) -> Digests:
    """The digests of the pieces up to `end`, as many as an answer takes; at least one."""
    zeros, memory = _Zeros(nbd), bytearray(PIECE)
    end, read = min(end, nbd.size), 0
    found: list[str] = []
    while offset < end and len(found) < MOST_PIECES and read < MOST_READ:
        length = min(PIECE, end - offset)
        if zeros.cover(offset, length):
            found.append("")
        else:
            memory = memory if length == PIECE else bytearray(length)
            nbd.read_into(offset, memoryview(memory))
            found.append(digest(memory))
            read += length
        offset += length
    return Digests(size=nbd.size, pieces=found)


def digest(data: bytes | bytearray) -> str:
    return "" if data.count(0) == len(data) else hashlib.sha256(data).hexdigest()


class _Zeros:
    """Where a disk reads as zeros by its server's own word; the last answer is kept."""

    def __init__(self, nbd: Nbd) -> None:
        self._nbd = nbd
        self._begin = self._end = 0
        self._is_zero = False

    def cover(self, offset: int, length: int) -> bool:
        end = offset + length
        while offset < end:
            if not self._begin <= offset < self._end:
                self._look(offset)
            if not self._is_zero:
                return False
            offset = min(end, self._end)
        return True

    def _look(self, offset: int) -> None:
        first = self._nbd.extents(offset, min(LOOK, self._nbd.size - offset))[0]
        self._begin, self._end, self._is_zero = offset, offset + first.length, first.is_zero
