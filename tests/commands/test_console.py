"""`mcv console` on a terminal of its own: raw while it lasts, and as before at whatever end."""

import contextlib
import json
import os
import pty
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# The command with a daemon that opens the line at a socket and says how it ended.
PROGRAM = """
import json, sys
from mcv import cli
from mcv.commands import line, root
from mcv.commands.session import Session
from mcv.errors import *

class Client:
    def call(self, operation, /, **params):
        if operation == "vm.console":
            if params["take"] and {refused!r}:
                raise Busy("ann reads it.")
            return {{"token": "1", "node": "n1", "path": {path!r}}}
        {ended}

line.QUIET = 0.5
cli._configure_terminal()
root.front.main(args=sys.argv[1:], prog_name="mcv", obj=Session(Client()))
"""
OFF = 'return {"kind": "off", "message": "web1 is off.", "hint": ""}'
TAKEN = 'raise LineLost("bob on n2 took the console of web1 over.")'
DENIED = 'raise NotPermitted("ann lacks the right.")'
DOWN = 'raise DaemonDown("mcvd does not run on this host.", "Start it")'


class Typed:
    """A command line under way, on a terminal; the line's far end is ours."""

    def __init__(self, tmp_path: Path, ended: str = OFF, *words: str) -> None:
        path = tmp_path / "line"
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
        self._listener.settimeout(20)
        self.ours, self.terminal = pty.openpty()
        self.before = self.state()
        program = PROGRAM.format(path=str(path), ended=ended, refused=False)
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, "console", "web1", *words],
            stdin=self.terminal,
            stdout=self.terminal,
            stderr=self.terminal,
            start_new_session=True,
        )
        self.guest = self._listener.accept()[0]
        self.guest.settimeout(20)

    def state(self) -> list[Any]:
        return termios.tcgetattr(self.terminal)

    def is_raw(self) -> bool:
        return not self.state()[3] & (termios.ECHO | termios.ISIG | termios.ICANON)

    def shown(self, text: bytes) -> bytes:
        """What the terminal shows up to a text."""
        got = b""
        while text not in got:
            got += os.read(self.ours, 4096)
        return got

    def end(self) -> int:
        return self.process.wait(20)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for each in (self.guest, self._listener):
            each.close()
        for fd in (self.ours, self.terminal):
            with contextlib.suppress(OSError):
                os.close(fd)


@pytest.fixture
def typed(tmp_path: Path) -> Iterator[Typed]:
    made = Typed(tmp_path)
    yield made
    made.close()


def in_raw(typed: Typed) -> None:
    end = time.monotonic() + 20
    while not typed.is_raw():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_every_key_is_the_guests_until_the_reader_leaves(typed: Typed) -> None:
    in_raw(typed)
    os.write(typed.ours, b"ls\r\x03\x1a\x04")
    assert typed.guest.recv(64) == b"ls\r\x03\x1a\x04"
    typed.guest.sendall(b"file\r\n")
    shown = typed.shown(b"file\r\n")
    assert b"leave with ^]" in shown

    os.write(typed.ours, b"\x1d")

    assert typed.shown(b"You left web1.") and typed.end() == 0
    assert typed.state() == typed.before


@pytest.mark.parametrize(
    ("ended", "said", "code"),
    [
        (OFF, b"web1 is off.", 0),
        (TAKEN, b"bob on n2 took the console", 4),
        (DENIED, b"ann lacks the right", 3),
        (DOWN, b"The line was cut: mcvd does not run", 4),
        ('raise RuntimeError("no")', b"mcv itself failed", 4),
    ],
)
def test_the_end_of_the_line_is_told_and_the_terminal_is_as_before(
    tmp_path: Path, ended: str, said: bytes, code: int
) -> None:
    typed = Typed(tmp_path, ended)
    try:
        in_raw(typed)
        typed.guest.sendall(b"bye")
        typed.guest.close()

        assert typed.shown(said) and typed.end() == code
        assert typed.state() == typed.before
    finally:
        typed.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_leaves_the_terminal_as_before(typed: Typed, number: signal.Signals) -> None:
    in_raw(typed)

    typed.process.send_signal(number)

    assert typed.end() == 130
    assert typed.state() == typed.before


def piped(tmp_path: Path, answer: bytes, typed: bytes, *words: str) -> tuple[int, bytes, bytes]:
    """The command with pipes; what its guest answers to what was typed."""
    path = tmp_path / "line"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()

        def guest() -> None:
            with contextlib.suppress(OSError):
                sock = listener.accept()[0]
                sock.recv(64)
                sock.sendall(answer)
                sock.recv(64)

        threading.Thread(target=guest, daemon=True).start()
        program = PROGRAM.format(path=str(path), ended=OFF, refused=True)
        done = subprocess.run(
            [sys.executable, "-c", program, "console", "web1", *words],
            input=typed,
            capture_output=True,
            timeout=30,
        )
    return done.returncode, done.stdout, done.stderr


def test_piped_input_is_typed_and_what_the_guest_says_comes_to_stdout(tmp_path: Path) -> None:
    code, out, err = piped(tmp_path, b"Linux\r\n\xff\x00", b"uname\n")

    assert (code, out) == (0, b"Linux\r\n\xff\x00")
    assert err == b"You left web1.\n"


def test_a_console_that_is_refused_says_why(tmp_path: Path) -> None:
    code, out, err = piped(tmp_path, b"", b"", "--take")

    assert (code, out) == (3, b"") and b"ann reads it." in err


def test_with_json_what_the_guest_said_is_in_one_document(tmp_path: Path) -> None:
    code, out, err = piped(tmp_path, b"Linux\r\n\xff", b"uname\n", "--json")

    assert (code, err) == (0, b"")
    assert json.loads(out) == {
        "vm": "web1",
        "node": "n1",
        "said": "Linux\r\n\ufffd",
        "ended": "left",
    }
