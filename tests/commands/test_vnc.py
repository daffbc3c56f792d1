"""`mcv vnc`: a viewer reaches the screen through a loopback port, with a password where asked."""

import contextlib
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcv.commands import rfb
from tests.commands.conftest import Speak

PROGRAM = """
import sys
from mcv import cli
from mcv.commands import root, vnc
from mcv.commands.session import Session
from mcv.errors import *

class Client:
    def call(self, operation, /, **params):
        if operation == "vm.screen":
            return {{"token": "1", "node": "n1", "path": {path!r}}}
        return {{"kind": "off", "message": "web1 is off.", "hint": ""}}

vnc.PAUSE = 0
cli._configure_terminal()
root.front.main(args=sys.argv[1:], prog_name="mcv", obj=Session(Client()))
"""
HELLO = b"RFB 003.008\n"


class Screen:
    """QEMU's side of the screen, and the command that leads to it."""

    def __init__(self, tmp_path: Path, *words: str) -> None:
        path = tmp_path / "line"
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(str(path))
        self.listener.listen()
        self.listener.settimeout(20)
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM.format(path=str(path)), "vnc", "web1", "--json", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.qemu = self.accepted()
        assert self.process.stdout
        text = b""
        while not text.endswith(b"}\n"):
            text += self.process.stdout.readline()
        self.told = json.loads(text)

    def accepted(self) -> socket.socket:
        sock = self.listener.accept()[0]
        sock.settimeout(20)
        sock.sendall(HELLO)
        return sock

    def viewer(self) -> socket.socket:
        return socket.create_connection((self.told["address"], self.told["port"]), timeout=20)


@pytest.fixture
def screen(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Screen]:
    made = Screen(tmp_path, *getattr(request, "param", ()))
    yield made
    made.process.kill()
    made.process.communicate()
    made.listener.close()


def exactly(sock: socket.socket, count: int) -> bytes:
    got = b""
    while len(got) < count:
        more = sock.recv(count - len(got))
        assert more, got
        got += more
    return got


def test_a_viewer_speaks_with_qemu_and_may_come_again(screen: Screen) -> None:
    assert screen.told["address"] == "127.0.0.1" and screen.told["password"] is None
    for _ in range(2):
        with screen.viewer() as viewer:
            assert exactly(viewer, 12) == HELLO
            viewer.sendall(b"RFB 003.008\n")
            assert exactly(screen.qemu, 12) == HELLO
        screen.qemu = screen.accepted()

    screen.process.send_signal(signal.SIGINT)
    assert screen.process.wait(20) == 130


def test_the_end_of_the_screen_ends_the_command(screen: Screen) -> None:
    screen.qemu.close()

    _, err = screen.process.communicate(timeout=20)
    assert (screen.process.returncode, err) == (0, b"web1 is off.\n")


@pytest.mark.parametrize("screen", [("--password",)], indirect=True)
@pytest.mark.parametrize("version", [b"RFB 003.008\n", b"RFB 003.007\n", b"RFB 003.003\n"])
def test_a_viewer_that_knows_the_password_is_let_in(screen: Screen, version: bytes) -> None:
    with screen.viewer() as viewer:
        asked(viewer, version, screen.told["password"])
        assert exactly(screen.qemu, 12) == HELLO
        screen.qemu.sendall(b"\x01\x01")
        assert exactly(screen.qemu, 1) == b"\x01"
        screen.qemu.sendall(bytes(4))
        assert exactly(viewer, 4) == bytes(4)
        viewer.sendall(b"\x01")
        assert exactly(screen.qemu, 1) == b"\x01"


@pytest.mark.parametrize("screen", [("--password",)], indirect=True)
def test_a_viewer_with_another_password_sees_nothing_and_ten_end_it(screen: Screen) -> None:
    for _ in range(10):
        with screen.viewer() as viewer:
            asked(viewer, b"RFB 003.008\n", "wrong")
            assert exactly(viewer, 4) == b"\x00\x00\x00\x01"

    assert screen.process.wait(20) == 3
    with contextlib.suppress(ConnectionResetError):  # its greeting was never read
        assert screen.qemu.recv(1) == b""


def asked(viewer: socket.socket, version: bytes, password: str) -> None:
    assert exactly(viewer, 12) == HELLO
    viewer.sendall(version)
    if version.endswith(b"003\n"):
        assert exactly(viewer, 4) == b"\x00\x00\x00\x02"
    else:
        assert exactly(viewer, 2) == b"\x01\x02"
        viewer.sendall(b"\x02")
    viewer.sendall(rfb.answer_to(exactly(viewer, 16), password))


def test_the_answer_to_a_challenge_is_des_with_mirrored_bits() -> None:
    # The key 133457799bbcdff1 of the textbooks, each byte's bits mirrored.
    key = bytes(int(f"{byte:08b}"[::-1], 2) for byte in bytes.fromhex("133457799bbcdff1"))

    class Bytes(str):
        def encode(self, *_: object) -> bytes:
            return key

    answer = rfb.answer_to(bytes.fromhex("0123456789abcdef") * 2, Bytes())

    assert answer.hex() == "85e813540f0ab405" * 2


def test_to_listen_elsewhere_needs_a_password(mcv: Speak) -> None:
    assert mcv("vnc web1 --listen").code == 2
