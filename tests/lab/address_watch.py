"""Watches an address from a third machine: who has it, whether two ever do, when it answers."""

import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.lab import Node

PROGRAM = Path(__file__).with_name("arps.py")
PLACE = "/root/arps.py"


@dataclass(frozen=True)
class Said:
    """A line of the program: when, by the third machine's clock, what, and of which hosts."""

    at: float
    what: str
    hosts: tuple[str, ...] = ()


def read(line: str, names: Mapping[str, str]) -> Said:
    """A line of the program, with the names of the hosts whose MACs are known in their place."""
    at, what, *macs = line.split()
    return Said(float(at), what, tuple(sorted(names.get(mac, mac) for mac in macs)))


@dataclass(frozen=True)
class Taken:
    """An address that another host has announced; `answered` seconds after, None for never."""

    host: str
    at: float
    answered: float | None


def takings(said: list[Said]) -> list[Taken]:
    """Each first announcement of another host than before, and how soon the address answered."""
    found: list[Taken] = []
    host = ""
    for place, one in enumerate(said):
        if one.what != "announced" or one.hosts == (host,):
            continue
        [host] = one.hosts
        later = (each.at for each in said[place:] if each.what == "answered")
        answered = next(later, None)
        after = None if answered is None else round(answered - one.at, 3)
        found.append(Taken(host, one.at, after))
    return found


def twice(said: list[Said]) -> list[Said]:
    """The questions that two hosts answered."""
    return [one for one in said if one.what == "held" and len(one.hosts) > 1]


class AddressWatch:
    """As a context: what a third machine hears of an address, which is on a bridge of some host."""

    def __init__(self, node: Node, bridge: str, address: str, hosts: Sequence[Node]) -> None:
        self._node = node
        self._bridge = bridge
        self._hosts = hosts
        self._words = f"exec /usr/bin/python3 -u {PLACE} {bridge} {address}"
        self._process: subprocess.Popen[str] | None = None
        self._names: dict[str, str] = {}
        self._lines: list[str] = []

    def __enter__(self) -> Self:
        for host in self._hosts:
            self.meet(host)
        self._node.put(PROGRAM.read_bytes(), PLACE)
        self._process = self._node.start(self._words)
        threading.Thread(target=self._hear, args=(self._process,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def meet(self, host: Node) -> None:
        """Learn a host's MAC; to be called anew after a boot, which may have given it another."""
        mac = host.run(f"cat /sys/class/net/{self._bridge}/address").stdout.strip()
        self._names[mac] = host.name

    @property
    def said(self) -> list[Said]:
        """All that was heard. AssertionError where the program has failed: it hears nothing."""
        process = self._process
        assert process is not None
        if process.poll() is not None:
            raise AssertionError(f"{PLACE} has failed on {self._node.name}: {_words(process)}")
        return [read(line, self._names) for line in list(self._lines)]

    def holders(self) -> tuple[str, ...]:
        """The hosts that had the address when it was asked for last."""
        rounds = [one for one in self.said if one.what == "held"]
        return rounds[-1].hosts if rounds else ()

    def require_one_holder(self) -> None:
        """At no question since the beginning two hosts had the address, and some were answered."""
        said = self.said
        assert any(one.hosts for one in said if one.what == "held")
        assert not twice(said), twice(said)[:5]

    def _hear(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout
        for line in process.stdout:
            self._lines.append(line)


def _words(process: "subprocess.Popen[str]") -> str:
    return process.stderr.read() if process.stderr else ""
