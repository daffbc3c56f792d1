"""The processes of a unit of systemd, by its cgroup: those that its script left behind, too."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
# Where systemd keeps its cgroups: alone, or beside controllers of the first version.
HIERARCHIES = (".", "unified", "systemd")
DEEPEST = 3  # slices above a unit
PAUSE = 0.1  # s between two looks at what was killed


def tasks(unit: str, root: Path = ROOT) -> list[int]:
    """The numbers of all processes in the cgroups of a unit, and of those below."""
    return sorted({pid for group in _groups(unit, root) for pid in _below(group)})


def kill(unit: str, within: float, root: Path = ROOT) -> list[int]:
    """SIGKILL all processes of a unit; those that are left after `within` seconds.

    What such a process starts meanwhile is killed too. One in state D ends later.
    """
    until = time.monotonic() + within
    while left := tasks(unit, root):
        for pid in left:
            _kill(pid, unit, root)
        if time.monotonic() >= until:
            return tasks(unit, root)
        time.sleep(PAUSE)
    return []


def _kill(pid: int, unit: str, root: Path) -> None:
    with contextlib.suppress(OSError):
        process = os.pidfd_open(pid)
        try:
            # The number may be another process's meanwhile.
            if pid in tasks(unit, root):
                signal.pidfd_send_signal(process, signal.SIGKILL)
        finally:
            os.close(process)


def _groups(unit: str, root: Path) -> Iterator[Path]:
    """The unit's cgroups: below any slice, the root's own included."""
    for hierarchy in HIERARCHIES:
        base = root / hierarchy
        if not (base / "cgroup.procs").exists():
            continue
        for depth in range(DEEPEST + 1):
            yield from base.glob("/".join(["*.slice"] * depth + [_literal(unit)]))


def _literal(unit: str) -> str:
    """A name for glob that means itself."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in unit)


def _below(group: Path) -> Iterator[int]:
    """The processes of a cgroup and of those below; one that goes meanwhile has none."""
    for directory, _, files in os.walk(group):
        if "cgroup.procs" in files:
            with contextlib.suppress(OSError):
                for word in Path(directory, "cgroup.procs").read_text(encoding="ascii").split():
                    # 0 is a process of another namespace, which nobody here can end.
                    if word.isdecimal() and int(word):
                        yield int(word)


def named(pids: list[int], proc: Path = Path("/proc")) -> list[str]:
    """Processes for humans: name and number."""
    found = []
    for pid in pids:
        try:
            name = (proc / str(pid) / "comm").read_text(errors="replace").strip()
        except OSError:
            name = "a process"
        found.append(f"{name} ({pid})")
    return found
