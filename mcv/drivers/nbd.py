"""NBD over a unix socket: the guest's bytes of a disk, whatever its format (NBD's proto.md)."""

import contextlib
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mcv.errors import CommandFailed

GREETING = b"NBDMAGICIHAVEOPT"
OPTION = b"IHAVEOPT"
OPTION_REPLY = 0x3E889045565A9
REQUEST = 0x25609513
SIMPLE_REPLY = 0x67446698
CHUNK = 0x668E33EF

FIXED_AND_NO_ZEROES = 3  # flags of the handshake, of both sides
GO, STRUCTURED_REPLY, SET_META_CONTEXT = 7, 8, 10
ACK, INFO, META_CONTEXT = 1, 3, 4
READ, WRITE, DISCONNECT, FLUSH, WRITE_ZEROES, BLOCK_STATUS = 0, 1, 2, 3, 6, 7
DONE = 1
DATA, HOLE, STATUS, ERROR = 1, 2, 5, 1 << 15
READS_AS_ZERO = 2  # flag of base:allocation

MOST = 64 * 1024**2  # bytes of an answer
SECONDS = 600.0  # that a server has for a request; a disk may be slow


class Extent(NamedTuple):
    """A run of bytes; `is_zero` where the server knows that it reads as zeros."""

    length: int
    is_zero: bool


class _Answer:
    """The memory that the data of an answer goes to, from an offset of the disk on."""

    def __init__(self, offset: int, memory: memoryview) -> None:
        self._offset, self._memory = offset, memory
        self.missing = len(memory)

    def part(self, at: int, length: int) -> memoryview:
        """The memory for a part of the disk. Raises CommandFailed where nobody asked for it."""
        begin = at - self._offset
        if begin < 0 or length < 0 or begin + length > len(self._memory):
            raise CommandFailed("The NBD server answered with bytes that nobody asked for.")
        self.missing -= length
        return self._memory[begin : begin + length]


class Nbd:
    """A connection to the only export of a server. Every method raises CommandFailed."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._handle = 0
        self._context = -1
        self.size = 0
        with _told():
            self._greet()
            self._option(STRUCTURED_REPLY, b"")
            self._ask_for_allocation()
            self._go()

    def extents(self, offset: int, length: int) -> list[Extent]:
        """The runs of data and of zeros from an offset on; they may end before `length`."""
        if self._context < 0:
            return [Extent(length, False)]
        with _told():
            self._request(BLOCK_STATUS, offset, length)
            found: list[Extent] = []
            for kind, payload in self._chunks():
                if kind == STATUS:
                    found += _extents(payload[4:])
        return found or [Extent(length, False)]

    def read(self, offset: int, length: int) -> bytes:
        got = bytearray(length)
        self.read_into(offset, memoryview(got))
        return bytes(got)

    def read_into(self, offset: int, target: memoryview) -> None:
        """Fill memory that is kept: fresh memory for each read costs more than the read."""
        answer = _Answer(offset, target)
        with _told():
            self._request(READ, offset, len(target))
            for kind, payload in self._chunks(answer):
                if kind == HOLE:
                    at, length = struct.unpack(">QI", payload)
                    answer.part(at, length)[:] = bytes(length)
        if answer.missing:
            raise CommandFailed("The NBD server left bytes out.")

    def write(self, offset: int, data: bytes) -> None:
        with _told():
            self._request(WRITE, offset, len(data), data)
            self._finish()

    def zero(self, offset: int, length: int) -> None:
        with _told():
            self._request(WRITE_ZEROES, offset, length)
            self._finish()

    def flush(self) -> None:
        with _told():
            self._request(FLUSH, 0, 0)
            self._finish()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._request(DISCONNECT, 0, 0)
        self._sock.close()

    # The handshake

    def _greet(self) -> None:
        if self._exactly(16) != GREETING:
            raise CommandFailed("What answers is no NBD server.")
        self._exactly(2)
        self._sock.sendall(struct.pack(">I", FIXED_AND_NO_ZEROES))

    def _option(self, option: int, data: bytes) -> list[tuple[int, bytes]]:
        """Ask for something; the replies. Raises CommandFailed where the server refuses it."""
        self._sock.sendall(OPTION + struct.pack(">II", option, len(data)) + data)
        replies: list[tuple[int, bytes]] = []
        while True:
            magic, _, kind, length = struct.unpack(">QIII", self._exactly(20))
            payload = self._exactly(length)
            if magic != OPTION_REPLY or kind >= 1 << 31:
                raise CommandFailed(f"The NBD server refused option {option}.")
            if kind == ACK:
                return replies
            replies.append((kind, payload))

    def _ask_for_allocation(self) -> None:
        query = b"base:allocation"
        data = struct.pack(">III", 0, 1, len(query)) + query
        for kind, payload in self._option(SET_META_CONTEXT, data):
            if kind == META_CONTEXT:
                self._context = struct.unpack_from(">I", payload)[0]

    def _go(self) -> None:
        for kind, payload in self._option(GO, struct.pack(">IH", 0, 0)):
            if kind == INFO and struct.unpack_from(">H", payload)[0] == 0:
                self.size = struct.unpack_from(">Q", payload, 2)[0]

    # Requests

    def _request(self, kind: int, offset: int, length: int, data: bytes = b"") -> None:
        self._handle += 1
        head = struct.pack(">IHHQQI", REQUEST, 0, kind, self._handle, offset, length)
        self._sock.sendall(head + data)

    def _chunks(self, answer: "_Answer | None" = None) -> Iterator[tuple[int, bytes]]:
        """The parts of an answer, in the order of their arrival; data goes straight to `answer`."""
        while True:
            (magic,) = struct.unpack(">I", self._exactly(4))
            if magic == SIMPLE_REPLY:
                error, handle = struct.unpack(">IQ", self._exactly(12))
                self._judge(error, handle)
                return
            flags, kind, handle, length = struct.unpack(">HHQI", self._exactly(16))
            payload = self._exactly(8 if kind == DATA and answer else length)
            if kind == DATA and answer:
                self._fill(answer.part(struct.unpack(">Q", payload)[0], length - 8))
            self._judge(_error_of(payload) if kind & ERROR else 0, handle, magic)
            yield kind, payload
            if flags & DONE:
                return

    def _judge(self, error: int, handle: int, magic: int = CHUNK) -> None:
        if magic != CHUNK or handle != self._handle:
            raise CommandFailed("The NBD server answered in a way that is not NBD's.")
        if error:
            raise CommandFailed(f"The NBD server answered with error {error}.")

    def _finish(self) -> None:
        for _ in self._chunks():
            pass

    def _exactly(self, count: int) -> bytes:
        if count > MOST:
            raise CommandFailed(f"The NBD server answered with {count} bytes at once.")
        got = bytearray(count)
        self._fill(memoryview(got))
        return bytes(got)

    def _fill(self, target: memoryview) -> None:
        while target:
            count = self._sock.recv_into(target)
            if not count:
                raise CommandFailed("The NBD server hung up.")
            target = target[count:]


def connect(path: Path) -> Nbd:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(SECONDS)
        with _told():
            sock.connect(str(path))
        return Nbd(sock)
    except BaseException:
        sock.close()
        raise


def _extents(payload: bytes) -> list[Extent]:
    return [
        Extent(length, bool(flags & READS_AS_ZERO))
        for length, flags in struct.iter_unpack(">II", payload)
    ]


def _error_of(payload: bytes) -> int:
    return int(struct.unpack_from(">I", payload)[0])


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """What the socket or an answer's shape raises, as CommandFailed."""
    try:
        yield
    except (OSError, struct.error, ValueError) as error:
        raise CommandFailed(f"NBD: {error}.") from error
