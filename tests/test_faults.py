"""Faults of `make soak-ha` on nodes that are none: what begins ends, and all can be mended."""

from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from tests.lab import LabError, Node
from tests.lab.ha.faults import Faults
from tests.lab.ha.schedule import Fault, Kind
from tests.lab.power import Mode, Power


@dataclass
class Host:
    """What a node is asked to do, and whether it is on."""

    number: int
    is_running: bool = True
    done: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"node{self.number}"

    @property
    def address(self) -> str:
        return f"10.99.0.{self.number}"

    def kill(self) -> None:
        self.is_running = False

    def power_on(self) -> None:
        if self.is_running:
            raise LabError(f"{self.name} is running already.")
        self.is_running = True

    def run(self, command: str, **_: Any) -> None:
        if not self.is_running:
            raise LabError(f"{self.name} does not answer.")
        self.done.append(command)

    def __getattr__(self, verb: str) -> Any:
        return lambda *words: self.done.append(" ".join((verb, *words)))


HOSTS = [1, 2, 3]


@pytest.fixture
def hosts() -> list[Host]:
    return [Host(number) for number in HOSTS]


@pytest.fixture
def power() -> Power:
    return Power({})


@pytest.fixture
def faults(hosts: list[Host], power: Power) -> Faults:
    return Faults(cast(list[Node], hosts), power)


def fault(kind: Kind, node: str = "node1") -> Fault:
    return Fault(kind, node, after=0.0, lasts=5.0)


@pytest.mark.parametrize(
    ("kind", "begins", "ends"),
    [
        (Kind.CUT, ["cut"], ["heal"]),
        (Kind.FREEZE, ["freeze"], ["thaw"]),
        (Kind.STOP_LEASE, ["sigstop mcv-lease"], ["sigcont mcv-lease"]),
        (Kind.KILL_ETCD, ["sigkill mcv-etcd"], []),
    ],
)
def test_what_begins_ends(
    hosts: list[Host], faults: Faults, kind: Kind, begins: list[str], ends: list[str]
) -> None:
    faults.begin(fault(kind))
    assert hosts[0].done == begins

    faults.end(fault(kind))
    faults.end(fault(kind))
    assert hosts[0].done == begins + ends
    assert not hosts[1].done and not hosts[2].done


@pytest.mark.parametrize(
    ("kind", "struck", "rules"),
    [
        (Kind.DEAF, [1], ["-A INPUT -s 10.99.0.2 -j DROP", "-A INPUT -s 10.99.0.3 -j DROP"]),
        (Kind.UNHEARD, [2, 3], ["-A INPUT -s 10.99.0.1 -j DROP"]),
    ],
)
def test_a_cut_one_way_is_on_those_that_hear_nothing(
    hosts: list[Host], faults: Faults, kind: Kind, struck: list[int], rules: list[str]
) -> None:
    faults.begin(fault(kind))
    for host in hosts:
        wanted = rules if host.number in struck else []
        assert host.done == [f"iptables-legacy {rule}" for rule in wanted]

    faults.end(fault(kind))
    assert {host.number for host in hosts if host.done[-1:] == ["iptables-legacy -F"]} == {*struck}


def test_a_host_that_is_killed_is_switched_on_unless_its_device_was_faster(
    hosts: list[Host], faults: Faults
) -> None:
    faults.begin(fault(Kind.KILL))
    assert not hosts[0].is_running
    faults.end(fault(Kind.KILL))
    assert hosts[0].is_running

    faults.begin(fault(Kind.KILL))
    hosts[0].power_on()
    faults.end(fault(Kind.KILL))


def test_nothing_befalls_a_host_that_is_off(hosts: list[Host], faults: Faults) -> None:
    hosts[0].kill()

    with pytest.raises(LabError, match="node1 is off"):
        faults.begin(fault(Kind.STOP_MCVD))

    faults.end(fault(Kind.STOP_MCVD))
    assert not hosts[0].done


def test_a_device_hangs_for_all_hosts(faults: Faults, power: Power) -> None:
    hangs = fault(Kind.DEVICE, "")

    faults.begin(hangs)
    assert power.modes == {str(number): Mode.HANG for number in HOSTS}
    faults.end(hangs)
    assert power.modes == {str(number): Mode.WELL for number in HOSTS}


def test_all_is_mended_whatever_has_begun(hosts: list[Host], faults: Faults, power: Power) -> None:
    faults.begin(fault(Kind.KILL, "node1"))
    faults.begin(fault(Kind.FREEZE, "node2"))
    faults.begin(fault(Kind.DEVICE, ""))
    hosts[2].kill()  # by its watchdog

    faults.mend()

    assert all(host.is_running for host in hosts)
    assert set(power.modes.values()) == {Mode.WELL}
    for host in hosts:
        assert "heal" in host.done and "thaw" in host.done
        assert any("iptables-legacy -F" in words and "CONT" in words for words in host.done)
