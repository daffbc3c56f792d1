"""Watches from outside of the nodes which of them run guests, by the clock of the test.

A program of real time on each node says over the tests' own link, five times a second, which
QEMU processes it finds in /proc. That a node runs none is believed when it says so, and when the
process of its kernel is gone; a node that is silent is taken to run what it ran. So a guest's end
is seen late, never early.
"""

import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.lab import Node

PROGRAM = Path(__file__).with_name("qemus.py")
PLACE = "/root/qemus.py"
FRESH = 1.0  # s; what was said longer ago is no longer known of a node that runs


@dataclass
class Seen:
    """What was last heard of a node, by time.monotonic()."""

    running: int = 0
    said: float = 0.0  # when it last said anything
    ran: float = 0.0  # when it last said that a guest runs


class Watcher:
    """As a context: which nodes run a guest, and whether two of them ever did at once."""

    def __init__(self, nodes: list[Node]) -> None:
        self._nodes = {node.name: node for node in nodes}
        self._seen = {node.name: Seen() for node in nodes}
        self._processes: dict[str, subprocess.Popen[str]] = {}
        self._lock = threading.Lock()
        self.twice: list[str] = []

    def __enter__(self) -> Self:
        for node in self._nodes.values():
            self.watch(node)
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait()

    def watch(self, node: Node) -> None:
        """Begin with a node, also anew, after it was booted."""
        before = self._processes.pop(node.name, None)
        if before is not None:
            before.kill()
        node.put(PROGRAM.read_bytes(), PLACE)
        self._seen[node.name] = Seen()
        process = node.start(f"exec /usr/bin/python3 -u {PLACE}")
        self._processes[node.name] = process
        threading.Thread(target=self._hear, args=(node.name, process), daemon=True).start()

    def hears(self, node: Node) -> bool:
        """Whether the program on a node is still listened to; a boot ends it, and a long freeze."""
        return self._processes[node.name].poll() is None

    def runs(self, node: Node) -> bool:
        """Whether a guest runs on a node, as far as anybody outside can know."""
        self._require_eyes(node)
        return node.is_running and self._seen[node.name].running > 0

    def ran_last(self, node: Node) -> float:
        """When a guest was last seen there, by time.monotonic(); 0 for never."""
        return self._seen[node.name].ran

    def wait_for_end(self, node: Node, timeout: float) -> float:
        """Wait until a node runs no guest, and say when that was seen; AssertionError in time."""
        until = time.monotonic() + timeout
        while self.runs(node):
            assert time.monotonic() < until, f"a guest still runs on {node.name}"
            time.sleep(0.05)
        return time.monotonic()

    def _require_eyes(self, node: Node) -> None:
        """A program that has failed there sees nothing: AssertionError with its words."""
        process = self._processes[node.name]
        if process.poll() == 1:
            said = process.stderr.read() if process.stderr else ""
            raise AssertionError(f"{PLACE} has failed on {node.name}: {said}")

    def _hear(self, name: str, process: "subprocess.Popen[str]") -> None:
        assert process.stdout
        for line in process.stdout:
            now = time.monotonic()
            with self._lock:
                seen = self._seen[name]
                seen.running, seen.said = len(line.split()) - 1, now
                if seen.running:
                    seen.ran = now
                    self._compare(name, now)

    def _compare(self, name: str, now: float) -> None:
        """Two nodes that have said within a quarter of a second that they run one."""
        for other, seen in self._seen.items():
            if other != name and now - seen.ran < 0.25 and self._nodes[other].is_running:
                self.twice.append(f"{now:.2f}: {name} and {other} run a guest")
