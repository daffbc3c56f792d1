"""A listening socket: lets in up to a limit, and gives each connection a thread of its own."""

import contextlib
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from Pyro5 import protocol
from Pyro5.errors import CommunicationError

from mcv.errors import McvError
from mcv.rpc.auth import Caller
from mcv.rpc.wire import Connection, Limits
from mcv.system.addresses import network

log = logging.getLogger(__name__)

TURN = 0.02  # seconds between two looks whether a place is free
QUIET = 60.0  # seconds in which the refusals of a listener make one line of the log


@dataclass(frozen=True)
class AuthenticatedPeer:
    """An authenticated connection: its socket, its caller, whether that is still a member.

    `stream` serves a connection that carries no calls, to its end.
    """

    sock: socket.socket
    caller: Callable[[dict[str, Any]], Caller]
    is_welcome: Callable[[], bool]
    stream: Callable[[], None] | None = None


class ServedConnection:
    """One connection from its accept to its end."""

    def __init__(self, sock: socket.socket, host: str = "") -> None:
        self.sock = sock
        self.host = host  # where it comes from; "" for a unix socket
        self.guest: AuthenticatedPeer | None = None
        # TLS takes the socket's descriptor over: until the guest is there, this one ends both.
        self._plain = sock.dup()
        self.is_busy = False
        self.is_over = False

    def hang_up(self) -> None:
        """End the connection from another thread; the serving thread sees the end and closes.

        SSLSocket.shutdown takes the encryption off first, and an answer that is being
        written could go out in the clear: so the plain socket's shutdown.
        """
        self.is_over = True
        with contextlib.suppress(OSError):
            self._plain.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)

    def admit(self, guest: AuthenticatedPeer) -> None:
        """From here on the connection is this guest's."""
        self.guest, self.sock = guest, guest.sock
        self._plain.close()

    def close(self) -> None:
        self._plain.close()
        with contextlib.suppress(OSError):
            self.sock.close()


class Refusals:
    """Writes refused connections to the log, one line for all within QUIET seconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._untold = 0
        self._told: float | None = None  # monotonic

    def add(self, why: str) -> None:
        """Count a refusal; `why` is told of the last one alone."""
        with self._lock:
            self._untold += 1
            now = time.monotonic()
            if self._told is not None and now - self._told < QUIET:
                return
            log.warning("refused connections: %s; the last: %s", self._untold, why)
            self._untold, self._told = 0, now


class Listener:
    """Serves one listening socket until it is closed.

    `greet` turns an accepted socket into a guest, or raises; it and all that follows run
    in the connection's own thread, so that a silent caller keeps nobody waiting.

    Members have `most` places. Callers that are not authenticated yet have places of their
    own, some for each address; where these are taken the oldest such caller is hung up on,
    so that strangers cost each other a handshake, and a member nothing.

    On a unix socket, which root alone opens, callers wait in turn: the next is accepted when
    a place is free, and the kernel keeps the others.
    """

    def __init__(
        self,
        listener: socket.socket,
        greet: Callable[[socket.socket], AuthenticatedPeer],
        serve: Callable[[Connection, AuthenticatedPeer], None],
        most: int,
        limits: Limits,
    ) -> None:
        self._listener = listener
        self._greet = greet
        self._serve = serve
        self._most = most
        self._limits = limits
        self._visits: dict[ServedConnection, None] = {}  # the oldest first
        self._lock = threading.Lock()
        self._refusals = Refusals()
        self._is_closed = False
        self._is_local = listener.family == socket.AF_UNIX
        self._thread = threading.Thread(target=self._accept, name="accept", daemon=True)
        self._thread.start()

    def close_unwelcome(self) -> None:
        """Close every connection whose caller may no longer call."""
        for visit in self._everyone():
            if visit.guest and not visit.guest.is_welcome():
                visit.hang_up()

    def close(self, grace: float) -> None:
        """Let nobody in, wait some seconds for answers that are under way, then hang up."""
        self._is_closed = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        end = time.monotonic() + grace
        while True:
            waiting = time.monotonic() < end
            for visit in self._everyone():
                if not (waiting and visit.is_busy):
                    visit.hang_up()
            if not waiting or not any(visit.is_busy for visit in self._everyone()):
                break
            time.sleep(0.02)
        self._thread.join(timeout=5)

    def _everyone(self) -> list[ServedConnection]:
        with self._lock:
            return list(self._visits)

    def _accept(self) -> None:
        while not self._is_closed:
            if self._is_local and not self._has_room():
                time.sleep(TURN)
                continue
            try:
                sock, address = self._listener.accept()
            except OSError as error:
                if not self._is_closed:
                    log.warning("accept: %s", error)
                    time.sleep(0.1)
                continue
            self._let_in(sock, network(str(address[0])) if isinstance(address, tuple) else "")

    def _has_room(self) -> bool:
        with self._lock:
            return len(self._visits) < self._most

    def _let_in(self, sock: socket.socket, host: str) -> None:
        try:
            visit = ServedConnection(sock, host)
        except OSError as error:
            log.error("refused a connection: %s", error)
            sock.close()
            return
        with self._lock:
            surplus = self._surplus(host)
            self._visits[visit] = None
        if self._is_closed:
            self._end(visit)
            return
        if surplus is not None:
            surplus.hang_up()
            self._refusals.add(f"{surplus.host or 'a caller'} was silent, and others wait")
        try:
            threading.Thread(target=self._visit, args=(visit,), name="wire", daemon=True).start()
        except RuntimeError as error:
            log.error("refused a connection: %s", error)
            self._end(visit)

    def _surplus(self, host: str) -> ServedConnection | None:
        """The connection that must go before another from this address has a place.

        It is the oldest that is not authenticated: of the address, or of all.
        """
        strangers = [visit for visit in self._visits if visit.guest is None and not visit.is_over]
        neighbours = [visit for visit in strangers if visit.host == host]
        if host and len(neighbours) >= self._limits.strangers_of_one:
            return neighbours[0]
        most = self._limits.strangers if host else self._most
        return strangers[0] if len(strangers) >= most else None

    def _admit(self, visit: ServedConnection, guest: AuthenticatedPeer) -> bool:
        """Give an authenticated caller its place; False where all are taken."""
        with self._lock:
            if sum(other.guest is not None for other in self._visits) >= self._most:
                self._refusals.add(f"{self._most} are open already")
                return False
            visit.admit(guest)
            return True

    def _visit(self, visit: ServedConnection) -> None:
        try:
            guest = self._greet(visit.sock)
            if not self._admit(visit, guest):
                guest.sock.close()
                return
            if guest.stream is not None:
                guest.stream()
            else:
                self._talk(visit, guest)
        except (CommunicationError, OSError) as error:
            log.debug("a connection ended: %s", error)
        except McvError as error:
            log.warning("refused a connection: %s", error)
        except Exception:
            log.exception("a connection ended in an error")
        finally:
            self._end(visit)

    def _talk(self, visit: ServedConnection, guest: AuthenticatedPeer) -> None:
        connection = Connection(guest.sock, protocol.MSG_INVOKE, self._limits.message)
        while not (visit.is_over or self._is_closed):
            connection.allow(self._limits.idle)
            connection.fetch()
            if not guest.is_welcome():
                log.warning("hung up on a caller who is no member any more")
                return
            visit.is_busy = True
            try:
                self._serve(connection, guest)
            finally:
                visit.is_busy = False

    def _end(self, visit: ServedConnection) -> None:
        visit.close()
        with self._lock:
            self._visits.pop(visit, None)


def let_alert_arrive(sock: ssl.SSLSocket, seconds: float = 1) -> None:
    """Read on for a moment after a handshake that failed, so that the other side learns why.

    Closing a socket that still has something to read makes the kernel send a reset,
    which can overtake the alert.
    """
    end = time.monotonic() + seconds
    with contextlib.suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_WR)
        while (left := end - time.monotonic()) > 0:
            sock.settimeout(left)
            if not socket.socket.recv(sock, 65536):
                return
