"""Consoles and screens: opened from either node, one reader at a time, ended with a reason."""

import contextlib
import os
import socket
import time
import tty
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mcv.drivers import domain_xml
from mcv.errors import Busy, LineLost, NotPermitted, PeerUnreachable, Refused
from mcv.system import lines
from mcv.vm import consoles, live, power
from mcv.vm.consoles import OpenLine, Reader
from tests.fakes.cluster import FakeCluster


class Guest:
    """The guest's side of a serial line, and the log that virtlogd would write of it."""

    def __init__(self, log: Path) -> None:
        self.fd, far = os.openpty()
        tty.setraw(far)
        self.pty = os.ttyname(far)
        os.close(far)
        self._log = log

    def says(self, text: bytes, live: bool = True) -> None:
        """QEMU writes to the log, and to the pty where somebody has it open."""
        with self._log.open("ab") as log:
            log.write(text)
        if live:
            os.write(self.fd, text)

    def hears(self, count: int) -> bytes:
        got = b""
        while len(got) < count:
            got += os.read(self.fd, count - len(got))
        return got

    def ends(self) -> None:
        with contextlib.suppress(OSError):
            os.close(self.fd)


@pytest.fixture
def guest(vm: FakeCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Guest]:
    """The guest of web1, which runs on n1."""
    monkeypatch.setattr(domain_xml, "CONSOLE_LOGS", str(tmp_path))
    monkeypatch.setattr(lines, "ASK", 0.1)
    monkeypatch.setattr(consoles, "ASK", 0.1)
    for host in vm.hosts.values():
        host.settings.run.mkdir(parents=True, exist_ok=True)
    vm.run("n1", power.start, name="web1")
    made = Guest(tmp_path / "web1.log")
    vm.domains["n1"].doors.consoles["web1"] = made.pty
    yield made
    made.ends()
    for host in vm.hosts.values():
        for lead in host.leads.values():
            lead.over.set()


def reader(name: str = "ann", pid: int = 0) -> Reader:
    return Reader(name, pid, lambda: None)


def connected(line: OpenLine) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(10)
    sock.connect(line.path)
    return sock


def served(vm: FakeCluster, line: OpenLine) -> lines.Line:
    found = vm.hosts["n1"].lines.by_token(line.token)
    assert found
    return found


def heard(sock: socket.socket, end: bytes) -> bytes:
    got = b""
    while not got.endswith(end):
        more = sock.recv(4096)
        assert more, got
        got += more
    return got


def rest(sock: socket.socket) -> bytes:
    got = b""
    while more := sock.recv(4096):
        got += more
    return got


@pytest.mark.parametrize("node", ["n1", "n2"])
def test_a_guest_is_heard_and_typed_to_from_either_node(
    vm: FakeCluster, guest: Guest, node: str
) -> None:
    guest.says(b"booting\r\nlogin: ", live=False)

    line = consoles.console(vm.hosts[node], "web1", reader())
    with connected(line) as sock:
        assert heard(sock, b"login: ") == b"booting\r\nlogin: "
        sock.sendall(b"root\r\x03\xff")
        assert guest.hears(7) == b"root\r\x03\xff"
        guest.says(b"hello\r\n")
        assert heard(sock, b"\n") == b"hello\r\n"

    assert line.node == "n1"


@pytest.mark.parametrize("node", ["n1", "n2"])
def test_a_second_reader_is_refused_with_the_first_ones_name(
    vm: FakeCluster, guest: Guest, node: str
) -> None:
    line = consoles.console(vm.hosts["n2"], "web1", reader("ann"))

    with connected(line), pytest.raises(Busy, match=r"ann on n2 reads the console.* since 20"):
        consoles.console(vm.hosts[node], "web1", reader("bob"))


def test_a_reader_who_takes_the_console_ends_the_first_with_a_message(
    vm: FakeCluster, guest: Guest
) -> None:
    first = consoles.console(vm.hosts["n2"], "web1", reader("ann"))
    with connected(first) as cut:
        second = consoles.console(vm.hosts["n1"], "web1", reader("bob"), take=True)

        assert rest(cut) == b""
    with pytest.raises(LineLost, match="bob on n1 took the console of web1 over"):
        consoles.ended(vm.hosts["n2"], first.token)
    with connected(second) as sock:
        guest.says(b"x")
        assert heard(sock, b"x") == b"x"


def test_a_reader_who_leaves_makes_room_for_the_next(vm: FakeCluster, guest: Guest) -> None:
    for _ in range(3):
        line = consoles.console(vm.hosts["n2"], "web1", reader())
        with connected(line) as sock:
            guest.says(b".")
            heard(sock, b".")
        wait_for(vm.hosts["n2"].leads[line.token].over.is_set)
        wait_for(served(vm, line).over.is_set)

    assert list(vm.hosts["n1"].settings.run.glob("*.line")) == []
    assert list(vm.hosts["n2"].settings.run.glob("*.line")) == []


def test_a_reader_who_never_comes_holds_the_console_for_a_moment(
    vm: FakeCluster, guest: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "COMING", 0.2)
    line = consoles.console(vm.hosts["n1"], "web1", reader())

    wait_for(served(vm, line).over.is_set)

    assert consoles.console(vm.hosts["n1"], "web1", reader()).token != line.token


@pytest.mark.parametrize("node", ["n1", "n2"])
def test_the_guests_end_ends_the_console_with_a_sentence(
    vm: FakeCluster, guest: Guest, node: str
) -> None:
    line = consoles.console(vm.hosts[node], "web1", reader())
    with connected(line) as sock:
        guest.says(b"Power down.\r\n")
        # What a pty still holds when its other side closes is lost to whoever reads it.
        assert heard(sock, b"Power down.\r\n") == b"Power down.\r\n"
        vm.domains["n1"].stop("web1")
        guest.ends()

        assert rest(sock) == b""

    ending = consoles.ended(vm.hosts[node], line.token)
    assert (ending.kind, ending.message) == ("off", "web1 is off.")


@pytest.mark.parametrize("node", ["n1", "n2"])
def test_a_guest_that_moves_live_says_where_to(vm: FakeCluster, guest: Guest, node: str) -> None:
    def moving(phase: str) -> None:
        if phase == "arrived":
            guest.ends()

    vm.domains["n1"].phase = moving
    line = consoles.console(vm.hosts[node], "web1", reader())
    with connected(line) as sock:
        vm.run("n1", live.migrate, name="web1", to="n2")
        rest(sock)

    ending = consoles.ended(vm.hosts[node], line.token)
    assert (ending.kind, ending.message) == ("moved", "web1 moved to n2.")
    assert ending.hint == "mcv console web1"


@pytest.mark.parametrize("node", ["n1", "n2"])
def test_a_right_that_is_taken_away_ends_the_console(
    vm: FakeCluster, guest: Guest, node: str
) -> None:
    refusals: list[NotPermitted] = []

    def may_go_on() -> None:
        for refusal in refusals:
            raise refusal

    line = consoles.console(vm.hosts[node], "web1", Reader("ann", 0, may_go_on))
    with connected(line) as sock:
        guest.says(b"x")
        heard(sock, b"x")
        refusals.append(NotPermitted("ann lacks the right console over web1."))

        assert rest(sock) == b""

    with pytest.raises(NotPermitted, match="ann lacks"):
        consoles.ended(vm.hosts[node], line.token)


def test_a_node_that_is_lost_is_named(vm: FakeCluster, guest: Guest) -> None:
    line = consoles.console(vm.hosts["n2"], "web1", reader())
    vm.down.add("n1")

    with connected(line) as sock:
        assert rest(sock) == b""

    with pytest.raises(LineLost, match="n1, where web1 runs, was lost"):
        consoles.ended(vm.hosts["n2"], line.token)


def test_a_daemon_that_was_restarted_knows_nothing_of_a_line(vm: FakeCluster) -> None:
    with pytest.raises(LineLost, match="was restarted"):
        consoles.ended(vm.hosts["n2"], "0123")


def test_the_console_of_a_vm_that_is_off_is_refused(vm: FakeCluster) -> None:
    with pytest.raises(Refused, match="web1 does not run: it is stopped"):
        consoles.console(vm.hosts["n2"], "web1", reader())


def test_the_console_of_a_vm_whose_node_is_silent_is_refused(vm: FakeCluster) -> None:
    vm.down.add("n1")

    with pytest.raises(PeerUnreachable, match="n1"):
        consoles.console(vm.hosts["n2"], "web1", reader())


def test_another_program_that_reads_the_console_is_named(vm: FakeCluster, guest: Guest) -> None:
    vm.domains["n1"].doors.others.append("libvirtd (7)")

    with pytest.raises(Refused, match=r"Another program on n1 reads .*: libvirtd \(7\)"):
        consoles.console(vm.hosts["n2"], "web1", reader(), take=True)
    vm.domains["n1"].doors.others.clear()

    assert consoles.console(vm.hosts["n2"], "web1", reader())


def test_a_line_is_granted_to_the_member_that_it_was_opened_for(
    vm: FakeCluster, guest: Guest
) -> None:
    line = consoles.console(vm.hosts["n2"], "web1", reader())
    asked = {"for": consoles.PURPOSE, "token": line.token}

    assert consoles.target(vm.hosts["n1"], "n2", asked)
    for member, token in (("n3", line.token), ("n2", "another"), ("n2", "")):
        with pytest.raises(Refused, match="No such line"):
            consoles.target(vm.hosts["n1"], member, {**asked, "token": token})


def test_a_reader_whose_process_is_gone_holds_nothing(vm: FakeCluster, guest: Guest) -> None:
    line = consoles.console(vm.hosts["n2"], "web1", reader(pid=2**22 + 1))

    wait_for(lambda: vm.hosts["n2"].leads[line.token].over.is_set())

    assert not Path(line.path).exists()


@pytest.mark.parametrize("family", [socket.AF_UNIX, socket.AF_INET])
def test_the_screen_is_led_too_and_refused_where_there_is_none(
    vm: FakeCluster, guest: Guest, tmp_path: Path, family: socket.AddressFamily
) -> None:
    with pytest.raises(Refused, match="runs without a screen"):
        consoles.screen(vm.hosts["n2"], "web1", reader())
    with socket.socket(family) as listener:
        is_unix = family == socket.AF_UNIX
        listener.bind(str(tmp_path / "vnc.sock") if is_unix else ("127.0.0.1", 0))
        listener.listen()
        name = listener.getsockname()
        door = name if is_unix else f"{name[0]}:{name[1]}"
        vm.domains["n1"].doors.screens["web1"] = door

        line = consoles.screen(vm.hosts["n2"], "web1", reader())
        with connected(line) as sock, listener.accept()[0] as qemu:
            qemu.sendall(b"RFB 003.008\n")
            assert heard(sock, b"\n") == b"RFB 003.008\n"
            with pytest.raises(Busy, match="ann on n2 reads the screen"):
                consoles.screen(vm.hosts["n1"], "web1", reader())


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
