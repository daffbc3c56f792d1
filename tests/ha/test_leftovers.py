"""What of mcv's is left on a host, by /proc and DRBD."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcv.errors import CommandFailed
from mcv.ha.leftovers import Remains

UUID = "08037b6b-07eb-4e7f-8d22-1dd3c26aad1e"
OTHER = "9469c5f6-275e-4352-ad34-d62fe94b18aa"


class Host:
    """A host's files below a directory, and the commands that were run there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.commands: list[str] = []
        self.primary = ""
        self.answers = True
        self.write("run/libvirt/qemu/web1.xml", domain(UUID, "<mcv:vm xmlns:mcv='urn:mcv:vm:1'/>"))
        self.write("etc/libvirt/qemu/other.xml", domain(OTHER, ""))
        self.write("etc/drbd.d/web1.res", resource("web1", 100))
        self.write("etc/drbd.d/theirs.res", "resource theirs {\n device minor 1;\n}\n")
        self.write("sys/module/drbd/version", "8.4.11\n")

    def write(self, path: str, text: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def process(
        self,
        pid: int,
        *words: str,
        opens: str = "/dev/null",
        states: str = "S",
        leader: str = "",
    ) -> None:
        """A process; one whose leader has ended is known by its threads alone."""
        own = f"proc/{pid}"
        self.write(f"{own}/comm", f"{words[0][:15]}\n")
        self.write(f"{own}/stat", f"{pid} (a) b) {leader or states[0]} 1 {pid}\n")
        self.write(f"{own}/cmdline", "" if leader else "\0".join(words) + "\0")
        for number, state in enumerate(states):
            thread = f"{own}/task/{pid + number}"
            self.write(f"{thread}/stat", f"{pid + number} (a) b) {state} 1 {pid}\n")
            self.write(f"{thread}/cmdline", "\0".join(words) + "\0")
            self._opens(thread, opens)
        if not leader:
            self._opens(own, opens)

    def _opens(self, where: str, path: str) -> None:
        (self.root / where / "fd").mkdir(parents=True)
        (self.root / where / "fd/7").symlink_to(path)

    def run(self, *command: str, stdin: str = "", timeout: float = 60) -> str:
        self.commands.append(" ".join(command))
        if not self.answers:
            raise CommandFailed("`drbdsetup` ran past 2 s.")
        return "".join(
            f"exists resource name:{name} role:{'Primary' if name in self.primary else 'Secondary'}"
            " suspended:no\n"
            for name in ("web1", "theirs")
        )

    @property
    def remains(self) -> Remains:
        return Remains(self.root, self.run)


def domain(uuid: str, mark: str) -> str:
    return f"<domain><name>a</name><uuid>{uuid}</uuid><metadata>{mark}</metadata></domain>"


def resource(name: str, minor: int) -> str:
    return (
        "# Written by mcv; what is changed here is lost.\n"
        f"resource {name} {{\n    device /dev/drbd{minor} minor {minor};\n}}\n"
    )


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_an_idle_host_has_nothing_left(host: Host) -> None:
    host.process(10, "qemu-system-x86_64", "-uuid", OTHER, opens="/dev/drbd1")
    host.process(11, "sleep", "60")
    host.primary = "theirs"

    assert not host.remains.look()


def test_a_marked_guest_a_task_with_a_replica_and_a_primary_are_left(host: Host) -> None:
    host.process(10, "qemu-system-x86_64", "-name", "guest=web1", "-uuid", UUID.upper())
    host.process(12, "dd", opens="/dev/drbd100")
    host.process(13, "dd", opens="/dev/drbd1000")
    host.primary = "web1"

    left = host.remains.look()

    assert sorted(left.running) == ["dd (12)", "qemu-system-x86 (10)"]
    assert left.primary == ("web1",)
    assert left.stuck == ()


def test_a_guest_with_a_thread_in_state_d_is_stuck(host: Host) -> None:
    host.process(10, "qemu-system-x86_64", "-uuid", UUID, states="SSD")

    assert host.remains.look().stuck == ("qemu-system-x86 (10)",)


def test_a_guest_whose_leader_has_ended_is_known_by_a_thread(host: Host) -> None:
    host.process(10, "qemu", opens="/dev/drbd100", states="ZD", leader="Z")
    host.process(20, "qemu", opens="/dev/drbd100", states="ZZ", leader="Z")

    assert host.remains.look().stuck == ("qemu (10)",)


def test_drbd_that_does_not_answer_is_left(host: Host) -> None:
    host.answers = False

    [unknown] = host.remains.look().primary

    assert "ran past 2 s" in unknown


def test_without_drbd_nobody_asks_it(host: Host) -> None:
    (host.root / "sys/module/drbd/version").unlink()
    (host.root / "sys/module/drbd").rmdir()

    assert not host.remains.look()
    assert host.commands == []


def test_killing_makes_the_own_resources_secondary_and_no_others(host: Host) -> None:
    host.primary = "web1 theirs"

    host.remains.kill()

    until = time.monotonic() + 5
    while "drbdsetup secondary web1" not in host.commands and time.monotonic() < until:
        time.sleep(0.01)
    assert [line for line in host.commands if "secondary" in line] == ["drbdsetup secondary web1"]


@pytest.fixture
def guest() -> Iterator["subprocess.Popen[bytes]"]:
    """A process of this host that looks like a QEMU of that VM."""
    code = "import time; time.sleep(60)"
    guest = subprocess.Popen([sys.executable, "-c", code, "-uuid", UUID])
    yield guest
    guest.kill()
    guest.wait()


def test_a_guest_of_this_host_is_found_and_killed(
    host: Host, guest: "subprocess.Popen[bytes]"
) -> None:
    (host.root / "proc").symlink_to("/proc")
    assert [word for word in host.remains.look().running if f"({guest.pid})" in word]

    host.remains.kill()

    assert guest.wait(5) == -signal.SIGKILL
    assert not host.remains.look().running


def test_a_number_that_is_another_process_by_now_is_not_killed(
    host: Host, guest: "subprocess.Popen[bytes]", monkeypatch: pytest.MonkeyPatch
) -> None:
    host.process(guest.pid, "qemu", "-uuid", UUID)

    def opened(pid: int) -> int:
        host.write(f"proc/{pid}/cmdline", "sleep\0")
        return os.pidfd_open_(pid)  # type: ignore[attr-defined, no-any-return]

    monkeypatch.setattr(os, "pidfd_open_", os.pidfd_open, raising=False)
    monkeypatch.setattr(os, "pidfd_open", opened)
    host.remains.kill()

    time.sleep(0.1)
    assert guest.poll() is None
