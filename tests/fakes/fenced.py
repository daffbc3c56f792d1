"""Three nodes whose power a service switches, by fence agents that are real programs."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mcv.cluster import fence_devices, fence_levels, fence_trial, members
from tests.fakes.cluster import FakeCluster
from tests.fakes.power import installed
from tests.lab.power import PASSWORD, Power


@dataclass
class Machine:
    """A node of a fake cluster: without power it answers nobody."""

    cluster: FakeCluster
    name: str
    comes_back: bool = True
    switched: list[str] = field(default_factory=list)

    def is_on(self) -> bool:
        return self.name not in self.cluster.down

    def switch_off(self) -> None:
        self.switched.append("off")
        self.cluster.domains[self.name].power_off()
        self.cluster.down.add(self.name)

    def switch_on(self) -> None:
        self.switched.append("on")
        if self.comes_back:
            self.cluster.down.discard(self.name)
            self.cluster.reboot(self.name)


@dataclass
class Fenced:
    """The cluster, and the service that has a plug for each node: 1 for n1, and so on."""

    cluster: FakeCluster
    power: Power
    machines: dict[str, Machine]

    @property
    def parameters(self) -> dict[str, str]:
        return {"ip": self.power.address, "ipport": str(self.power.port), "username": "root"}

    def hear(self) -> None:
        """Every node has just heard every other."""
        for host in self.cluster.hosts.values():
            for name in self.cluster.hosts:
                host.observations.hear(name)

    def add(self, name: str = "pdu") -> None:
        """Add a device, as n1's operator does."""
        self.cluster.run(
            "n1",
            fence_devices.add,
            name=name,
            agent="fence_lab",
            parameters=self.parameters,
            secrets={"password": PASSWORD},
        )

    def set(self, node: str, *plugs: str, level: int = 1) -> None:
        wanted = [list(plug.partition(":")[::2]) for plug in plugs]
        self.cluster.run("n1", fence_levels.set_, node=node, level=level, plugs=wanted)

    def tested(self, node: str, *plugs: str) -> None:
        """Say that plugs were tested, without having done it."""
        wanted = [list(plug.partition(":")[::2]) for plug in plugs]
        when = "2026-03-01T12:00:00Z"
        params = {"plugs": wanted, "when": when, "seconds": 1, "devices": {}}
        self.cluster.hosts["n1"].update("fence.tested", "test", name=node, **params)


@pytest.fixture
def fenced(three: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fenced]:
    """Three nodes with agents, nothing set yet; a node without power is silent on all paths."""
    yield from _on_plugs(three, monkeypatch)


@pytest.fixture
def two_fenced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fenced]:
    """The same with two nodes."""
    yield from _on_plugs(FakeCluster(tmp_path, ("n1", "n2")), monkeypatch)


def _on_plugs(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fenced]:
    installed(cluster.directory / "sbin")
    monkeypatch.setattr(members, "answers_at_all", lambda *_: False)
    for name, seconds in (("SILENCE", 0.3), ("QUIET", 0.1), ("BACK", 1.0), ("PAUSE", 0.02)):
        monkeypatch.setattr(fence_trial, name, seconds)
    machines = {name: Machine(cluster, name) for name in cluster.hosts}
    plugs = {name[1:]: machine for name, machine in machines.items()}
    with Power(plugs) as power:
        yield Fenced(cluster, power, machines)
