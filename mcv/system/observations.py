"""What this node has seen, and when: members heard, replicas in step, its own absence.

Kept on disk, so that it outlives a reboot: a takeover is judged by it. The times are this
host's own and are compared with each other alone.
"""

import json
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from mcv.errors import wait_for, ways_out
from mcv.system import files, lease

READ = 0.9  # seconds that a read waits for a sign of life
FRESH = 8.0  # seconds after which a member that was heard counts as silent: two looks and more
LATELY = 4.0  # seconds after which a silent member is looked for on other paths
A_WHILE = 10.0  # seconds of silence on every path after which a host may be dead
SAVE = 15.0  # seconds between two writes to disk: as exact as a reboot leaves it
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boot_id(path: Path = BOOT_ID) -> str:
    return (files.read_or_none(path) or "").strip()


class Kept(msgspec.Struct, kw_only=True):
    """The file: times by node and by resource, and the boot in which each node was heard."""

    boot: str
    heard: dict[str, float] = {}
    heard_in: dict[str, str] = {}
    in_step: dict[str, float] = {}


class Observations:
    """When each member was last heard and each replica was last seen in step."""

    def __init__(self, path: Path, boot: str, now: Any = time.time) -> None:
        self._path = path
        self._now = now
        self._lock = threading.Lock()
        self._saved = 0.0
        kept = files.read_or_set_aside(path, Kept) or Kept(boot=boot)
        self.boot = boot
        self.last_boot = kept.boot
        self._heard = kept.heard
        self._in_step = kept.in_step
        self._heard_in = kept.heard_in
        self.behind: dict[str, str] = {}  # by resource: the mark in etcd at the last look, in words
        self.gap = ""  # which generations were taken over from etcd that nobody here has judged
        self._contact: dict[str, float] = {}  # the last one on any path, by CLOCK_BOOTTIME
        self._silent: dict[str, float] = {}  # since when no path answers, by the monotonic clock

    def hear(self, node: str) -> None:
        """A member has answered or called."""
        with self._lock:
            self._heard[node] = self._now()
            self._heard_in[node] = self.boot
            self._contact[node] = lease.now()
            self._silent.pop(node, None)

    def note_connected(self, node: str) -> None:
        """A replica of this host is connected to a member's: another path of contact."""
        with self._lock:
            self._contact[node] = lease.now()

    def silence(self, node: str) -> float | None:
        """For how many seconds there was no contact with a member; None: not since mcvd began.

        By a clock that is never set, so that somebody may be shot by it.
        """
        with self._lock:
            at = self._contact.get(node)
        return None if at is None else max(0.0, lease.now() - at)

    def was_in_contact(self, node: str) -> bool:
        """Whether a member was heard since this host booted."""
        with self._lock:
            return bool(self.boot) and self._heard_in.get(node) == self.boot

    def note_paths(self, node: str, answers: bool) -> None:
        """A member's host was looked for on every path: its mcvd, a ping, its ports."""
        with self._lock:
            if answers:
                self._silent.pop(node, None)
            else:
                self._silent.setdefault(node, time.monotonic())

    def is_silent(self, node: str) -> bool:
        """Whether a member's host was looked for on every path, and answered on none."""
        with self._lock:
            return node in self._silent

    def advice(self, *nodes: str) -> str:
        """What to do about members that do not answer.

        Death is named only where all of their hosts have answered on no path for a while.
        """
        now = time.monotonic()
        with self._lock:
            since = [self._silent[node] for node in nodes if node in self._silent]
        are_gone = len(since) == len(nodes) and now - max(since, default=now) >= A_WHILE
        return ways_out(*nodes) if nodes and are_gone else wait_for(*nodes)

    def was_heard_lately(self, node: str) -> bool:
        """Whether a member was heard so lately that nobody looks for its host on other paths."""
        return self._was_heard_within(node, LATELY)

    def _was_heard_within(self, node: str, seconds: float) -> bool:
        """False for a time that is yet to come: this host's clock was set back since."""
        passed = self._now() - self._heard.get(node, 0.0)
        return bool(0 <= passed < seconds)

    def see_in_step(self, resource: str) -> None:
        """A replica here is connected, and both sides are UpToDate."""
        with self._lock:
            self._in_step[resource] = self._now()

    def last_heard(self, node: str) -> float | None:
        return self._heard.get(node)

    def heard_lately(self, node: str) -> bool:
        """Whether a member answered or called within the last looks of the daemon's loop."""
        return self._was_heard_within(node, FRESH)

    def patience(self, nodes: Iterable[str]) -> float:
        """How many seconds a read waits for these nodes, all at once: less where all of
        them have been silent lately, so that a dead peer costs next to nothing."""
        fresh = any(self.heard_lately(node) for node in nodes)
        return READ if fresh else READ / 2

    def last_in_step(self, resource: str) -> float | None:
        return self._in_step.get(resource)

    def was_away_since(self, node: str) -> bool:
        """Whether this host has been down since it last heard a node."""
        return self._heard_in.get(node, self.boot) != self.boot

    def forget(self, resources: set[str], nodes: set[str]) -> None:
        """Forget all but what is in the document: another VM may get a name that was free."""
        with self._lock:
            for seen, known in (
                (self._in_step, resources),
                (self._heard, nodes),
                (self._heard_in, nodes),
                (self._contact, nodes),
                (self._silent, nodes),
            ):
                for key in seen.keys() - known:
                    del seen[key]

    def save(self, at_once: bool = False) -> None:
        """Write it down, not more often than every SAVE seconds unless at once."""
        now = time.monotonic()
        if not at_once and self._saved and now - self._saved < SAVE:
            return
        self._saved = now
        with self._lock:
            text = json.dumps(
                {
                    "boot": self.boot,
                    "heard": self._heard,
                    "heard_in": self._heard_in,
                    "in_step": self._in_step,
                }
            )
        files.write_atomically(self._path, text)


def ago(at: float | None, now: float | None = None) -> str:
    """A moment as people say it: "2026-11-21 12:30:01 UTC (4 min ago)"."""
    if at is None:
        return "never, as far as this node knows"
    passed = max(0, int((time.time() if now is None else now) - at))
    for unit, seconds in (("d", 86400), ("h", 3600), ("min", 60)):
        if passed >= 2 * seconds:
            said = f"{passed // seconds} {unit} ago"
            break
    else:
        said = f"{passed} s ago"
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at)) + f" ({said})"
