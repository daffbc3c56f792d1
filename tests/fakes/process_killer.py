"""Death, or sleep, at a chosen instant: a daemon stops before a call, an answer or a write of
its own."""

import functools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mcv.cluster import etcd_follow, etcd_steps, lease_keeping, members
from mcv.drbd import left_replicas, roles, verification_results
from mcv.errors import CallLost, CommandFailed, HypervisorFailed, McvError, PeerUnreachable
from mcv.recovery import journal_recovery
from mcv.service import watched
from mcv.storage import copy_target
from mcv.system import files
from mcv.vm import autostart, disk_closing, disk_mirror, disk_remove, stray_copies
from tests.fakes.cluster import FakeCluster


@dataclass
class Doomed:
    """One node's daemon: the instants that it has passed, and at which of them it dies.

    One that is frozen there instead goes on, unaware, when it is woken.
    """

    at: int
    instants: list[str] = field(default_factory=list)
    dead: bool = False
    frozen: threading.Event = field(default_factory=threading.Event)
    woken: threading.Event | None = None

    def stand_still(self, is_own: bool) -> None:
        """Its own threads wait; who waits for its answer gets none."""
        assert self.woken is not None
        self.frozen.set()
        if not is_own:
            raise SystemExit
        self.woken.wait(20)


class ProcessKiller:
    """Counts the instants at which daemons may die, and ends each at the one that was chosen.

    From its death on nothing of a daemon happens any more: what its threads still try
    ends with SystemExit, and whoever calls it gets no answer. `revive` starts it anew.
    """

    def __init__(self, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cluster = cluster
        self._doomed: dict[str, Doomed] = {}
        self._states = {host.settings.state: name for name, host in cluster.hosts.items()}
        cluster.spy = self._before
        cluster.answered = self._after
        for name, door in cluster.domains.items():
            door.phase = functools.partial(self._phase, name)
            door.mirrors.phase = functools.partial(self._instant, name)
        for name, services in cluster.services.items():
            services.address.phase = functools.partial(self._instant, name)
            services.units.phase = functools.partial(self._instant, name)
        for name, blocks in cluster.blocks.items():
            blocks.phase = functools.partial(self._copies, name)
        for name in ("write_atomically", "rename", "remove"):
            monkeypatch.setattr(files, name, self._writing(name, getattr(files, name)))

    def doom(self, node: str, at: int) -> Doomed:
        """Count a node's instants from now on; it dies at the one numbered so, if it is not
        negative."""
        self._doomed[node] = Doomed(at)
        return self._doomed[node]

    def freeze(self, node: str, at: int) -> Doomed:
        """Have a node stand still at an instant: it answers nobody until it is woken."""
        one = self.doom(node, at)
        one.woken = threading.Event()
        return one

    def wake(self, node: str) -> None:
        """Let it go on where it stands, unaware of what came meanwhile."""
        one = self._doomed[node]
        self.cluster.down.discard(node)
        assert one.woken is not None
        one.woken.set()

    @property
    def dead(self) -> list[str]:
        return [name for name, one in self._doomed.items() if one.dead]

    def kill(self, node: str) -> None:
        self.doom(node, -1).dead = True

    def revive(self) -> None:
        """Start anew whoever has died; nobody dies any more."""
        dead = self.dead
        self._doomed.clear()
        for name in dead:
            roles.bring_up(self.cluster.boot(name))

    def _before(self, caller: str, node: str, operation: str) -> None:
        self._instant(caller, f"call {node} {operation}")
        if caller == node:
            return
        try:
            self._instant(node, f"serve {operation} to {caller}", is_own=False)
        except SystemExit:
            raise PeerUnreachable(f"{node} does not answer.") from None

    def _after(self, caller: str, node: str, operation: str) -> None:
        try:
            self._instant(node, f"answer {operation} to {caller}", is_own=caller == node)
        except SystemExit:
            if caller == node:
                raise
            raise CallLost(f"{node} broke off.") from None

    def _phase(self, node: str, phase: str) -> None:
        """An instant of a live migration, which daemons on both sides carry."""
        self._instant(node, f"migration {phase}")
        for other in sorted(set(self.cluster.hosts) - {node}):
            try:
                self._instant(other, f"migration from {node} {phase}", is_own=False)
            except SystemExit:
                raise HypervisorFailed("Could not migrate web1: the way broke off.") from None

    def _copies(self, node: str, phase: str) -> None:
        """An instant of a copy, which daemons on both sides carry."""
        self._instant(node, f"it {phase}")
        for other in sorted(set(self.cluster.hosts) - {node}):
            try:
                self._instant(other, f"{node} {phase}", is_own=False)
            except SystemExit:
                raise CommandFailed("`qemu-img` exited with 1: the way broke off") from None

    def _writing(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def write(path: Path, *rest: Any) -> Any:
            for state, node in self._states.items():
                if state not in path.parents:
                    continue
                where = path.relative_to(state)
                if node in self.dead:
                    raise SystemExit
                if where.parts[0] != "jobs":
                    self._instant(node, f"{name} {where}")
            return original(path, *rest)

        return write

    def _instant(self, node: str, what: str, is_own: bool = True) -> None:
        one = self._doomed.get(node)
        if one is None:
            return
        if one.dead:
            raise SystemExit
        one.instants.append(what)
        if len(one.instants) <= one.at or one.at < 0:
            return
        if one.woken is None:
            one.dead = True
            raise SystemExit
        if not one.woken.is_set():
            self.cluster.down.add(node)
            one.stand_still(is_own)


def until_quiet(cluster: FakeCluster, rounds: int = 8) -> None:
    """Let the loops of every daemon that is up turn until nothing changes any more."""
    before: Any = None
    for _ in range(rounds):
        for name in sorted(set(cluster.hosts) - cluster.down):
            try:
                _turn(cluster, name)
            except (McvError, SystemExit):
                continue
        now = cluster.picture()
        if now == before:
            return
        before = now


def _turn(cluster: FakeCluster, name: str) -> None:
    """One round of a daemon's loops."""
    host = cluster.hosts[name]
    cluster.look(name)
    etcd_steps.tidy(host)
    etcd_follow.look_after(host)
    lease_keeping.follow(host)
    if host.consensus.in_contact:
        stray_copies.step_aside(host)
        verification_results.conclude(host)
    else:
        members.come_back(host)
    journal_recovery.resume_all(host, patience=False)
    disk_closing.reconcile(host)
    copy_target.clear_over(host)
    left_replicas.look_after(host)
    disk_remove.reconcile(host)
    disk_mirror.reconcile(host)
    autostart.look_after(host)
    watched.look_after(host)
