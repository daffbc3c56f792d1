"""The note by which a start of mcvd's passes libvirt's hook: one start, and while mcvd is at it.

A start past a failed verification, and a start that is a step under a claim, are refused by
the hook without it. The hook consumes the note. A note that mcvd left when it was killed
allows nothing: it names the process, which is gone by then.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from mcv.document.generation import Value
from mcv.errors import Unreadable
from mcv.rules.beginning import Permit
from mcv.system import files
from mcv.system.observations import boot_id


class Process(Value, frozen=True, kw_only=True):
    """A process, told from every other that ever had or will have its number."""

    pid: int
    started: str  # in clock ticks since the boot
    boot: str


class Note(Value, frozen=True, kw_only=True):
    """A permit as it stands on disk, and the process whose start it is for."""

    permit: Permit
    process: Process


@contextlib.contextmanager
def given(notes: Path, uuid: str, permit: Permit) -> Iterator[None]:
    """Let one start of a domain pass the hook, as long as this block lasts."""
    if permit == Permit():
        yield
        return
    process = process_of(os.getpid())
    assert process is not None
    note = Note(permit=permit, process=process)
    files.write_atomically(_path(notes, uuid), msgspec.json.encode(note).decode())
    try:
        yield
    finally:
        withdraw(notes, uuid)


def valid(notes: Path, uuid: str) -> Permit:
    """The permit for a domain; the empty one unless a start is under way that it is for."""
    try:
        note = files.read_as(_path(notes, uuid), Note)
    except Unreadable:
        note = None
    if note is None:
        return Permit()
    return note.permit if process_of(note.process.pid) == note.process else Permit()


def withdraw(notes: Path, uuid: str) -> None:
    files.remove(_path(notes, uuid))


def process_of(pid: int) -> Process | None:
    """The process of that number; None where there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The name, in parentheses, may hold anything; the 22nd field is when it started.
    started = stat.rpartition(")")[2].split()[19]
    return Process(pid=pid, started=started, boot=boot_id())


def _path(notes: Path, uuid: str) -> Path:
    return files.child(notes, f"{uuid}.start.json")
