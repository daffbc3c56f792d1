"""One lock file per VM: held for the length of a step, readable by humans."""

import contextlib
import json
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import Timeout, UnixFileLock

from mcv.errors import Busy, McvError, in_words, of_system
from mcv.system import files, process


class _Handed(UnixFileLock):
    """A file lock released by closing it: LOCK_UN would end it for inheriting processes too."""

    def _release(self) -> None:
        fd, self._context.lock_file_fd = self._context.lock_file_fd, None
        if fd is not None:
            os.close(fd)


class Locks:
    """The lock files of this host, in one directory that a reboot empties.

    A lock is an flock that the commands started under it inherit, so it ends with the
    last of them; a daemon that is killed holds nothing, its running commands do.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @contextlib.contextmanager
    def hold(self, name: str, why: str, timeout: float = 60, subject: str = "") -> Iterator[None]:
        """Hold the lock called name, with a note beside it saying why and since when.

        Raises Busy, quoting the note, when it is not to be had within timeout seconds; it
        names the subject, where there is one.
        """
        with in_words(self._directory):
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = files.child(self._directory, f"{name}.lock")
        if os.path.lexists(path) and not stat.S_ISREG(path.lstat().st_mode):
            files.set_aside(path, f"{path} is no file.")
        lock = _Handed(path, timeout=timeout, thread_local=False, is_singleton=False)
        try:
            lock.acquire()
        except Timeout:
            note = self.notes().get(name, {})
            raise Busy(
                f"{subject or name} is busy: {note.get('why', 'a command of an earlier step')} "
                f"since {note.get('since', 'an unknown time')}.",
                "See: mcv locks list",
            ) from None
        except OSError as error:
            raise of_system(error) from error
        note_path = path.with_suffix(".note")
        fd = lock._context.lock_file_fd
        token = process.inherited.set((*process.inherited.get(), *([fd] if fd is not None else [])))
        try:
            since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            # The note is for humans; the lock holds without it.
            with contextlib.suppress(McvError):
                note = {"why": why, "since": since, "pid": os.getpid()}
                files.write_atomically(note_path, json.dumps(note))
            yield
        finally:
            process.inherited.reset(token)
            with contextlib.suppress(McvError):
                files.remove(note_path)
            lock.release()

    def notes(self) -> dict[str, dict[str, Any]]:
        """What each lock that is held says about itself."""
        found = {}
        for path in sorted(self._directory.glob("*.note")):
            with contextlib.suppress(McvError, ValueError, RecursionError):
                note = json.loads(files.read_or_none(path) or "{}")
                if isinstance(note, dict) and note:
                    found[path.stem] = note
        return found
