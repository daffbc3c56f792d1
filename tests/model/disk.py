"""A disk that a crash of its host can catch: what was not synced may be gone."""

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.model.scheduler import Scheduler

PREEMPTED = 0.25  # how likely another task, or a crash, comes in between two steps of a write


class Disk:
    """The module `os` as mcv.system.files and the store use it, for all hosts.

    Renames and removals count from the sync of their directory on, contents from the
    sync of the file. A crash keeps a first part of what was not synced.
    """

    def __init__(
        self, scheduler: Scheduler, root: Path, written: Callable[[str, Path], None]
    ) -> None:
        self._scheduler = scheduler
        self._root = root
        self._written = written
        self._open: dict[int, Path] = {}
        self._changed: dict[str, list[tuple[Path, bytes | None, Path, bytes | None]]] = {}
        self._torn: set[Path] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def host(self, path: Path) -> str:
        """Whose disk a path is on: <root>/<host>/…"""
        return path.relative_to(self._root).parts[0]

    def open(self, path: Path, flags: int, mode: int = 0o600) -> int:
        self._scheduler.pause(PREEMPTED)
        fd = os.open(path, flags, mode)
        self._open[fd] = path
        if flags & os.O_TRUNC:
            self._torn.add(path)
        return fd

    def close(self, fd: int) -> None:
        self._open.pop(fd, None)
        os.close(fd)

    def fsync(self, fd: int) -> None:
        self._scheduler.pause(PREEMPTED)
        path = self._open[fd]
        if path.is_dir():
            changed = self._changed.get(self.host(path), [])
            changed[:] = [one for one in changed if one[0].parent != path != one[2].parent]
        else:
            self._torn.discard(path)

    def rename(self, source: Path, target: Path) -> None:
        self._scheduler.pause(PREEMPTED)
        before = (source, source.read_bytes(), target, _bytes(target))
        self._changed.setdefault(self.host(target), []).append(before)
        if source in self._torn:
            self._torn.discard(source)
            self._torn.add(target)
        os.rename(source, target)
        if target.name in ("config.json", "proposal.json") or target.parent.name == "history":
            self._written(self.host(target), target)
        self._scheduler.pause(PREEMPTED)

    def link(self, source: Path, target: Path) -> None:
        self._scheduler.pause(PREEMPTED)
        os.link(source, target)

    def remove(self, original: Callable[[Path], None]) -> Callable[[Path], None]:
        """The function that removes a file durably, its steps noted."""

        def remove(path: Path) -> None:
            self._scheduler.pause(PREEMPTED)
            if path.exists():
                noted = (path, path.read_bytes(), path, None)
                self._changed.setdefault(self.host(path), []).append(noted)
            original(path)

        return remove

    def crash(self, host: str, chance: random.Random) -> None:
        """Lose what was not synced, from some instant on."""
        changed = self._changed.pop(host, [])
        kept = chance.randint(0, len(changed))
        for source, was, target, had in reversed(changed[kept:]):
            if target != source:
                _put(target, had)
            _put(source, was)
        for path in sorted(self._torn):
            if self.host(path) == host:
                self._torn.discard(path)
                if path.exists():
                    path.write_bytes(b"")


def _bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def _put(path: Path, content: bytes | None) -> None:
    # A file of its own: a link to it in the history is another name for the old one.
    path.unlink(missing_ok=True)
    if content is not None:
        path.write_bytes(content)
