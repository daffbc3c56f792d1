"""The lock that says that a fence-peer handler is at work: one file for each resource.

Handlers share it, so no handler waits for another. It ends with the process that holds it.
"""

import contextlib
import fcntl
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from mcv.system import files


@contextlib.contextmanager
def held(directory: Path, resource: str) -> Iterator[None]:
    """Hold the resource's lock while a handler looks for its verdict.

    The verdict counts for more than the lock: where the file cannot be made, the handler goes
    on without it.
    """
    try:
        fd = _opened(directory, resource)
    except OSError as error:
        print(f"mcv: {resource}: no lock of the handler: {error}", file=sys.stderr)
        yield
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_SH)
        yield
    finally:
        os.close(fd)


def is_held(directory: Path, resource: str) -> bool:
    """Whether a handler of this host looks for a verdict about the resource now."""
    fd = _opened(directory, resource)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def _opened(directory: Path, resource: str) -> int:
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = files.child(directory, f"{resource}.handler")
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
