"""mcv-lease as a process: a real etcd, and a file in place of the watchdog."""

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from mcv.etcd.client import Etcd
from mcv.etcd.keys import ClusterKeys
from mcv.etcd.requests import put
from mcv.ha import armed, values
from mcv.ha.armed import Armed, Voter
from mcv.ha.values import Held, Taken
from mcv.system import lease
from mcv.system.start_gate import StartGate
from tests.etcd.server import Servers
from tests.ha.lease_program import KIND

RENEWAL, VALIDITY, WATCHDOG = 0.4, 3.0, 2.0
PATIENCE = 20.0


@dataclass
class Node:
    """A node with its mcv-lease, which is a process of this host."""

    directory: Path
    servers: Servers
    cluster: str = field(default_factory=lambda: secrets.token_hex(8))
    process: "subprocess.Popen[bytes] | None" = None

    def arm(self, **changes: object) -> None:
        voters = tuple(
            Voter(
                name=each.name,
                address="127.0.0.1",
                port=each.port,
                certificate=each.certificate.read_text(),
            )
            for each in self.servers.members
        )
        member = self.servers.members[0]
        orders = Armed(
            node="n1",
            cluster=self.cluster,
            renewal=RENEWAL,
            validity=VALIDITY,
            watchdog=WATCHDOG,
            grain=0.0,
            device="/dev/watchdog0",
            kind=KIND,
            proves=True,
            voters=voters,
            certificate=str(member.certificate),
            key=str(member.identity.key),
        )
        armed.write(msgspec.structs.replace(orders, **changes), self.directory)

    def start(self) -> None:
        log = (self.directory / "log").open("ab")
        with log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.ha.lease_program", str(self.directory)],
                stderr=log,
                cwd=Path(__file__).parents[2],
            )

    def signal(self, number: int) -> None:
        assert self.process is not None
        os.kill(self.process.pid, number)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    @property
    def key(self) -> bytes:
        return ClusterKeys(self.cluster).lease("n1")

    def held(self, etcd: Etcd) -> Held | Taken | None:
        value = etcd.read(self.key).value(self.key)
        return None if value is None else values.decode(value.decode())

    def is_valid(self) -> bool:
        return lease.is_valid(self.directory)

    def until(self) -> float:
        file = lease.read(self.directory)
        return 0.0 if file is None else file.until

    def device(self, word: str) -> list[float]:
        """When this befell the watchdog."""
        path = self.directory / "watchdog"
        lines = path.read_text().splitlines() if path.exists() else []
        return [float(line.split()[0]) for line in lines if line.split()[1:2] == [word]]

    def said(self) -> str:
        return (self.directory / "log").read_text()


def wait(true: Callable[[], bool], node: Node) -> None:
    until = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < until, node.said()
        time.sleep(0.02)


@pytest.fixture
def node(tmp_path: Path, servers: Servers) -> Iterator[Node]:
    node = Node(tmp_path, servers)
    yield node
    node.kill()


@pytest.fixture
def running(node: Node) -> Node:
    node.arm()
    node.start()
    wait(node.is_valid, node)
    return node


def test_it_opens_the_watchdog_then_renews_and_feeds(running: Node, etcd: Etcd) -> None:
    wait(lambda: len(running.device("feed")) > 5, running)

    held = running.held(etcd)
    assert isinstance(held, Held)
    assert held.boot == lease.boot_id()
    assert (held.validity, held.watchdog, held.proves) == (VALIDITY, WATCHDOG, True)
    assert running.device("open")[0] < running.until() - VALIDITY
    assert running.until() <= lease.now() + VALIDITY
    assert (running.directory / "timeout").read_text() == "2"


def test_without_etcd_a_host_with_a_start_under_way_is_not_fed_past_its_lease(
    node: Node,
) -> None:
    servers = Servers("n1")
    try:
        servers.start()
        node.servers = servers
        node.arm()
        node.start()
        wait(node.is_valid, node)
        (node.directory / "starting").mkdir()
        (node.directory / "starting/web1").touch()
        servers["n1"].hang()
        wait(lambda: not node.is_valid(), node)
        end = node.until()
        time.sleep(1.5)

        assert node.device("feed")[-1] < end
        (node.directory / "starting/web1").unlink()
        wait(lambda: node.device("feed")[-1] > end, node)
        assert not node.is_valid()

        servers["n1"].go_on()
        wait(node.is_valid, node)
    finally:
        servers.stop()


def test_killed_and_started_again_it_goes_on_with_what_it_had(running: Node) -> None:
    for _ in range(3):
        end = running.until()
        running.kill()
        running.start()
        wait(lambda end=end: running.until() > end, running)  # type: ignore[misc]

    assert running.is_valid()
    assert running.device("reset") == []


def test_one_that_begins_after_the_end_with_something_left_resets_before_it_feeds(
    running: Node,
) -> None:
    running.kill()
    (running.directory / "starting").mkdir()
    (running.directory / "starting/web1").touch()
    wait(lambda: not running.is_valid(), running)
    opened = running.device("open")

    running.start()

    wait(lambda: bool(running.device("reset")), running)
    assert running.device("open") == opened
    assert max(running.device("feed")) < running.until()


def test_stopped_past_the_end_it_feeds_again_once_it_has_a_lease_anew(running: Node) -> None:
    running.signal(signal.SIGSTOP)
    wait(lambda: not running.is_valid(), running)
    end = running.until()
    (running.directory / "starting").mkdir()
    (running.directory / "starting/web1").touch()

    running.signal(signal.SIGCONT)
    wait(running.is_valid, running)
    wait(lambda: running.device("feed")[-1] > end, running)

    assert running.until() > end


def test_a_lease_that_was_taken_is_none(running: Node, etcd: Etcd) -> None:
    etcd.change((), [put(running.key, Taken("n2", "off").encode().encode())])

    wait(lambda: "the lease was taken by n2: off" in running.said(), running)
    time.sleep(1)
    assert isinstance(running.held(etcd), Taken)


def test_disarmed_it_stops_the_watchdog_deletes_its_lease_and_ends(
    running: Node, etcd: Etcd
) -> None:
    armed.remove(running.directory)

    assert running.process is not None and running.process.wait(PATIENCE) == 0
    assert running.held(etcd) is None
    assert lease.read(running.directory) is None
    assert (running.directory / "watchdog").read_text().endswith("V")


def test_one_that_died_while_its_node_was_disarmed_leaves_no_watchdog_that_counts(
    running: Node,
) -> None:
    """systemd has kept the descriptor, and hands it to the next process."""
    running.kill()
    armed.remove(running.directory)
    program = [sys.executable, "-m", "tests.ha.lease_program", str(running.directory)]
    kept = f"exec 3>> {running.directory / 'watchdog'}"
    ended = subprocess.run(
        ["/bin/sh", "-c", f'{kept}; LISTEN_PID=$$ exec "$@"', "sh", *program],
        env={**os.environ, "LISTEN_FDS": "1", "LISTEN_FDNAMES": "watchdog"},
        cwd=Path(__file__).parents[2],
        check=False,
    )

    assert ended.returncode == 0
    assert (running.directory / "watchdog").read_text().endswith("V")


def test_sigterm_of_an_idle_node_gives_the_lease_back(running: Node, etcd: Etcd) -> None:
    running.signal(signal.SIGTERM)

    assert running.process is not None and running.process.wait(PATIENCE) == 0
    assert running.held(etcd) is None
    assert (running.directory / "watchdog").read_text().endswith("V")


def test_sigterm_while_something_is_left_changes_nothing(running: Node) -> None:
    (running.directory / "starting").mkdir()
    (running.directory / "starting/web1").touch()

    running.signal(signal.SIGTERM)

    wait(lambda: "the host does not go down" in running.said(), running)
    end = running.until()
    wait(lambda: running.until() > end + 1, running)


def test_shorter_periods_are_taken_over_without_a_restart(running: Node, etcd: Etcd) -> None:
    running.arm(validity=2.0, watchdog=1.0)

    def is_announced() -> bool:
        held = running.held(etcd)
        return isinstance(held, Held) and (held.validity, held.watchdog) == (2.0, 1.0)

    wait(is_announced, running)
    assert running.until() <= lease.now() + 2.0
    assert (running.directory / "timeout").read_text() == "1"
    assert len(running.device("open")) == 1


def test_longer_periods_are_too(running: Node) -> None:
    running.arm(validity=9.0, watchdog=7.0)

    wait(lambda: running.until() > lease.now() + 7.0, running)
    wait(lambda: (running.directory / "timeout").read_text() == "7", running)
    assert running.is_valid()


def test_a_file_that_cannot_be_read_does_not_disarm(running: Node) -> None:
    (running.directory / "armed").write_text("{")

    wait(lambda: "What was read before holds." in running.said(), running)
    end = running.until()
    wait(lambda: running.until() > end + 1, running)
    assert running.said().count("What was read before holds.") == 1


def test_it_is_small(running: Node) -> None:
    """Below 40 MB and 1 % of a core, here with periods that are a fifth of the real ones."""
    assert running.process is not None
    stat = Path(f"/proc/{running.process.pid}/stat")

    def seconds() -> float:
        words = stat.read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    begun, since = seconds(), time.monotonic()
    time.sleep(4)
    share = (seconds() - begun) / (time.monotonic() - since)
    status = Path(f"/proc/{running.process.pid}/status").read_text()
    [resident] = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")]

    assert int(resident) < 40 * 1024
    assert share < 0.05, share


def test_until_its_first_lease_a_node_that_is_being_armed_is_left_alone(node: Node) -> None:
    silent = Voter(name="n1", address="127.0.0.1", port=1, certificate="")
    node.arm(voters=(silent,))
    (node.directory / "starting").mkdir()
    (node.directory / "starting/web1").touch()

    node.start()
    wait(lambda: len(node.device("feed")) > 5, node)

    assert "etcd on n1 does not answer" in node.said()
    assert not node.is_valid()


def test_a_host_that_goes_down_leaves_no_resource_primary(node: Node, etcd: Etcd) -> None:
    """mcvd has ended, its guests too; drbdsetup of this host is not asked."""
    tools = node.directory / "tools"
    tools.mkdir()
    role = node.directory / "role"
    role.write_text("Primary")
    (tools / "drbdsetup").write_text(
        "#!/bin/sh\n"
        f'[ "$1" != secondary ] || echo Secondary > {role}\n'
        f'echo "exists resource name:web1 role:$(cat {role}) suspended:no"\n'
    )
    (tools / "drbdsetup").chmod(0o755)
    (node.directory / "sys/module/drbd").mkdir(parents=True)
    (node.directory / "etc/drbd.d").mkdir(parents=True)
    (node.directory / "etc/drbd.d/web1.res").write_text(
        "# Written by mcv\nresource web1 {\n device minor 100;\n}\n"
    )
    node.arm()
    node.start()
    wait(node.is_valid, node)
    node.signal(signal.SIGTERM)
    wait(lambda: "the host does not go down" in node.said(), node)
    node.kill()

    (node.directory / "stopping").touch()
    end = node.until()
    node.start()
    wait(lambda: node.until() > end, node)
    node.signal(signal.SIGTERM)

    assert node.process is not None and node.process.wait(PATIENCE) == 0
    assert role.read_text().strip() == "Secondary"
    assert node.held(etcd) is None


def test_a_watchdog_that_cannot_be_stopped_is_fed_on_and_starts_pass(running: Node) -> None:
    (running.directory / "class/watchdog").mkdir(parents=True)
    (running.directory / "class/watchdog/nowayout").write_text("1")

    armed.remove(running.directory)

    wait(lambda: "it is fed on" in running.said(), running)
    feeds = len(running.device("feed"))
    wait(lambda: len(running.device("feed")) > feeds, running)
    assert running.device("set")[-1] > 0
    assert (running.directory / "timeout").read_text() == "300"
    with StartGate(running.directory).together(1):
        pass
    running.arm()
    assert running.process is not None and running.process.wait(PATIENCE) == 0
