"""Death at a chosen instant: a daemon stops before a call, an answer or a write of its own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mcv.cluster import members, work
from mcv.cluster.agree import Agreement
from mcv.drbd import roles
from mcv.errors import CallLost, McvError, PeerUnreachable
from mcv.system import files
from tests.fakes.cluster import FakeCluster


class Reaper:
    """Counts the instants at which one node's daemon may die, and ends it at one of them.

    From its death on nothing of the daemon happens any more: what its threads still try
    ends with SystemExit, and whoever calls it gets no answer. `boot` starts it anew.
    """

    def __init__(
        self, cluster: FakeCluster, victim: str, at: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.cluster = cluster
        self.victim = victim
        self.at = at
        self.instants: list[str] = []
        self.dead = False
        self._state = cluster.hosts[victim].settings.state
        self._armed = True
        cluster.spy = self._before
        cluster.answered = self._after
        for name in ("write_atomically", "rename", "remove"):
            monkeypatch.setattr(files, name, self._writing(name, getattr(files, name)))

    def disarm(self) -> None:
        """Let the daemon live from now on; start it anew if it has died."""
        self._armed = False
        if self.dead:
            self.dead = False
            host = self.cluster.boot(self.victim)
            roles.bring_up(host)

    def _before(self, caller: str, node: str, operation: str) -> None:
        if caller == self.victim:
            self._instant(f"call {node} {operation}")
        elif node == self.victim:
            try:
                self._instant(f"serve {operation} to {caller}")
            except SystemExit:
                raise PeerUnreachable(f"{node} does not answer.") from None

    def _after(self, caller: str, node: str, operation: str) -> None:
        if node == self.victim:
            try:
                self._instant(f"answer {operation} to {caller}")
            except SystemExit:
                if caller == node:
                    raise
                raise CallLost(f"{node} broke off.") from None

    def _writing(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def write(path: Path, *rest: Any) -> Any:
            if self._state in path.parents:
                where = path.relative_to(self._state)
                if self.dead and self._armed:
                    raise SystemExit
                if where.parts[0] != "jobs":
                    self._instant(f"{name} {where}")
            return original(path, *rest)

        return write

    def _instant(self, what: str) -> None:
        if not self._armed:
            return
        if self.dead:
            raise SystemExit
        self.instants.append(what)
        if len(self.instants) > self.at >= 0:
            self.dead = True
            raise SystemExit


def until_quiet(cluster: FakeCluster, rounds: int = 8) -> None:
    """Let every daemon's loops turn until nothing changes any more."""
    before: Any = None
    for _ in range(rounds):
        for name, host in cluster.hosts.items():
            cluster.look(name)
            agreed = host.agreed
            assert isinstance(agreed, Agreement)
            try:
                if not agreed.in_touch:
                    members.come_back(host)
            except McvError:
                continue
            work.settle_all(host, patience=False)
        now = cluster.picture()
        if now == before:
            return
        before = now
