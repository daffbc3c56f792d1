"""What a guest said on its serial line before a reader came: the end of the console's log.

virtlogd writes the log from QEMU's pipe, a moment after QEMU wrote to the pty. Where the log ends
and the pty begins is found by their bytes, which are the same.
"""

import contextlib
import os
import re
import time
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

SHOWN = 16 * 1024  # bytes of the log that a reader is shown
MOST_LIVE = 64 * 1024  # bytes read from the pty before the log is joined to it
PATIENCE = 0.6  # s that the log may lag behind the pty
STILL = 0.04  # s without a byte in either, in which virtlogd has surely written all
TURN = 0.01
FOUND_BY = 256  # bytes by which the pty's beginning is looked for in the log

GAP = b"\r\n[mcv: what the guest said in this moment may be missing here, or be here twice]\r\n"
# What a terminal answers, and the answer would be typed to the guest: device attributes and
# status, the answerback, requests for settings, colours and the clipboard.
QUESTIONS = re.compile(
    rb"\x1b\[[0-9;?>=!$ ]*[cnxpuR]|\x1bZ|\x05"
    rb"|\x1bP[^\x1b]*(?:\x1b\\)?|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"
)


class Place(Struct, frozen=True, kw_only=True):
    """A place in the log: the file, and the bytes before it."""

    inode: int
    size: int


def place(log: Path) -> Place:
    """The end of the log now."""
    try:
        status = log.stat()
    except OSError:
        return Place(inode=0, size=0)
    return Place(inode=status.st_ino, size=status.st_size)


def joined(log: Path, before: Place, read: Callable[[], bytes]) -> bytes:
    """What a reader sees first: the end of the log, and what the pty has given since it was opened.

    `before` is the log's end before the pty was opened; `read` gives what the pty has, or b"".
    Each byte is there once. Where the guest says so much that this cannot be told in time, that
    stands in it.
    """
    live = bytearray()
    if not log.exists():
        return read()  # a VM of before has none, and its next start gives it one
    said = b""
    end = time.monotonic() + PATIENCE
    still_since = time.monotonic()
    while True:
        more, now = read(), _since(log, before)
        live += more
        if more or now != said:
            said, still_since = now, time.monotonic()
        is_still = time.monotonic() - still_since >= STILL
        if is_still and said.endswith(live):
            return _tail(log, before, said[: len(said) - len(live)]) + bytes(live)
        if time.monotonic() >= end or len(live) >= MOST_LIVE:
            return _tail(log, before, *_cut(said, bytes(live))) + bytes(live)
        time.sleep(TURN)


def _cut(said: bytes, live: bytes) -> tuple[bytes, bytes]:
    """What the log says before the pty's first bytes, and a note where that is not found."""
    found = said.find(live[:FOUND_BY]) if live else len(said)
    return (said[:found], b"") if found >= 0 else (said, GAP)


def _since(log: Path, before: Place) -> bytes:
    """What the log has beyond a place; of a log that virtlogd has begun anew, all."""
    with contextlib.suppress(OSError), log.open("rb") as file:
        if os.fstat(file.fileno()).st_ino == before.inode:
            file.seek(before.size)
        return file.read(MOST_LIVE + SHOWN)
    return b""


def _tail(log: Path, before: Place, said: bytes, note: bytes = b"") -> bytes:
    """The last SHOWN bytes of the log up to a place, and of `said`, which is behind it."""
    earlier = b""
    for path in (log, log.with_name(f"{log.name}.0")):
        with contextlib.suppress(OSError), path.open("rb") as file:
            if os.fstat(file.fileno()).st_ino == before.inode:
                shown = min(SHOWN + 1, before.size)
                file.seek(before.size - shown)
                earlier = file.read(shown)
                break
    text = earlier + said
    if len(text) > SHOWN:
        text = text[-SHOWN:]
        text = text[text.find(b"\n") + 1 :]
    return QUESTIONS.sub(b"", text) + note
