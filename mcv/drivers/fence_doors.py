"""What a node switches other nodes off with: agents, the secrets for them, and what it has seen."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from mcv.document.fencing import FenceDevice
from mcv.drivers.fence_agents import FenceAgents
from mcv.drivers.fence_secrets import FenceSecrets

ECHO = 5.0  # s after the power went in which an answer that was under way may still be heard


@dataclass(frozen=True)
class Monitored:
    """This node's last look at a device; `failure` is "" where the device is well."""

    at: float  # monotonic
    device: FenceDevice
    failure: str = ""


@dataclass(frozen=True)
class FenceRun:
    """What has become of an order of the manager's: by which level, 0 where that is not known."""

    uid: str
    outcome: Literal["running", "off", "on", "failed"]
    message: str = ""
    level: int = 0


class ByOperator:
    """What operators switch from this node, and what they have switched off.

    The manager lets a node be whose power is switched now, and switches none on again that an
    operator has switched off, until it has been there since.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._commands: list[tuple[str, str]] = []  # node and command, the newest last
        self._off: dict[str, float] = {}  # when a node was switched off, as of the wall clock

    @contextlib.contextmanager
    def at_work(self, node: str, command: str) -> Iterator[None]:
        """While this lasts the command switches the node."""
        entry = (node, command)
        with self._lock:
            self._commands.append(entry)
        try:
            yield
        finally:
            with self._lock:
                self._commands.remove(entry)

    def switching(self) -> dict[str, str]:
        """The command by node."""
        with self._lock:
            return dict(self._commands)

    def switched(self, node: str, is_off: bool) -> None:
        """An operator has switched a node off, or lets it be on again."""
        with self._lock:
            self._off.pop(node, None)
            if is_off:
                self._off[node] = time.time()

    def kept_off(self, last_heard: Callable[[str], float | None]) -> list[str]:
        """The nodes that are off by an operator's word; `last_heard` tells when each was there."""
        with self._lock:
            for node, at in list(self._off.items()):
                if (last_heard(node) or 0.0) > at + ECHO:
                    del self._off[node]
            return sorted(self._off)


@dataclass
class FenceDoors:
    """Agents and secrets of this host; a restart of the daemon begins without the rest."""

    agents: FenceAgents
    secrets: FenceSecrets
    monitored: dict[str, Monitored] = field(default_factory=dict)  # by device
    runs: dict[str, FenceRun] = field(default_factory=dict)  # by node
    lock: threading.Lock = field(default_factory=threading.Lock)  # of runs
    took: dict[str, float] = field(default_factory=dict)  # s until off, by node, in a test
    by_operator: ByOperator = field(default_factory=ByOperator)
