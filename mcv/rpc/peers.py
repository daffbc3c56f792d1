"""Calls to the other daemons of the cluster, over TLS, each to exactly one certificate."""

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn, TypeVar

from mcv.errors import CallLost, McvError, NotMember, NotThatNode, PeerUnreachable, wait_for
from mcv.rpc import names, tls, tunnel
from mcv.rpc.client_connection import ClientConnection, ConnectionLost
from mcv.rpc.pki import Identity
from mcv.rpc.wire import reason, watch

MOST_IDLE = 4
MOST_BEGINNING = 6  # connections to a node that are not authenticated yet; it allows 8
IDLE_SECONDS = 30
CALL_AGAIN = (0.05, 0.2)  # pauses, in seconds, after which a node is called again

T = TypeVar("T")


class Address(NamedTuple):
    """Where a node answers, and the certificate (as PEM) that it is."""

    host: str
    port: int
    certificate_pem: str


@dataclass(frozen=True)
class _Idle:
    line: ClientConnection
    address: Address


class Peers:
    """Calls other nodes; errors tell a call surely not carried out from a call that may have been.

    Many threads may call at once. Each call has a connection of its own, and a few idle
    connections are kept for the next. `advice` is the hint of a node that does not answer this
    node; an error that a node answers with, about a third node too, keeps its own.
    """

    def __init__(
        self, identity: Identity, find: Callable[[str], Address], connect_timeout: float = 3.0
    ) -> None:
        self.advice: Callable[..., str] = wait_for
        self._identity = identity
        self._find = find
        self._connect_timeout = connect_timeout
        self._idle: dict[str, list[_Idle]] = {}
        self._lock = threading.Lock()
        self._turns: dict[str, threading.Semaphore] = {}

    def only(self, address: Address) -> "Peers":
        """Calls to what answers at one address, with this node's key."""
        return Peers(self._identity, lambda _: address, self._connect_timeout)

    def call(
        self,
        node: str,
        operation: str,
        /,
        params: dict[str, Any],
        context: dict[str, Any],
        timeout: float,
    ) -> Any:
        """Call an operation on a node and return its answer, or raise the error it ended in.

        Raises PeerUnreachable, NotMember or NotThatNode when the node surely did not carry it
        out, and CallLost when the outcome is open. The timeout (seconds) bounds the wait for
        the answer; `connect_timeout` bounds the connecting.
        """
        names.check(params)
        address = self._find(node)
        idle = self._take_idle(node, address)
        if idle:
            try:
                return self._ask(idle, node, address, operation, params, context, timeout)
            except ConnectionLost as lost:
                if lost.sent:
                    self._give_up(node, operation, lost)
        line = self._connect(node, address)
        try:
            return self._ask(line, node, address, operation, params, context, timeout)
        except ConnectionLost as lost:
            self._give_up(node, operation, lost)

    def stream(self, node: str, asked: tunnel.Asked) -> ssl.SSLSocket:
        """Open a stream to a node, which connects it to what is asked for there.

        Raises PeerUnreachable, NotThatNode, or McvError where it is refused.
        """
        end = time.monotonic() + self._connect_timeout
        address = self._find(node)
        with self._turn(node, end):
            secured = self._again(node, end, lambda: self._dial(node, address, end, tunnel.ALPN))
            try:
                tunnel.ask(secured, asked)
            except OSError as error:
                secured.close()
                raise McvError(f"{node} does not take the stream: {reason(error)}.") from error
        return secured

    @contextlib.contextmanager
    def _turn(self, node: str, end: float) -> Iterator[None]:
        """Few connections to a node begin at once: it hangs up on a crowd of one address."""
        with self._lock:
            turns = self._turns.setdefault(node, threading.BoundedSemaphore(MOST_BEGINNING))
        if not turns.acquire(timeout=max(0.001, end - time.monotonic())):
            raise self._unreachable(node, "timed out")
        try:
            yield
        finally:
            turns.release()

    def close(self) -> None:
        """Close the idle connections; a later call opens a new connection."""
        with self._lock:
            dropped = [idle for kept in self._idle.values() for idle in kept]
            self._idle.clear()
        for idle in dropped:
            idle.line.close()

    def _ask(
        self,
        line: ClientConnection,
        node: str,
        address: Address,
        operation: str,
        params: dict[str, Any],
        context: dict[str, Any],
        timeout: float,
    ) -> Any:
        try:
            return line.call(operation, params, context, timeout)
        finally:
            self._keep(node, _Idle(line, address))

    def _take_idle(self, node: str, address: Address) -> ClientConnection | None:
        """A connection to this very address and certificate that is fresh and still there."""
        with self._lock:
            kept = self._idle.pop(node, [])
            good = [idle for idle in kept if idle.address == address and _is_fresh(idle.line)]
            taken = good.pop().line if good else None
            if good:
                self._idle[node] = good
        for idle in kept:
            if idle.line is not taken and idle not in good:
                idle.line.close()
        return taken

    def _keep(self, node: str, idle: _Idle) -> None:
        if not idle.line.is_quiet():
            idle.line.close()
            return
        with self._lock:
            kept = self._idle.setdefault(node, [])
            kept.append(idle)
            dropped = kept.pop(0) if len(kept) > MOST_IDLE else None
        if dropped:
            dropped.line.close()

    def _connect(self, node: str, address: Address) -> ClientConnection:
        """A connection that has been greeted.

        A listener that is crowded by strangers hangs up on the oldest caller that it does not
        know yet, which may be this node: nothing was asked, so it calls again at once.
        """
        end = time.monotonic() + self._connect_timeout
        with self._turn(node, end):
            return self._again(node, end, lambda: self._connect_once(node, address, end))

    def _connect_once(self, node: str, address: Address, end: float) -> ClientConnection:
        secured = self._dial(node, address, end)
        with contextlib.ExitStack() as on_error:
            on_error.callback(secured.close)
            line = ClientConnection(secured)
            try:
                line.hello(end - time.monotonic())
            except ConnectionLost as lost:
                if tls.refuses_us(lost):
                    raise NotMember(f"{node} does not accept this node's certificate.") from lost
                raise _HungUp(lost.reason) from lost
            on_error.pop_all()
        return line

    def _dial(self, node: str, address: Address, end: float, protocol: str = "") -> ssl.SSLSocket:
        """A connection to exactly that node, that ends with its host; closed on any error."""
        try:
            raw = socket.create_connection(address[:2], self._connect_timeout)
        except OSError as error:
            raise self._unreachable(node, reason(error)) from error
        try:
            watch(raw)
            return self._secure(node, raw, address.certificate_pem, end, protocol)
        except BaseException:
            raw.close()
            raise

    def _secure(
        self, node: str, raw: socket.socket, pem: str, end: float, protocol: str
    ) -> ssl.SSLSocket:
        context = tls.client_context(self._identity, pem)
        if protocol:
            context.set_alpn_protocols([protocol])
        secured = context.wrap_socket(raw, do_handshake_on_connect=False)
        try:
            secured.settimeout(max(0.001, end - time.monotonic()))
            secured.do_handshake()
            shown = secured.getpeercert(binary_form=True)
            if not tls.name_of(shown, {node: pem}):
                raise _another(node)
        except ssl.SSLCertVerificationError as error:
            secured.close()
            raise _another(node) from error
        except (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError) as error:
            secured.close()
            raise _HungUp(reason(error)) from error
        except OSError as error:
            secured.close()
            raise self._unreachable(node, reason(error)) from error
        except BaseException:
            secured.close()
            raise
        return secured

    def _again(self, node: str, end: float, attempt: Callable[[], T]) -> T:
        """What an attempt gives that is made again where the other side hung up early."""
        pauses = list(CALL_AGAIN)
        while True:
            try:
                return attempt()
            except _HungUp as error:
                if not pauses or time.monotonic() + pauses[0] > end:
                    raise self._unreachable(node, error.reason) from error
                time.sleep(pauses.pop(0))

    def _give_up(self, node: str, operation: str, lost: ConnectionLost) -> NoReturn:
        if not lost.sent:
            raise self._unreachable(node, lost.reason) from lost
        raise CallLost(
            f"{node} gave no answer to {operation} ({lost.reason}); "
            "whether it was carried out is not known."
        ) from lost

    def _unreachable(self, node: str, why: str) -> PeerUnreachable:
        return PeerUnreachable(f"{node} does not answer ({why}).", self.advice(node))


class _HungUp(Exception):
    """The other side closed the connection before it had greeted this node."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def _is_fresh(line: ClientConnection) -> bool:
    return time.monotonic() - line.last_used < IDLE_SECONDS and line.is_quiet()


def _another(node: str) -> NotThatNode:
    return NotThatNode(f"What answers at the address of {node} shows another certificate.")
