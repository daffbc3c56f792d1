"""Lines to running guests, serial or screen, as their node serves them: one reader at a time."""

import contextlib
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from msgspec import Struct

from mcv.carrying import Way, carry
from mcv.errors import Busy, McvError
from mcv.system import files
from mcv.timestamps import timestamp

log = logging.getLogger(__name__)

Kind = Literal["console", "screen"]

MOST = 24  # lines of a node at once; the cluster's port has 64 places
COMING = 15.0  # s that a reader has to come
ASK = 2.0  # s between two questions whether the reader still may
KEPT = 200  # endings that are remembered
LEAVING = 5.0  # s that a former reader's line may take to end


class Ending(Struct, frozen=True, kw_only=True):
    """How a line ended: left by its reader, with the guest, or for another reason."""

    kind: Literal["left", "off", "moved", "taken", "denied", "failed"]
    message: str = ""
    hint: str = ""


LEFT = Ending(kind="left")


class Cut(Exception):
    """The line was ended from elsewhere."""


class Line:
    """A line that is open: who reads it, and the socket behind which it is served."""

    def __init__(self, vm: str, kind: Kind, who: str, member: str, run: Path) -> None:
        self.token = secrets.token_hex(8)
        self.vm, self.kind, self.who, self.member = vm, kind, who, member
        self.since = timestamp()
        self.path = files.child(run, f"{self.token}.line")
        self.ending: Ending | None = None
        self.may_go_on: Callable[[], None] = lambda: None  # raises McvError where not
        self.over = threading.Event()
        self._asked_at = time.monotonic()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)

    def end(self, ending: Ending) -> None:
        """End the line; what ended it first counts. It is over within half a second."""
        self.ending = self.ending or ending

    def look(self) -> None:
        """Raise Cut where the line was ended, and McvError where its reader may no longer read."""
        if self.ending is not None:
            raise Cut
        if time.monotonic() - self._asked_at >= ASK:
            self._asked_at = time.monotonic()
            self.may_go_on()

    def listen(self) -> None:
        self.path.unlink(missing_ok=True)
        self._listener.bind(str(self.path))
        os.chmod(self.path, 0o600)
        self._listener.listen(1)
        self._listener.settimeout(0.2)

    def accept(self) -> socket.socket | None:
        """The reader's connection; None where nobody comes in time."""
        end = time.monotonic() + COMING
        while time.monotonic() < end:
            self.look()
            with contextlib.suppress(TimeoutError):
                return self._listener.accept()[0]
        return None

    def close_door(self) -> None:
        """Let nobody in any more."""
        self._listener.close()
        with contextlib.suppress(OSError):
            self.path.unlink()


class Lead:
    """A line of another node that is led to a reader on this one."""

    def __init__(self, token: str, node: str, vm: str, run: Path) -> None:
        self.token, self.node, self.vm = token, node, vm
        self.path = files.child(run, f"{token}.line")
        self.ending: Ending | None = None
        self.over = threading.Event()


class Lines:
    """The lines of this node's guests that are open, and the endings of the latest."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[tuple[str, str], Line] = {}
        self._known: dict[str, Line] = {}  # by token, the oldest first

    def by_token(self, token: str) -> Line | None:
        return self._known.get(token)

    def reserve(self, line: Line, take: bool) -> None:
        """Make a line its guest's only one. Busy where another one is, unless it is taken over."""
        end = time.monotonic() + LEAVING
        while (former := self._place(line)) is not None:
            if not take or time.monotonic() > end:
                raise Busy(
                    f"{former.who} reads the {former.kind} of {former.vm} since {former.since}.",
                    f"Take it over: mcv console {former.vm} --take"
                    if former.kind == "console"
                    else f"One at a time; end the other one on its node: mcv vnc {former.vm}",
                )
            former.end(
                Ending(
                    kind="taken",
                    message=f"{line.who} took the {line.kind} of {line.vm} over.",
                    hint=f"Take it back: mcv console {line.vm} --take",
                )
            )
            former.over.wait(LEAVING)

    def _place(self, line: Line) -> Line | None:
        with self._lock:
            former = self._open.get((line.vm, line.kind))
            if former is not None:
                return former
            if len(self._open) >= MOST:
                raise Busy(f"{MOST} consoles and screens of this node are open, which is all.")
            self._open[line.vm, line.kind] = self._known[line.token] = line
            for token in list(self._known)[:-KEPT]:
                if self._known[token].over.is_set():
                    del self._known[token]
            return None

    def release(self, line: Line) -> None:
        with self._lock:
            if self._open.get((line.vm, line.kind)) is line:
                del self._open[line.vm, line.kind]
        line.over.set()


def begin(
    line: Line,
    far: int,
    first: Callable[[], bytes],
    gone: Callable[[], Ending],
    release: Callable[[Line], None],
) -> None:
    """Serve a line in a thread of its own: what `first` gives, then `far` both ways, until an end.

    `far` is closed at the end. `gone` says how it ended where `far` did. The reader sees the end
    when the ending is known.
    """
    try:
        line.listen()
    except OSError:
        os.close(far)
        line.close_door()
        raise
    serving = (line, far, first, gone, release)
    threading.Thread(target=_serve, args=serving, name="line", daemon=True).start()


def _serve(
    line: Line,
    far: int,
    first: Callable[[], bytes],
    gone: Callable[[], Ending],
    release: Callable[[Line], None],
) -> None:
    reader: socket.socket | None = None
    try:
        reader = line.accept()
        line.close_door()
        if reader is not None and _carried(line, reader, far, first):
            line.end(gone())
    except Cut:
        log.info("the %s of %s: %s", line.kind, line.vm, line.ending)
    except McvError as error:
        line.end(Ending(kind="denied", message=error.message, hint=error.hint))
    except OSError as error:
        line.end(Ending(kind="failed", message=f"The {line.kind} of {line.vm}: {error}."))
    finally:
        line.close_door()
        os.close(far)
        line.end(LEFT)
        release(line)
        if reader is not None:
            reader.close()


def _carried(line: Line, reader: socket.socket, far: int, first: Callable[[], bytes]) -> bool:
    """Carry a line to its end; whether the guest's side ended."""
    reader.settimeout(COMING)
    reader.sendall(first())
    reader.setblocking(False)
    to_guest = Way(reader.fileno(), far)
    to_reader = Way(far, reader.fileno())
    carry((to_guest, to_reader), line.look)
    return to_guest.target_is_gone or (to_reader.ended and not to_reader.target_is_gone)


def clear(run: Path) -> None:
    """Take away the sockets that a former run of the daemon left."""
    for path in run.glob("*.line"):
        with contextlib.suppress(OSError):
            path.unlink()
