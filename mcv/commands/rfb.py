"""The beginning of RFB (RFC 6143): a viewer is asked for a password, and QEMU for none."""

import secrets
import socket
import struct

VERSION = b"RFB 003.008\n"
NONE, WITH_PASSWORD = 1, 2
LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"
LENGTH = 8  # RFB's passwords have no more
HANDSHAKE = 15.0  # s


class NotLetIn(Exception):
    """The viewer gave another password, or speaks something else."""


def new_password() -> str:
    return "".join(secrets.choice(LETTERS) for _ in range(LENGTH))


def ask(viewer: socket.socket, password: str) -> None:
    """Let a viewer in that knows the password. Errors: NotLetIn, OSError."""
    viewer.settimeout(HANDSHAKE)
    viewer.sendall(VERSION)
    minor = _minor(_exactly(viewer, len(VERSION)))
    if minor >= 7:
        viewer.sendall(bytes((1, WITH_PASSWORD)))
        if _exactly(viewer, 1)[0] != WITH_PASSWORD:
            raise NotLetIn("it asks for another way in")
    else:
        viewer.sendall(struct.pack(">I", WITH_PASSWORD))
    challenge = secrets.token_bytes(16)
    viewer.sendall(challenge)
    if not secrets.compare_digest(_exactly(viewer, 16), answer_to(challenge, password)):
        why = b"The password is another one."
        reason = struct.pack(">I", len(why)) + why if minor >= 8 else b""
        viewer.sendall(struct.pack(">I", 1) + reason)
        raise NotLetIn("it gave another password")
    viewer.sendall(struct.pack(">I", 0))


def enter(screen: socket.socket) -> None:
    """Go in to QEMU's screen, which asks for nothing. Errors: NotLetIn, OSError."""
    screen.settimeout(HANDSHAKE)
    if not _exactly(screen, len(VERSION)).startswith(b"RFB "):
        raise NotLetIn("the screen does not speak RFB")
    screen.sendall(VERSION)
    if NONE not in _exactly(screen, _exactly(screen, 1)[0]):
        raise NotLetIn("QEMU asks for a password of its own")
    screen.sendall(bytes((NONE,)))
    if struct.unpack(">I", _exactly(screen, 4))[0] != 0:
        raise NotLetIn("QEMU refuses")


def answer_to(challenge: bytes, password: str) -> bytes:
    """The challenge, encrypted by DES with the password; the bits of its bytes are mirrored."""
    from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
    from cryptography.hazmat.primitives.ciphers import Cipher, modes

    typed = password.encode()[:LENGTH].ljust(LENGTH, b"\0")
    key = bytes(int(f"{byte:08b}"[::-1], 2) for byte in typed)
    encryptor = Cipher(TripleDES(key * 3), modes.ECB()).encryptor()
    return encryptor.update(challenge) + encryptor.finalize()


def _minor(version: bytes) -> int:
    if version[:8] != b"RFB 003." or not version[8:11].isdigit():
        raise NotLetIn("it does not speak RFB")
    return int(version[8:11])


def _exactly(sock: socket.socket, count: int) -> bytes:
    got = b""
    while len(got) < count:
        more = sock.recv(count - len(got))
        if not more:
            raise NotLetIn("it hung up")
        got += more
    return got
