"""Services on a host whose lease has ended: found by their notes, and ended without mcvd."""

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mcv.errors import CommandFailed
from mcv.ha.leftovers import Remains
from mcv.system import service_notes
from mcv.system.service_notes import ServiceNote

UNIT = "mcv-service-www-1.service"
WWW = ServiceNote(name="www", address="192.0.2.80/24", bridge="br0", units=("a.service", UNIT))


class Host:
    """A root with a note, cgroups, and what `ip` tells."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.own = {"br0": ["10.0.0.1", "192.0.2.80"]}
        self.ran: list[str] = []
        self.silent = False
        self.remains = Remains(root, self.run)
        for unit in ("a.service", UNIT):
            self.group(unit)
        (root / "sys/fs/cgroup/cgroup.procs").touch()

    def group(self, unit: str, *pids: int) -> Path:
        path = self.root / "sys/fs/cgroup/system.slice" / unit
        path.mkdir(parents=True, exist_ok=True)
        (path / "cgroup.procs").write_text("".join(f"{pid}\n" for pid in pids))
        return path

    def run(self, *command: str, stdin: str = "", timeout: float = 60) -> str:
        line = " ".join(command)
        if line.startswith("ip -json"):
            if self.silent:
                raise CommandFailed("`ip` ran past 2 s.")
            links = [
                {"ifname": device, "addr_info": [{"local": each} for each in own]}
                for device, own in self.own.items()
            ]
            return json.dumps(links)
        self.ran.append(line)
        if line.startswith("ip address del"):
            self.own[command[-1]].remove(command[3].partition("/")[0])
        return ""

    def ended(self) -> None:
        """Wait for the threads that ask systemd."""
        for thread in threading.enumerate():
            if thread is not threading.current_thread() and thread.daemon:
                thread.join(2)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    host = Host(tmp_path)
    service_notes.write(tmp_path / "run/mcv", WWW)
    return host


@pytest.fixture
def sleeper() -> Iterator[Callable[[], "subprocess.Popen[bytes]"]]:
    made: list[subprocess.Popen[bytes]] = []

    def make() -> "subprocess.Popen[bytes]":
        made.append(subprocess.Popen(["sleep", "60"]))
        return made[-1]

    yield make
    for process in made:
        process.kill()
        process.wait()


def test_processes_and_addresses_of_services_are_left(host: Host) -> None:
    host.group(UNIT, 7)

    assert host.remains.look().running == ("www: a process (7)", "www: 192.0.2.80/24")
    assert host.remains.look()


def test_without_a_note_nothing_is_a_service_s(host: Host) -> None:
    service_notes.remove(host.root / "run/mcv", "www")
    host.group(UNIT, 7)

    assert not host.remains.look()


def test_what_is_noted_and_is_not_there_is_not_left(host: Host) -> None:
    host.own["br0"] = ["10.0.0.1"]

    assert not host.remains.look()


def test_where_addresses_are_not_told_one_is_left(host: Host) -> None:
    host.silent = True

    assert host.remains.look().running == ("www: 192.0.2.80/24",)


def test_processes_are_killed_and_the_address_is_taken_away(
    host: Host, sleeper: Callable[[], "subprocess.Popen[bytes]"]
) -> None:
    mine, other = sleeper(), sleeper()
    host.group(UNIT, mine.pid)
    host.group("ssh.service", other.pid)

    host.remains.kill()
    host.ended()

    assert mine.wait(5) == -9 and other.poll() is None
    assert host.own == {"br0": ["10.0.0.1"]}
    assert sorted(host.ran) == [
        "ip address del 192.0.2.80/24 dev br0",
        "systemctl --no-block stop -- a.service",
        f"systemctl --no-block stop -- {UNIT}",
    ]


def test_an_address_is_taken_away_although_ip_does_not_tell(host: Host) -> None:
    host.silent = True

    host.remains.kill()
    host.ended()

    assert "ip address del 192.0.2.80/24 dev br0" in host.ran
