"""Messages as a stranger would write them, byte by byte."""

import json
import socket
import ssl
import struct
from typing import Any

from mcv.rpc.pki import Identity

INVOKE, CONNECT, JSON = 4, 1, 3


def message(
    payload: bytes,
    *,
    kind: int = INVOKE,
    serializer: int = JSON,
    flags: int = 0,
    size: int | None = None,
    annotations: bytes = b"",
) -> bytes:
    header = struct.pack(
        "!4sHBBHHII16sHH",
        b"PYRO",
        502,
        kind,
        serializer,
        flags,
        1,
        len(payload) if size is None else size,
        len(annotations),
        b"\0" * 16,
        0,
        0x4DC5,
    )
    return header + annotations + payload


def request(method: str = "call", target: str = "mcv", params: Any = None) -> bytes:
    call: dict[str, Any] = {
        "object": target,
        "method": method,
        "params": ["say", {}, {}] if params is None else params,
        "kwargs": {},
    }
    return json.dumps(call).encode()


def answer(sock: socket.socket) -> Any:
    """The payload of the next message, as JSON; None when the connection ends instead."""
    data = read(sock, 40)
    if len(data) < 40:
        return None
    return json.loads(read(sock, struct.unpack("!I", data[12:16])[0]))


def read(sock: socket.socket, size: int) -> bytes:
    got = b""
    while len(got) < size:
        try:
            chunk = sock.recv(size - len(got))
        except (ConnectionError, ssl.SSLError):
            break
        if not chunk:
            break
        got += chunk
    return got


def stranger(identity: Identity | None = None) -> ssl.SSLContext:
    """A TLS client that checks nothing, with a certificate or without."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if identity:
        context.load_cert_chain(identity.certificate, identity.key)
    return context
