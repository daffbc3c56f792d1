"""One request to etcd: to one of its members after the other, over connections that are kept.

The member that answered last is asked first, and one that failed last: with the usual order a
dead member would cost each request its whole time.
"""

import http.client
import logging
import select
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import msgspec

from mcv.errors import Busy, CallLost, McvError, NotUnderstood, PeerUnreachable, Refused, StoreFull
from mcv.etcd.answers import Failure, read
from mcv.etcd.requests import Request

log = logging.getLogger(__name__)

T = TypeVar("T")

PATIENCE = 1.0  # s that one member has for one answer
MOST_IDLE = 4  # connections to one member that are kept while nothing uses them
MOST_ANSWER = 16 * 1024**2  # bytes
PIECE = 64 * 1024

# gRPC's codes of a request that may have been carried out, or not.
UNKNOWN, DEADLINE_EXCEEDED, INTERNAL, UNAVAILABLE = 2, 4, 13, 14
RESOURCE_EXHAUSTED = 8
NO_SPACE = "database space exceeded"
TOO_MUCH = "too many requests"
UNHEALTHY = "unhealthy cluster"  # a change of members comes later than 5 s after a restart


class Endpoint(NamedTuple):
    """Where a member of etcd answers its clients."""

    name: str
    address: str
    port: int


class _Lost(Exception):
    """No answer. `is_sent` tells whether the member may have been asked."""

    def __init__(self, why: str, is_sent: bool) -> None:
        self.why = why
        self.is_sent = is_sent
        super().__init__(why)


class Gateway:
    """Asks the members of one etcd; safe to use from several threads."""

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        context: Callable[[Endpoint], ssl.SSLContext],
        patience: float = PATIENCE,
    ) -> None:
        self._context = context
        self._patience = patience
        self._lock = threading.Lock()
        self._order: list[Endpoint] = list(endpoints)
        self._idle: dict[Endpoint, list[http.client.HTTPSConnection]] = {}

    @property
    def endpoints(self) -> list[Endpoint]:
        """The members in the order in which they are asked."""
        with self._lock:
            return list(self._order)

    def renew(self, endpoints: Sequence[Endpoint]) -> None:
        """Ask these members from now on; connections to others, and their keys, are forgotten."""
        with self._lock:
            kept = [each for each in self._order if each in endpoints]
            self._order = kept + [each for each in endpoints if each not in kept]
            idle, self._idle = self._idle, {}
        for connections in idle.values():
            for connection in connections:
                connection.close()

    def only(self, endpoint: Endpoint) -> "Gateway":
        """A gateway to one of these members alone."""
        return Gateway([endpoint], self._context, self._patience)

    def close(self) -> None:
        """Close the connections that nothing uses."""
        self.renew(self.endpoints)

    def ask(self, path: str, request: Request, shape: type[T], *, writes: bool = False) -> T:
        """The answer of the first member that gives one.

        Raises PeerUnreachable where none does; Refused, StoreFull among it, where etcd
        declines. A request that writes is not sent to a second member once one may have it:
        then CallLost is raised, and whether it was carried out is not known.
        """
        failures: list[str] = []
        last: McvError | None = None
        for endpoint in self.endpoints:
            try:
                return self.ask_one(endpoint, path, request, shape)
            except CallLost as error:
                if writes:
                    raise
                failures.append(error.message)
            except NotUnderstood as error:
                if writes:
                    raise CallLost(error.message, error.hint) from error
                last = error
            except PeerUnreachable as error:
                failures.append(error.message)
        if last is not None:
            raise last
        raise PeerUnreachable(" ".join(failures) or "No member of etcd is known.")

    def ask_one(
        self,
        endpoint: Endpoint,
        path: str,
        request: Request,
        shape: type[T],
        patience: float | None = None,
    ) -> T:
        """The answer of one member.

        Raises PeerUnreachable where it was not asked, CallLost where it may have been and did
        not answer, NotUnderstood for an answer of another shape, Refused where etcd declines.
        """
        patience = patience or self._patience
        body = msgspec.json.encode(request)
        try:
            status, text = self._exchange(endpoint, path, body, time.monotonic() + patience)
            answer = _understood(endpoint.name, path, status, text, shape)
        except _Lost as error:
            self._moved(endpoint, to_front=False)
            said = f"etcd on {endpoint.name} does not answer ({error.why})."
            raise (CallLost if error.is_sent else PeerUnreachable)(said) from error
        except (CallLost, NotUnderstood) as error:
            log.info("%s", error)
            self._moved(endpoint, to_front=False)
            raise
        self._moved(endpoint, to_front=True)
        return answer

    def text(self, endpoint: Endpoint, path: str) -> str:
        """A page of one member's, as text. Raises PeerUnreachable."""
        try:
            status, text = self._exchange(endpoint, path, None, time.monotonic() + self._patience)
        except _Lost as error:
            raise PeerUnreachable(f"etcd on {endpoint.name} does not answer ({error.why}).") from (
                error
            )
        if status != http.client.OK:
            raise PeerUnreachable(f"etcd on {endpoint.name} answers {path} with {status}.")
        return text.decode(errors="replace")

    def lines(
        self, endpoint: Endpoint, path: str, request: Request, patience: float
    ) -> Iterator[bytes]:
        """The lines of a streamed answer of one member; each has so much time.

        Raises PeerUnreachable where it was not asked, CallLost where it stopped answering.
        """
        try:
            connection = self._connection(endpoint, patience)
        except OSError as error:
            raise PeerUnreachable(f"etcd on {endpoint.name} does not answer ({error}).") from error
        try:
            connection.request("POST", path, msgspec.json.encode(request))
            response = connection.getresponse()
            while line := response.readline(MOST_ANSWER):
                yield line
        except (OSError, http.client.HTTPException) as error:
            raise CallLost(f"etcd on {endpoint.name} stopped answering ({error}).") from error
        finally:
            connection.close()

    def _moved(self, endpoint: Endpoint, to_front: bool) -> None:
        with self._lock:
            if endpoint in self._order:
                self._order.remove(endpoint)
                self._order.insert(0 if to_front else len(self._order), endpoint)

    def _exchange(
        self, endpoint: Endpoint, path: str, body: bytes | None, until: float
    ) -> tuple[int, bytes]:
        is_sent = False
        connection: http.client.HTTPSConnection | None = None
        try:
            connection = self._kept(endpoint) or self._connection(endpoint, _left(until))
            connection.sock.settimeout(_left(until))
            is_sent = body is not None
            connection.request("GET" if body is None else "POST", path, body)
            status, text = _answer(connection, until)
        except (OSError, http.client.HTTPException) as error:
            if connection is not None:
                connection.close()
            raise _Lost(str(error) or type(error).__name__, is_sent) from error
        self._keep(endpoint, connection)
        return status, text

    def _connection(self, endpoint: Endpoint, patience: float) -> http.client.HTTPSConnection:
        connection = http.client.HTTPSConnection(
            endpoint.address, endpoint.port, timeout=patience, context=self._context(endpoint)
        )
        connection.connect()
        return connection

    def _kept(self, endpoint: Endpoint) -> http.client.HTTPSConnection | None:
        """A connection that was used before and that the member has not closed since."""
        while True:
            with self._lock:
                idle = self._idle.get(endpoint)
                connection = idle.pop() if idle else None
            if connection is None:
                return None
            # Nothing is awaited on an idle connection: what can be read there is its end.
            if connection.sock and not select.select([connection.sock], [], [], 0)[0]:
                return connection
            connection.close()

    def _keep(self, endpoint: Endpoint, connection: http.client.HTTPSConnection) -> None:
        with self._lock:
            idle = self._idle.setdefault(endpoint, [])
            if connection.sock and len(idle) < MOST_IDLE and endpoint in self._order:
                idle.append(connection)
                return
        connection.close()


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left


def _answer(connection: http.client.HTTPSConnection, until: float) -> tuple[int, bytes]:
    """Status and body of the answer; the whole of it has to come in time."""
    line = connection.sock
    line.settimeout(_left(until))
    response = connection.getresponse()
    text = b""
    while piece := response.read1(PIECE):
        text += piece
        if len(text) > MOST_ANSWER:
            raise http.client.HTTPException(f"more than {MOST_ANSWER} bytes")
        line.settimeout(_left(until))
    response.close()  # the connection serves the next request
    return response.status, text


def _understood(member: str, path: str, status: int, text: bytes, shape: type[T]) -> T:
    if status == http.client.OK:
        return read(member, path, text, shape)
    failure = read(member, path, text, Failure)
    if UNHEALTHY in failure.error:
        raise Busy(f"Not all members of etcd have been up for long enough, {member} says.")
    if failure.code in (UNKNOWN, DEADLINE_EXCEEDED, INTERNAL, UNAVAILABLE):
        raise CallLost(f"etcd on {member} could not say: {failure.error}.")
    if failure.code == RESOURCE_EXHAUSTED and NO_SPACE in failure.error:
        raise StoreFull(
            f"etcd is full, as {member} says, so nothing was changed.",
            "See how full, and what helps: mcv cluster check",
        )
    if failure.code == RESOURCE_EXHAUSTED and TOO_MUCH in failure.error:
        raise PeerUnreachable(f"etcd on {member} has too much to do: {failure.error}.")
    raise Refused(f"etcd on {member} refuses {path}: {failure.error}.")
