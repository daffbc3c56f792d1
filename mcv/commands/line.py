"""A VM's line in the hands of whoever typed: bytes between the terminal and the daemon's socket."""

import contextlib
import os
import socket
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from mcv.carrying import Way, carry
from mcv.commands.session import Session
from mcv.errors import DaemonDown, LineLost, McvError

LEAVE = 0x1D  # ^]
QUIET = 3.0  # s without a byte from the guest, after which piped input that has ended ends all
CONNECTING = 10.0
MOST_KEPT = 1 << 20


@dataclass(frozen=True)
class Line:
    """A line that the daemon opened."""

    token: str
    node: str
    sock: socket.socket


def opened(session: Session, operation: str, /, **params: Any) -> Line:
    """Have the daemon open a line, and connect to it."""
    answer = session.call(operation, **params)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(CONNECTING)
        sock.connect(str(answer["path"]))
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise LineLost(f"The line was not served: {error.strerror or error}.") from error
    return Line(str(answer["token"]), str(answer["node"]), sock)


@dataclass(frozen=True)
class Ended:
    """How a line ended well."""

    kind: str
    message: str


def why_ended(session: Session, line: Line) -> Ended:
    """How a line ended well; raises the error where it did not."""
    try:
        ending = session.call("line.ended", token=line.token)
    except DaemonDown as error:
        raise LineLost(
            f"The line was cut: {error.message} The VM is not touched by that.", error.hint
        ) from error
    hint = f" Next: {ending['hint']}" if ending.get("hint") else ""
    return Ended(str(ending["kind"]), f"{ending['message'] or 'The line has ended.'}{hint}")


class Left(Exception):
    """The reader left."""


def talk(line: Line, kept: bytearray | None = None) -> bool:
    """Lead stdin and stdout to a line until it ends; whether its own end was it.

    With `kept` what the guest says is kept there and not shown, MOST_KEPT bytes of it.

    On a terminal ^] leaves; its state is as before at whatever end. Input that is no terminal
    may end: what the guest says is still shown, until it has been silent for QUIET seconds.
    """
    stdin, stdout, far = sys.stdin.fileno(), sys.stdout.fileno(), line.sock.fileno()
    typed = Way(stdin, far, _until_left if os.isatty(stdin) else _same, ends=os.isatty(stdin))
    shown = Way(far, stdout, _same if kept is None else _keeping(kept))

    def look() -> None:
        silent_since = max(typed.moved_at, shown.moved_at)
        if typed.ended and not typed.has and time.monotonic() - silent_since > QUIET:
            raise Left

    sys.stdout.flush()
    try:
        with raw(stdin):
            carry((typed, shown), look)
    except Left:
        return False
    return (shown.ended and not shown.target_is_gone) or typed.target_is_gone


def _same(data: bytes) -> bytes:
    return data


def _keeping(kept: bytearray) -> Callable[[bytes], bytes]:
    def keep(data: bytes) -> bytes:
        kept.extend(data[: MOST_KEPT - len(kept)])
        return b""

    return keep


def _until_left(data: bytes) -> bytes:
    if LEAVE in data:
        raise Left
    return data


@contextlib.contextmanager
def raw(terminal: int) -> Iterator[None]:
    """Give every key to the guest, ^C too, while this lasts; nothing where it is no terminal."""
    try:
        before = termios.tcgetattr(terminal)
    except termios.error:
        yield
        return
    try:
        tty.setraw(terminal, termios.TCSANOW)
        yield
    finally:
        # A terminal that is gone needs nothing.
        with contextlib.suppress(termios.error, OSError):
            termios.tcsetattr(terminal, termios.TCSANOW, before)


def size_hint() -> str:
    """How a guest learns the terminal's size, which a serial line does not carry."""
    try:
        columns, rows = os.get_terminal_size(sys.stdin.fileno())
    except OSError:
        return ""
    return f" A serial line has no size; in the guest: stty rows {rows} cols {columns}"


def close(line: Line) -> None:
    with contextlib.suppress(OSError, McvError):
        line.sock.close()
