"""QEMU's lock of an image: it keeps two QEMUs, also of two hosts, from writing to one file."""

import contextlib
import os
import select
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from mcv.errors import CommandFailed
from mcv.system import process
from mcv.system.process import Run, run

PATIENCE = 10.0  # s that a file system has to grant a lock, or to refuse it
LONGEST = "40"  # s after which a lock that nobody gave back is given back
PROMPT = b"qemu-io> "  # printed when the image is open, and locked
SIZE = str(1024**2)
TAKEN = ('Failed to get "', 'Failed to get shared "')


Hold = Callable[[], AbstractContextManager[None]]


@contextlib.contextmanager
def probe(path: Path) -> Iterator[Hold]:
    """Make a file whose lock can be held in this block, and delete it. Raises CommandFailed."""
    try:
        run("qemu-img", "create", "-q", "-f", "qcow2", str(path), SIZE, timeout=PATIENCE)
        yield lambda: _held(path)
    finally:
        run("rm", "--force", "--", str(path), timeout=PATIENCE)


@contextlib.contextmanager
def _held(path: Path) -> Iterator[None]:
    """Hold QEMU's lock of a qcow2 file, as a running domain does.

    Errors: CommandFailed where the lock cannot be had, also at the end of the block where it
    was not held all the time. It ends with the daemon.
    """
    reader, writer = os.pipe()
    try:
        command = ("timeout", LONGEST, "qemu-io", "-f", "qcow2", str(path))
        with open(writer, "wb") as words, process.piped(*command, stdin=reader) as printed:
            _await_prompt(path, printed.fileno())
            yield
            words.close()  # qemu-io ends with its input
            while os.read(printed.fileno(), 4096):
                pass
    finally:
        os.close(reader)


def _await_prompt(path: Path, printed: int) -> None:
    said, until = b"", time.monotonic() + PATIENCE
    while PROMPT not in said:
        readable, _, _ = select.select([printed], [], [], max(0.0, until - time.monotonic()))
        more = os.read(printed, 4096) if readable else b""
        if not more:
            raise CommandFailed(f"QEMU cannot lock {path}.")
        said += more


def is_free(path: Path, run: Run = run) -> bool:
    """Take QEMU's lock of a file as a writer does, and give it back; False where another has it.

    Nothing is written. Raises CommandFailed where the file, or any lock, cannot be had.
    """
    try:
        run("qemu-io", "-f", "raw", "-c", "quit", str(path), timeout=PATIENCE)
    except CommandFailed as error:
        if any(said in error.message for said in TAKEN):
            return False
        raise
    return True
