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

log = logging.getLogger(__name__)


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

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.guest: AuthenticatedPeer | None = None
        self.is_busy = False
        self.is_over = False

    def hang_up(self) -> None:
        """End the connection from another thread; the serving thread sees the end and closes.

        SSLSocket.shutdown takes the encryption off first, and an answer that is being
        written could go out in the clear: so the plain socket's shutdown.
        """
        self.is_over = True
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)


class Listener:
    """Serves one listening socket until it is closed.

    `greet` turns an accepted socket into a guest, or raises; it and all that follows run
    in the connection's own thread, so that a silent caller keeps nobody waiting.
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
        self._visits: set[ServedConnection] = set()
        self._lock = threading.Lock()
        self._is_closed = False
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
            try:
                sock, _address = self._listener.accept()
            except OSError as error:
                if not self._is_closed:
                    log.warning("accept: %s", error)
                    time.sleep(0.1)
                continue
            self._let_in(sock)

    def _let_in(self, sock: socket.socket) -> None:
        visit = ServedConnection(sock)
        with self._lock:
            full = len(self._visits) >= self._most
            if not full:
                self._visits.add(visit)
        if full or self._is_closed:
            log.warning("refused a connection: %s are open already", self._most)
            self._end(visit)
            return
        try:
            threading.Thread(target=self._visit, args=(visit,), name="wire", daemon=True).start()
        except RuntimeError as error:
            log.error("refused a connection: %s", error)
            self._end(visit)

    def _visit(self, visit: ServedConnection) -> None:
        try:
            visit.guest = self._greet(visit.sock)
            visit.sock = visit.guest.sock
            if visit.guest.stream is not None:
                visit.guest.stream()
            else:
                self._talk(visit, visit.guest)
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
        with contextlib.suppress(OSError):
            visit.sock.close()
        with self._lock:
            self._visits.discard(visit)


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
