"""Streams of other programs between two hosts, inside the TLS that the daemons speak.

libvirt and QEMU get unix sockets to talk to on either side, so neither has to listen on the
network, and a member's key is what opens the way, as for every call.
"""

import contextlib
import json
import logging
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from mcv.errors import McvError, Refused
from mcv.rpc.pump import pump
from mcv.system.stream_guard import Guard, NotLetThrough, everything

log = logging.getLogger(__name__)

# What a connection says in its handshake that is a stream, and carries no calls.
ALPN = "mcv-stream"
MOST_ASKED = 4096
SECONDS = 10.0

Asked = dict[str, str]
Reach = Callable[[str, Asked], ssl.SSLSocket]  # (node, purpose): a stream that was accepted


class Granted(NamedTuple):
    """Where a member's stream leads to, what of it passes, and what is called at its end."""

    path: Path
    guard: Guard = everything
    end: Callable[[], None] = lambda: None


Target = Callable[[str, Asked], Granted]  # (member, purpose); raises McvError


@contextlib.contextmanager
def tunnel(
    path: Path, node: str, asked: Asked, reach: Reach, ended: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """While this lasts, whoever connects to the unix socket at `path` is led to a node.

    Where to on that node, it decides by what is asked. All that was carried ends with it.
    `ended` is called at the end of each stream.
    """
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    carried: list[socket.socket] = []
    try:
        listener.bind(str(path))
        os.chmod(path, 0o600)
        listener.listen(16)
        arguments = (listener, node, asked, reach, carried, ended)
        threading.Thread(target=_accept, args=arguments, name="tunnel", daemon=True).start()
        yield
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        path.unlink(missing_ok=True)
        for carried_socket in carried:
            with contextlib.suppress(OSError):
                carried_socket.shutdown(socket.SHUT_RDWR)


def _accept(
    listener: socket.socket,
    node: str,
    asked: Asked,
    reach: Reach,
    carried: list[socket.socket],
    ended: Callable[[], None],
) -> None:
    while True:
        try:
            sock, _address = listener.accept()
        except OSError:
            return
        carried.append(sock)
        arguments = (sock, node, asked, reach, ended)
        threading.Thread(target=_lead, args=arguments, name="tunnel", daemon=True).start()


def _lead(
    sock: socket.socket, node: str, asked: Asked, reach: Reach, ended: Callable[[], None]
) -> None:
    with contextlib.ExitStack() as ending, sock:
        ending.callback(ended)
        try:
            secured = reach(node, asked)
        except McvError as error:
            log.warning("a stream to %s: %s", node, error)
            return
        with secured:
            pump(sock, secured)


def ask(secured: ssl.SSLSocket, asked: Asked) -> None:
    """Say what a stream is for; raises OSError unless the other side takes it."""
    secured.settimeout(SECONDS)
    secured.sendall(json.dumps(asked).encode() + b"\n")
    if _line(secured) != b"ok":
        raise ConnectionRefusedError("the stream was refused")


def serve(secured: ssl.SSLSocket, member: str, target: Target) -> None:
    """Serve a stream that a member opened: connect it to the socket that `target` grants."""
    secured.settimeout(SECONDS)
    granted = target(member, _asked(member, _line(secured)))
    with (
        contextlib.ExitStack() as ending,
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as plain,
    ):
        ending.callback(granted.end)
        plain.settimeout(SECONDS)
        plain.connect(str(granted.path))
        secured.sendall(b"ok\n")
        try:
            pump(plain, secured, granted.guard)
        except NotLetThrough as stopped:
            raise Refused(f"a stream of {member} was stopped: {stopped}.") from stopped


def _asked(member: str, line: bytes) -> Asked:
    """What a stream is for. Errors: Refused for a line that does not say so in words."""
    try:
        return msgspec.json.decode(line, type=Asked)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(f"a stream of {member} does not say what it is for: {error}") from error


def _line(secured: ssl.SSLSocket) -> bytes:
    """A line, and not a byte of what follows it."""
    got = bytearray()
    while not got.endswith(b"\n"):
        byte = secured.recv(1)
        if not byte or len(got) > MOST_ASKED:
            raise ConnectionError("a stream ended before it said what it is for")
        got += byte
    return bytes(got[:-1])
