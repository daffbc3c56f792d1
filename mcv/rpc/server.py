"""The daemon's side of the wire: one object with one method, behind two doors."""

import contextlib
import functools
import logging
import os
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import Pyro5.server
from Pyro5.server import expose

from mcv.errors import McvError, NotMember, NotPermitted, NotThatNode, Refused, of_system
from mcv.rpc import auth, names, tls, tunnel
from mcv.rpc.auth import Caller
from mcv.rpc.listener import AuthenticatedPeer, Listener, let_alert_arrive
from mcv.rpc.pki import Identity
from mcv.rpc.values import internal_error
from mcv.rpc.wire import OBJECT, Connection, Limits, reason, watch

log = logging.getLogger(__name__)

BACKLOG = 1024  # local callers that the kernel keeps while they wait for their turn

Handle = Callable[[Caller, str, dict[str, Any], dict[str, Any]], Any]
Trusted = Callable[[], Mapping[str, str]]

_serving = threading.local()


class Mcv:
    """What the wire shows of this daemon."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    @expose  # type: ignore[untyped-decorator]
    def call(self, operation: str, params: dict[str, Any], context: dict[str, Any]) -> Any:
        """Carry an operation out for whoever the connection belongs to."""
        if not (
            isinstance(operation, str) and isinstance(params, dict) and isinstance(context, dict)
        ):
            raise Refused("A call is an operation's name, its parameters and its context.")
        caller = _serving.caller(context)
        if caller.kind == "peer":
            names.check(params)
        try:
            return self._handle(caller, operation, params, context)
        except McvError as error:
            if caller.kind == "peer" and isinstance(error, NotMember | NotThatNode):
                # A third node refused this node; passed on, it would read as this node's refusal.
                raise Refused(error.message, error.hint, error.problems) from error
            raise
        except OSError as error:
            log.warning("%s, asked for by %s: %s", operation, caller.name, error)
            raise of_system(error) from error
        except Exception as error:
            log.exception("%s, asked for by %s, ended in an error", operation, caller.name)
            raise internal_error(operation) from error


class Metadata:
    """Instead of Pyro's own object, which tells strangers what is registered and where."""

    def __init__(self, daemon: Any) -> None:
        pass

    @expose  # type: ignore[untyped-decorator]
    def get_metadata(self, objectId: str) -> dict[str, list[str]]:
        if objectId != OBJECT:
            raise Refused("There is no such object.")
        return {"methods": ["call"], "oneway": [], "attrs": []}


class Server:
    """Serves root over a unix socket and the cluster's members over TLS."""

    def __init__(
        self,
        handle: Handle,
        socket_path: Path,
        *,
        allowed_uid: int = 0,
        limits: Limits | None = None,
        target: tunnel.Target | None = None,
    ) -> None:
        self._socket_path = socket_path
        self._target = target
        self._allowed_uid = allowed_uid
        self._limits = limits or Limits()
        self._operators: Listener | None = None
        self._peers: dict[str, Listener] = {}  # by address
        self._open: Callable[[str], Listener] | None = None  # at an address of this host
        # Pyro wants a connected socket or listens itself; this socket is never used.
        self._unused = socket.socketpair()
        self._pyro = Pyro5.server.Daemon(interface=Metadata, connected_socket=self._unused[0])
        self._pyro.register(Mcv(handle), OBJECT)

    def start_operator(self) -> None:
        """Open the unix socket; refused while another daemon answers on it."""
        listener = _listen_unix(self._socket_path)
        self._operators = Listener(
            listener, self._greet_operator, self._serve, self._limits.operators, self._limits
        )

    def start_peers(self, address: str, port: int, identity: Identity, trusted: Trusted) -> int:
        """Open the cluster's port and return it (0 takes any that is free).

        `trusted` returns the members (name -> certificate as PEM); it is called for each
        new connection and again for each call.
        """
        self.stop_peers()
        listener = _listen(address, port)
        bound = int(listener.getsockname()[1])
        greet = functools.partial(self._greet_peer, identity, trusted)

        def serve(listener: socket.socket) -> Listener:
            return Listener(listener, greet, self._serve, self._limits.peers, self._limits)

        self._peers[address] = serve(listener)
        self._open = lambda another: serve(_listen(another, bound))
        return bound

    def also_listen(self, address: str) -> None:
        """Open the cluster's port at another address, too; harmless where it is open."""
        if self._open is None:
            raise Refused("The cluster's port is not open on this node.", "See: mcv info")
        if address not in self._peers:
            self._peers[address] = self._open(address)

    def listen_only(self, address: str, grace: float = 2) -> None:
        """Close the cluster's port at every other address; harmless where it is closed."""
        for other in [each for each in self._peers if each != address]:
            self._peers.pop(other).close(grace)

    def close_untrusted(self) -> None:
        """Close the connections of former members; to be called when the document has changed."""
        for door in list(self._peers.values()):
            door.close_unwelcome()

    def stop_peers(self, grace: float = 2) -> None:
        """Close the cluster's port: this node is in no cluster any more."""
        self._open = None
        while self._peers:
            self._peers.popitem()[1].close(grace)

    def stop(self, grace: float = 2) -> None:
        """Close both doors; answers under way have some seconds to go out."""
        self.stop_peers(grace)
        door, self._operators = self._operators, None
        if door:
            with contextlib.suppress(FileNotFoundError):
                self._socket_path.unlink()
            door.close(grace)
        for unused in self._unused:
            unused.close()

    def _greet_operator(self, sock: socket.socket) -> AuthenticatedPeer:
        pid = auth.check_credentials(sock, self._allowed_uid)
        return AuthenticatedPeer(sock, functools.partial(auth.operator, pid), lambda: True)

    def _greet_peer(
        self, identity: Identity, trusted: Trusted, sock: socket.socket
    ) -> AuthenticatedPeer:
        watch(sock)
        sock.settimeout(self._limits.handshake)
        context = tls.server_context(identity, trusted().values())
        context.set_alpn_protocols([tunnel.ALPN])
        secured = context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        try:
            secured.do_handshake()
        except ssl.SSLError:
            let_alert_arrive(secured)
            secured.close()
            raise
        except BaseException:
            secured.close()
            raise
        shown = secured.getpeercert(binary_form=True)
        name = tls.name_of(shown, trusted())
        if not name:
            secured.close()
            raise NotPermitted("The certificate is no member's.")
        caller = Caller("peer", name)
        stream = None
        if secured.selected_alpn_protocol() == tunnel.ALPN and self._target is not None:
            stream = functools.partial(tunnel.serve, secured, name, self._target)
        return AuthenticatedPeer(
            secured, lambda _context: caller, lambda: tls.name_of(shown, trusted()) == name, stream
        )

    def _serve(self, connection: Connection, guest: AuthenticatedPeer) -> None:
        _serving.caller = guest.caller
        self._pyro.handleRequest(connection)


def _listen(address: str, port: int) -> socket.socket:
    """A socket at an address of this host. Errors: Refused."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        return socket.create_server((address, port), family=family, backlog=128)
    except OSError as error:
        raise Refused(f"mcvd cannot listen on {address} port {port}: {reason(error)}.") from error


def _listen_unix(path: Path) -> socket.socket:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.chmod(path.parent, 0o700)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            path.unlink(missing_ok=True)
        except OSError as error:
            raise Refused(f"{path} cannot be used: {reason(error)}.") from error
        else:
            raise Refused(f"Another mcvd answers on {path}.", "See: systemctl status mcvd")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        os.chmod(path, 0o600)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise Refused(f"mcvd cannot listen on {path}: {reason(error)}.") from error
    return listener
