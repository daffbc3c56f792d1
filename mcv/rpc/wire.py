"""The wire's limits, and Pyro5 tamed: one serializer, and every message looked at first."""

import collections
import contextlib
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass

import Pyro5
from Pyro5 import errors, protocol, serializers, socketutil

from mcv.rpc.limits import BEGINNING, MAX_CALL, MAX_MESSAGE, may_be_large
from mcv.rpc.values import Json

OBJECT = "mcv"
CHUNK = 256 * 1024
DEAD = 12  # seconds without a sign of life from the other host


@dataclass(frozen=True)
class Limits:
    """Seconds for a handshake, between two messages and for one message; numbers allowed."""

    handshake: float = 5
    idle: float = 60
    message: float = 60
    peers: int = 64
    strangers: int = 32  # not authenticated yet, beside the peers
    strangers_of_one: int = 8  # of one address
    operators: int = 256


def configure() -> None:
    """Set Pyro5 up for this process, whatever its environment says; harmless when repeated."""
    config = Pyro5.config
    config.reset(use_environment=False)
    config.MAX_MESSAGE_SIZE = MAX_MESSAGE
    config.SERIALIZER = "json"
    config.ITER_STREAMING = False
    config.MAX_RETRIES = 0
    json = Json()
    for table, key in (
        (serializers.serializers, "json"),
        (serializers.serializers_by_id, json.serializer_id),
    ):
        table.clear()
        table[key] = json


configure()


class Connection(socketutil.SocketConnection):  # type: ignore[misc]
    """A socket that reads whole messages against a deadline and looks at each before Pyro does.

    What Pyro would do for a stranger's header is refused here, before anything is
    decoded: other serializers; compressed data, of which 64 MiB unfold to any size;
    one-way calls, which get a thread each; batches; annotations, one kind of
    which is handed to marshal. `expects` is the only type of message that may arrive. With
    `message_seconds` a message that has begun, either way, has that long from then on.
    `max_answer` bounds the answer that is waited for; a call is large only where it begins
    as one that brings a document.
    """

    max_answer = MAX_MESSAGE

    def __init__(
        self, sock: socket.socket, expects: int, message_seconds: float | None = None
    ) -> None:
        super().__init__(sock, OBJECT)
        self.sent = False
        self._deadline = 0.0
        self._expects = expects
        self._message_seconds = message_seconds
        self._flags = protocol.FLAGS_CORR_ID
        if expects == protocol.MSG_RESULT:
            self._flags |= protocol.FLAGS_EXCEPTION
        self._parts: collections.deque[bytes] = collections.deque()

    def allow(self, seconds: float) -> None:
        """Set the deadline for all that is read and written until the next call of this."""
        self._deadline = time.monotonic() + seconds

    def fetch(self) -> None:
        """Read one whole message and check its header; Pyro takes it with `recv` afterwards."""
        header = self._read(protocol._header_size)
        message = protocol.ReceivingMessage(header)
        if message.type != self._expects:
            raise errors.ProtocolError(f"a message of type {message.type} was not expected")
        if message.serializer_id != Json.serializer_id:
            raise errors.ProtocolError(f"serializer {message.serializer_id} is not spoken here")
        if message.flags & ~self._flags or message.annotations_size:
            raise errors.ProtocolError(f"flags {message.flags:#x} or annotations are not taken")
        self._begin()
        self._parts.extend((header[:6], header[6:], self._payload(message.data_size)))

    def _payload(self, size: int) -> bytes:
        """Read a message behind its header; what is too large is refused before it is read."""
        if self._expects == protocol.MSG_RESULT and size > self.max_answer:
            raise errors.ProtocolError(f"an answer of {size} bytes is not taken")
        if self._expects != protocol.MSG_INVOKE or size <= MAX_CALL:
            return self._read(size)
        beginning = self._read(BEGINNING)
        if not may_be_large(beginning):
            raise errors.ProtocolError(f"a call of {size} bytes brings no document")
        return beginning + self._read(size - len(beginning))

    def recv(self, size: int) -> bytes:
        if not self._parts:
            self.fetch()
        part = self._parts.popleft()
        if len(part) != size:
            raise errors.ProtocolError("Pyro reads messages otherwise than was expected")
        return part

    def send(self, data: bytes) -> None:
        """Send everything. `sent` is false while a part of it is certainly still here."""
        self.sent = False
        self._begin()
        view = memoryview(data)
        while view:
            with self._in_time():
                done = self.sock.send(view[:CHUNK])
            view = view[done:]
        self.sent = True

    def _begin(self) -> None:
        if self._message_seconds is not None:
            self.allow(self._message_seconds)

    def _read(self, size: int) -> bytes:
        got = bytearray()
        while len(got) < size:
            with self._in_time():
                chunk = self.sock.recv(min(size - len(got), CHUNK))
            if not chunk:
                raise errors.ConnectionClosedError("the connection was closed")
            got += chunk
        return bytes(got)

    @contextlib.contextmanager
    def _in_time(self) -> Iterator[None]:
        left = self._deadline - time.monotonic()
        try:
            if left <= 0:
                raise TimeoutError
            self.sock.settimeout(left)
            yield
        except TimeoutError as error:
            raise errors.TimeoutError("timed out") from error
        except OSError as error:
            raise errors.ConnectionClosedError(reason(error)) from error


def watch(sock: socket.socket) -> None:
    """Have the kernel see within DEAD seconds that the host at the other end is dead.

    A daemon may take hours over an answer while its kernel acknowledges; a dead host says
    nothing at all, and nobody is to wait out the hours for it.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 4)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 3)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD * 1000)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def reason(error: OSError) -> str:
    """An error of a socket in few words, as they stand inside a sentence."""
    if isinstance(error, TimeoutError):
        return "timed out"
    said = getattr(error, "reason", None) or error.strerror or str(error)
    return str(said).replace("_", " ").lower()
