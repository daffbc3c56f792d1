"""What of mcv's is left on a host whose lease has ended, and its end.

It is looked for in /proc and in DRBD, not in libvirt: a QEMU that waits for suspended I/O outlives
its domain, and libvirt may hang. Other guests of the host, and other resources, are left alone.
"""

import contextlib
import itertools
import os
import re
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mcv.errors import McvError
from mcv.ha.env import Leftovers
from mcv.ha.service_leftovers import ServiceRemains
from mcv.system.process import Run, run

MARK_OF_DOMAIN = "urn:mcv:vm:1"
MARK_OF_RESOURCE = "# Written by mcv"
DEFINITIONS = ("run/libvirt/qemu", "etc/libvirt/qemu")  # of domains that run, and of all
ANSWER = 2.0  # s that drbdsetup has

_UUID = re.compile(r"<uuid>\s*([0-9a-fA-F-]{36})\s*</uuid>")
_RESOURCE = re.compile(r"^resource (\S+) ", re.M)
_MINOR = re.compile(r"\bminor (\d+)")
_PRIMARY = re.compile(r"^exists resource name:(\S+) role:Primary\b", re.M)
_DEVICE = re.compile(r"/dev/drbd(\d+)")


@dataclass(frozen=True)
class Task:
    """A process that has something of mcv's; stuck: one of its threads is in state D."""

    pid: int
    name: str
    is_stuck: bool

    def __str__(self) -> str:
        return f"{self.name} ({self.pid})"


@dataclass(frozen=True)
class Own:
    """By what mcv's is known on this host."""

    uuids: frozenset[str]  # of its domains
    resources: frozenset[str]
    minors: frozenset[str]


class Remains:
    """Looks for what is left below `root`, and ends it."""

    def __init__(self, root: Path = Path("/"), run: Run = run) -> None:
        self._root = root
        self._run = run
        self._services = ServiceRemains(root, run)

    def look(self) -> Leftovers:
        """What is left now; where DRBD does not answer, that is left too."""
        own = self._own()
        found = list(self._tasks(own))
        return Leftovers(
            running=(
                *(str(task) for task in found if not task.is_stuck),
                *self._services.look(),
            ),
            stuck=tuple(str(task) for task in found if task.is_stuck),
            primary=self._primary(own),
        )

    def kill(self) -> None:
        """SIGKILL all that is left, and have DRBD make its resources Secondary, without a wait.

        Of services the processes are killed, and the addresses taken away.
        """
        own = self._own()
        for task in self._tasks(own):
            self._kill(task, own)
        self._services.kill()
        for resource in self._primary(own):
            if resource in own.resources:
                threading.Thread(target=self._demote, args=(resource,), daemon=True).start()

    # Processes

    def _tasks(self, own: Own) -> Iterator[Task]:
        for directory in _listed(self._root / "proc"):
            pid = directory.name
            if not pid.isdecimal() or int(pid) == os.getpid():
                continue
            if self._is_ours(directory, own):
                name = _read(directory / "comm").strip() or "a process"
                yield Task(int(pid), name, "D" in _states(directory))

    def _is_ours(self, process: Path, own: Own) -> bool:
        """Whether a process is a guest of mcv's, or has a replica of mcv's open.

        A process that ends is known by the threads that are left of it.
        """
        threads = [process]
        if not _read(process / "cmdline"):
            threads = [each for each in _listed(process / "task") if _states(each) - {"Z", "X"}]
        return any(_is_guest(each, own) or _has_open(each, own) for each in threads)

    def _kill(self, task: Task, own: Own) -> None:
        with contextlib.suppress(OSError):
            process = os.pidfd_open(task.pid)
            try:
                # The number may be another process's meanwhile.
                if self._is_ours(self._root / "proc" / str(task.pid), own):
                    signal.pidfd_send_signal(process, signal.SIGKILL)
            finally:
                os.close(process)

    # DRBD

    def _primary(self, own: Own) -> tuple[str, ...]:
        if not own.resources or not (self._root / "sys/module/drbd").exists():
            return ()
        try:
            told = self._run("drbdsetup", "events2", "--now", timeout=ANSWER)
        except McvError as error:
            return (f"unknown: {error.message}",)
        return tuple(name for name in _PRIMARY.findall(told) if name in own.resources)

    def _demote(self, resource: str) -> None:
        with contextlib.suppress(McvError):
            self._run("drbdsetup", "secondary", resource, timeout=ANSWER)

    def _own(self) -> Own:
        domains = [
            text
            for directory in DEFINITIONS
            for path in _listed(self._root / directory)
            if path.suffix == ".xml" and MARK_OF_DOMAIN in (text := _read(path))
        ]
        resources = [
            text
            for path in _listed(self._root / "etc/drbd.d")
            if path.suffix == ".res" and (text := _read(path)).startswith(MARK_OF_RESOURCE)
        ]
        return Own(
            frozenset(uuid.lower() for text in domains for uuid in _UUID.findall(text)[:1]),
            frozenset(name for text in resources for name in _RESOURCE.findall(text)),
            frozenset(minor for text in resources for minor in _MINOR.findall(text)),
        )


def _is_guest(thread: Path, own: Own) -> bool:
    words = _read(thread / "cmdline").split("\0")
    return any(
        word in ("-uuid", "--uuid") and value.lower() in own.uuids
        for word, value in itertools.pairwise(words)
    )


def _has_open(thread: Path, own: Own) -> bool:
    """Whether it has the device of a replica open, by its path alone: no file system is asked."""
    for link in _listed(thread / "fd"):
        with contextlib.suppress(OSError):
            device = _DEVICE.fullmatch(os.readlink(link))
            if device is not None and device[1] in own.minors:
                return True
    return False


def _states(process: Path) -> set[str]:
    """The states of a process's threads, or of one thread, as ps shows them."""
    threads = _listed(process / "task") or [process]
    return {_state(_read(thread / "stat")) for thread in threads}


def _state(stat: str) -> str:
    """The name in a stat line is in brackets, and may hold brackets itself."""
    return stat.rpartition(")")[2].split()[0] if ")" in stat else "X"


def _listed(directory: Path) -> list[Path]:
    try:
        return [directory / name for name in os.listdir(directory)]
    except OSError:
        return []


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
