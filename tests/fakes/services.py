"""Addresses, units and scripts of a host; a segment tells who has an address."""

from collections.abc import Callable

from mcv.drivers.service_units import UnitState
from mcv.errors import CommandFailed
from mcv.ha.gate import OPEN, Passage


class Segment:
    """What lies on one wire: who has which address, and what has happened, in order."""

    def __init__(self) -> None:
        self.holders: dict[str, list[str]] = {}  # hosts by IP
        self.happened: list[str] = []
        self.foreign: set[str] = set()  # IPs that a machine outside has
        self.twice: list[str] = []  # IPs that had two holders at an instant

    def take(self, node: str, ip: str) -> None:
        hosts = self.holders.setdefault(ip, [])
        hosts.append(node)
        if len(hosts) > 1:
            self.twice.append(ip)


Phase = Callable[[str], None]


class FakeAddress:
    """The addresses of services on one host; `phase` is told before each thing that is done."""

    def __init__(self, node: str, segment: Segment) -> None:
        self.phase: Phase = lambda what: None
        self._node = node
        self.segment = segment
        self.gate: Passage = OPEN
        self.own: dict[str, str] = {}  # device by IP
        self.linkless: set[str] = set()
        self.down: set[str] = set()
        self.stuck: set[str] = set()  # IPs that cannot be taken away

    def where(self, address: str) -> str:
        return self.own.get(_ip(address), "")

    def holder(self, address: str, bridge: str) -> str:
        ip = _ip(address)
        others = [node for node in self.segment.holders.get(ip, []) if node != self._node]
        return "52:54:00:00:00:01" if others or ip in self.segment.foreign else ""

    def add(self, address: str, bridge: str) -> None:
        self.gate.begin(f"take {address}", lambda: self._add(address, bridge))

    def _add(self, address: str, bridge: str) -> None:
        self.phase(f"take {address}")
        if self.own.get(_ip(address)) != bridge:
            self.own[_ip(address)] = bridge
            self.segment.take(self._node, _ip(address))
        self.segment.happened.append(f"{self._node}: +{address}")

    def announce(self, address: str, bridge: str) -> None:
        self.segment.happened.append(f"{self._node}: announce {address}")

    def remove(self, address: str) -> None:
        self.phase(f"remove {address}")
        ip = _ip(address)
        if ip in self.stuck:
            raise CommandFailed(f"{address} is still on {self.own[ip]}.")
        if self.own.pop(ip, ""):
            self.segment.holders[ip].remove(self._node)
            self.segment.happened.append(f"{self._node}: -{address}")

    def is_up(self, bridge: str) -> bool:
        return bridge not in self.down

    def has_link(self, bridge: str) -> bool:
        return bridge not in self.linkless


class FakeUnits:
    """The units of one host; all are there, and none is enabled, but for those that are named."""

    def __init__(self, node: str, segment: Segment) -> None:
        self.phase: Phase = lambda what: None
        self._node = node
        self._segment = segment
        self.gate: Passage = OPEN
        self.active: set[str] = set()
        self.missing: set[str] = set()
        self.enabled: set[str] = set()
        self.broken: set[str] = set()  # units and scripts that do not start
        self.endless: set[str] = set()  # that do not stop
        self.ill: dict[str, str] = {}  # scripts whose status fails, and why

    def state(self, unit: str) -> UnitState:
        if unit in self.missing:
            return UnitState(load="not-found", active="inactive", sub="dead")
        active = "active" if unit in self.active else "inactive"
        file = "enabled" if unit in self.enabled else "disabled"
        return UnitState(load="loaded", active=active, sub="dead", file=file)

    def start(self, unit: str) -> None:
        self.gate.begin(f"start {unit}", lambda: self._start(unit, unit))

    def start_script(self, unit: str, path: str) -> None:
        self.gate.begin(f"start {path}", lambda: self._start(unit, path))

    def _start(self, unit: str, what: str) -> None:
        self.phase(f"start {what}")
        if what in self.broken:
            raise CommandFailed(f"`{what} start` exited with 1: no luck")
        self.active.add(unit)
        self._segment.happened.append(f"{self._node}: start {what}")

    def stop(self, unit: str) -> None:
        self._stop(unit, unit)

    def stop_script(self, unit: str, path: str) -> None:
        self._stop(unit, path)

    def _stop(self, unit: str, what: str) -> None:
        self.phase(f"stop {what}")
        if what in self.endless:
            raise CommandFailed(f"{what} is not stopped: sleep (7) does not end.")
        if unit in self.active:
            self.active.discard(unit)
            self._segment.happened.append(f"{self._node}: stop {what}")

    def is_gone(self, unit: str) -> bool:
        return unit not in self.active

    def script_trouble(self, unit: str, path: str) -> str:
        if unit not in self.active:
            return f"{path} is not started"
        return self.ill.get(path, "")


class FakePrograms:
    """The scripts of one host."""

    def __init__(self) -> None:
        self.digests: dict[str, str] = {}
        self.unsafe: dict[str, str] = {}

    def why_not(self, path: str) -> str:
        return self.unsafe.get(path, "")

    def digest(self, path: str) -> str:
        if (found := self.digests.get(path)) is None:
            raise CommandFailed(f"{path}: No such file or directory.")
        return found


class FakeServiceDoors:
    """What one host makes services with."""

    def __init__(self, node: str, segment: Segment) -> None:
        self.address = FakeAddress(node, segment)
        self.units = FakeUnits(node, segment)
        self.programs = FakePrograms()

    @property
    def gate(self) -> Passage:
        return self.address.gate

    @gate.setter
    def gate(self, gate: Passage) -> None:
        self.address.gate = self.units.gate = gate


def _ip(address: str) -> str:
    return address.partition("/")[0]
