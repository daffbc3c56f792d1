"""What stands in for qemu-nbd and qemu-img: volumes hold bytes, so that a lost piece is seen.

A volume's bytes are kept by the piece: what is not kept reads as zeros.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from mcv.document.disks import Format
from mcv.drivers.nbd import Extent
from mcv.errors import CommandFailed
from mcv.storage.pieces import PIECE
from tests.fakes.directories import FakeDirectories
from tests.fakes.volumes import FakeLvm

Pieces = dict[int, bytes]


@dataclass
class FakeNbd:
    """A client of a volume."""

    size: int
    pieces: Pieces
    writable: bool

    def extents(self, offset: int, length: int) -> list[Extent]:
        return [Extent(min(PIECE, length), offset // PIECE * PIECE not in self.pieces)]

    def read(self, offset: int, length: int) -> bytes:
        return self.pieces.get(offset, b"").ljust(length, b"\0")[:length]

    def read_into(self, offset: int, target: memoryview) -> None:
        target[:] = self.read(offset, len(target))

    def write(self, offset: int, data: bytes) -> None:
        if not self.writable:
            raise CommandFailed("The NBD server answered with error 22.")
        if offset + len(data) > self.size:
            raise CommandFailed("The NBD server answered with error 28.")
        self.pieces[offset] = data.rstrip(b"\0")

    def zero(self, offset: int, length: int) -> None:
        self.pieces.pop(offset, None)

    def flush(self) -> None:
        pass


class FakeServer:
    def __init__(self, door: "FakeBlocks", socket: Path, nbd: FakeNbd) -> None:
        self.socket = socket
        self.nbd = nbd
        self._door = door

    def end(self) -> None:
        if self._door.servers.get(self.socket) is self:
            del self._door.servers[self.socket]


class FakeBlocks:
    """The volumes of one host. `ways` are its sockets that lead to another host."""

    def __init__(
        self,
        lvm: FakeLvm,
        directories: FakeDirectories,
        device: Callable[[str], FakeNbd | None] = lambda path: None,
    ) -> None:
        self._device = device  # what a DRBD device that is primary here holds
        self._lvm = lvm
        self._directories = directories
        self.servers: dict[Path, FakeServer] = {}
        self.ways: dict[str, Callable[[], FakeNbd]] = {}
        self.phase: Callable[[str], None] = lambda phase: None
        self.lost: set[int] = set()  # pieces that do not arrive, though they are said to
        self.broken: set[str] = set()
        self.opened: list[tuple[str, bool]] = []  # path and whether it could be written

    def pieces(self, path: str) -> Pieces:
        """The bytes of a volume."""
        return self.volume(path).pieces

    def volume(self, path: str, writable: bool = False) -> FakeNbd:
        where, _, volume = path.rpartition("/")
        if volume in self._lvm.made and where == "/dev/vg0":
            return FakeNbd(self._lvm.made[volume], self._lvm.contents[path], writable)
        if volume in self._directories.made.get(where, {}):
            size = self._directories.made[where][volume]
            return FakeNbd(size, self._directories.contents[path], writable)
        if (device := self._device(path)) is not None:
            return replace(device, writable=writable)
        raise CommandFailed(f"qemu-nbd does not serve {path}: is it in use?")

    def serve(self, path: str, format: Format, socket: Path, writable: bool) -> FakeServer:
        if "serve" in self.broken:
            raise CommandFailed(f"qemu-nbd does not serve {path}: is it in use?")
        self.opened.append((path, writable))
        self.servers[socket] = FakeServer(self, socket, self.volume(path, writable))
        return self.servers[socket]

    @contextlib.contextmanager
    def connect(self, socket: Path) -> Iterator[FakeNbd]:
        yield self._behind(socket)

    def _behind(self, socket: Path) -> FakeNbd:
        if str(socket) in self.ways:
            return self.ways[str(socket)]()
        if socket not in self.servers:
            raise CommandFailed("NBD: Connection refused.")
        return self.servers[socket].nbd

    def convert(
        self, path: str, format: Format, socket: Path, told: Callable[[float], None]
    ) -> None:
        source, target = self.volume(path), self._behind(socket)
        if target.size < source.size:
            raise CommandFailed("`qemu-img` exited with 1: output file is smaller than input file")
        for number, (offset, data) in enumerate(sorted(source.pieces.items()), 1):
            self.phase(f"copies piece {number}")
            if "convert" in self.broken and number > 1:
                raise CommandFailed("`qemu-img` exited with 1: No space left on device")
            if offset not in self.lost:
                target.write(offset, data)
            told(number / len(source.pieces))
