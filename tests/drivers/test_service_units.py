"""Units and scripts of services: the exact commands, and cgroups with real processes in them."""

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mcv.drivers.service_units import ServiceUnits, UnitState
from mcv.errors import CommandFailed, Refused
from mcv.system import cgroups

UNIT = "mcv-service-www-1.service"
SCRIPT = "/etc/init.d/www"
SHOW = "systemctl show --property=LoadState,ActiveState,SubState,UnitFileState,Result -- {unit}"
AS_A_UNIT = (
    "systemd-run --unit={unit} --description=mcv: /etc/init.d/www {verb} --quiet --collect "
    "--property=Type=oneshot {more}--property=TimeoutStartSec={limit} "
    "--property=TimeoutStopSec={limit} --setenv=_SYSTEMCTL_SKIP_REDIRECT=1 "
    "--setenv=SYSTEMCTL_SKIP_REDIRECT=1 -- /etc/init.d/www {verb}"
)


class Systemd:
    """The commands that were run, and the states that systemd tells."""

    def __init__(self, groups: Path) -> None:
        self.ran: list[str] = []
        self.active: set[str] = set()
        self.failing: dict[str, str] = {}
        self.file = "disabled"
        self.stubborn = False
        self.groups = groups
        groups.mkdir()
        (groups / "cgroup.procs").touch()
        self.units = ServiceUnits(self.run, groups=groups)

    def run(self, *command: str, stdin: str = "", timeout: float = 60) -> str:
        line = " ".join(command)
        if command[:2] == ("systemctl", "show"):
            active = "active" if command[-1] in self.active else "inactive"
            return (
                f"LoadState=loaded\nActiveState={active}\nSubState=exited\n"
                f"UnitFileState={self.file}\nResult=success\n"
            )
        self.ran.append(line)
        for words, why in self.failing.items():
            if words in line:
                raise CommandFailed(f"`{line}` exited with 1: {why}")
        if command[:2] == ("systemctl", "start"):
            self.active.add(command[-1])
        if command[0] == "systemd-run" and "RemainAfterExit=yes" in line:
            self.active.add(command[1].removeprefix("--unit="))
        if command[:2] == ("systemctl", "stop") and not self.stubborn:
            self.active.discard(command[-1])
        return ""

    def group(self, unit: str, *pids: int) -> Path:
        """The unit's cgroup, with processes in it."""
        path = self.groups / "system.slice" / unit
        path.mkdir(parents=True)
        (path / "cgroup.procs").write_text("".join(f"{pid}\n" for pid in pids))
        return path


@pytest.fixture
def systemd(tmp_path: Path) -> Systemd:
    return Systemd(tmp_path / "cgroup")


@pytest.fixture
def sleeper() -> Iterator[Callable[[], "subprocess.Popen[bytes]"]]:
    """Makes real processes that sleep; what is left of them is ended."""
    made: list[subprocess.Popen[bytes]] = []

    def make() -> "subprocess.Popen[bytes]":
        made.append(subprocess.Popen(["sleep", "60"]))
        return made[-1]

    yield make
    for process in made:
        process.kill()
        process.wait()


def test_a_unit_is_told_in_systemd_s_words(systemd: Systemd) -> None:
    state = systemd.units.state("nginx.service")

    assert state.is_there and not state.is_active and not state.is_enabled
    assert state.in_words == "inactive (exited)"
    systemd.file = "enabled-runtime"
    assert systemd.units.state("nginx.service").is_enabled
    assert not UnitState(load="not-found").is_there
    failed = UnitState(load="loaded", active="failed", sub="failed", result="exit-code")
    assert failed.in_words == "failed, exit-code"


def test_a_unit_is_started_and_stopped(systemd: Systemd) -> None:
    systemd.units.start("nginx.service")
    systemd.units.stop("nginx.service")

    assert systemd.ran == [
        "systemctl start -- nginx.service",
        "systemctl stop -- nginx.service",
        "systemctl reset-failed -- nginx.service",
    ]


def test_a_unit_that_does_not_start_names_its_journal(systemd: Systemd) -> None:
    systemd.failing["systemctl start"] = "Job for nginx.service failed."

    with pytest.raises(CommandFailed, match=r"Job for nginx\.service failed") as told:
        systemd.units.start("nginx.service")

    assert told.value.hint == "Why: journalctl --unit nginx.service"


def test_nothing_starts_but_through_the_gate(systemd: Systemd) -> None:
    class Shut:
        def begin(self, what: str, act: object) -> None:
            raise Refused(f"n1 may not {what} now.")

    systemd.units._gate = Shut()  # type: ignore[assignment]

    with pytest.raises(Refused, match=r"start nginx\.service"):
        systemd.units.start("nginx.service")
    with pytest.raises(Refused, match=r"start /etc/init\.d/www"):
        systemd.units.start_script(UNIT, SCRIPT)
    assert systemd.ran == []


def test_a_script_is_started_in_a_unit_of_its_own_that_stays(systemd: Systemd) -> None:
    systemd.units.start_script(UNIT, SCRIPT)
    systemd.units.start_script(UNIT, SCRIPT)

    remains = "--property=RemainAfterExit=yes "
    assert systemd.ran == [
        f"systemctl reset-failed -- {UNIT}",
        AS_A_UNIT.format(unit=UNIT, verb="start", more=remains, limit=120),
    ]


def test_a_script_that_does_not_start_names_the_journal_of_its_unit(systemd: Systemd) -> None:
    systemd.failing["systemd-run"] = "Job failed. See journalctl."

    with pytest.raises(CommandFailed) as told:
        systemd.units.start_script(UNIT, SCRIPT)

    assert told.value.hint == f"Why: journalctl --unit {UNIT}"


def test_a_script_is_asked_to_stop_before_its_unit_is_stopped(systemd: Systemd) -> None:
    systemd.active.add(UNIT)

    systemd.units.stop_script(UNIT, SCRIPT)

    beside = "mcv-service-www-1-stop.service"
    assert systemd.ran == [
        AS_A_UNIT.format(unit=beside, verb="stop", more="", limit=120),
        f"systemctl stop -- {UNIT}",
        f"systemctl reset-failed -- {UNIT}",
    ]


def test_a_script_that_is_not_started_is_not_asked_to_stop(systemd: Systemd) -> None:
    systemd.units.stop_script(UNIT, SCRIPT)

    assert not any("systemd-run" in line for line in systemd.ran)


def test_a_script_that_fails_to_stop_is_ended_with_its_unit(systemd: Systemd) -> None:
    systemd.active.add(UNIT)
    systemd.failing["-stop.service"] = "no luck"

    systemd.units.stop_script(UNIT, SCRIPT)

    assert f"systemctl stop -- {UNIT}" in systemd.ran


def test_what_a_script_left_behind_is_killed_by_its_cgroup(
    systemd: Systemd, sleeper: Callable[[], "subprocess.Popen[bytes]"]
) -> None:
    daemon, other = sleeper(), sleeper()
    group = systemd.group(UNIT, daemon.pid)
    systemd.group("ssh.service", other.pid)
    _follow(group, daemon)

    systemd.units.stop(UNIT)

    assert daemon.wait(5) == -9
    assert other.poll() is None


def _follow(group: Path, process: "subprocess.Popen[bytes]") -> None:
    """Take a process out of the file of its cgroup as soon as it has ended, as the kernel does."""

    def follow() -> None:
        process.wait()
        (group / "cgroup.procs").write_text("")

    threading.Thread(target=follow, daemon=True).start()


def test_what_cannot_be_killed_is_named_and_the_unit_is_not_stopped(
    systemd: Systemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    systemd.group(UNIT, 1 << 22)  # no number of a process: nothing ends it
    monkeypatch.setattr("mcv.drivers.service_units.KILLED", 0.2)

    with pytest.raises(CommandFailed, match=rf"{UNIT} is not stopped: a process \(4194304\)"):
        systemd.units.stop(UNIT)


def test_a_unit_that_is_active_after_its_stop_is_told_of(systemd: Systemd) -> None:
    systemd.active.add(UNIT)
    systemd.stubborn = True

    with pytest.raises(CommandFailed, match="is active"):
        systemd.units.stop(UNIT)


def test_a_transient_unit_that_systemd_has_forgotten_is_stopped(systemd: Systemd) -> None:
    systemd.failing["systemctl stop"] = f"Unit {UNIT} not loaded."
    systemd.failing["reset-failed"] = f"Unit {UNIT} not loaded."

    systemd.units.stop(UNIT)


def test_a_unit_is_gone_when_it_is_not_active_and_its_cgroup_is_empty(systemd: Systemd) -> None:
    assert systemd.units.is_gone(UNIT)
    group = systemd.group(UNIT, 1 << 22)
    assert not systemd.units.is_gone(UNIT)
    (group / "cgroup.procs").write_text("")
    systemd.active.add(UNIT)
    assert not systemd.units.is_gone(UNIT)


def test_a_script_is_well_by_its_status(systemd: Systemd) -> None:
    assert systemd.units.script_trouble(UNIT, SCRIPT) == "/etc/init.d/www is not started"
    systemd.active.add(UNIT)
    assert systemd.units.script_trouble(UNIT, SCRIPT) == ""
    systemd.failing["systemd-run"] = "Job failed."

    trouble = systemd.units.script_trouble(UNIT, SCRIPT)

    beside = "mcv-service-www-1-status.service"
    assert systemd.ran[-1] == AS_A_UNIT.format(unit=beside, verb="status", more="", limit=10)
    assert trouble.startswith("`/etc/init.d/www status` failed: ")


# cgroups


@pytest.mark.parametrize("hierarchy", [".", "unified", "systemd"])
@pytest.mark.parametrize("slices", ["", "system.slice", "a.slice/a-b.slice/a-b-c.slice"])
def test_a_unit_s_processes_are_found_wherever_systemd_keeps_it(
    tmp_path: Path, hierarchy: str, slices: str
) -> None:
    base = tmp_path / hierarchy
    base.mkdir(exist_ok=True)
    (base / "cgroup.procs").touch()
    below = base / slices / UNIT / "worker"
    below.mkdir(parents=True)
    (below.parent / "cgroup.procs").write_text("11\n0\n")
    (below / "cgroup.procs").write_text("12\n")
    other = base / slices / "mcv-service-www-10.service"
    other.mkdir()
    (other / "cgroup.procs").write_text("13\n")

    assert cgroups.tasks(UNIT, tmp_path) == [11, 12]


def test_a_unit_without_a_cgroup_has_no_processes(tmp_path: Path) -> None:
    (tmp_path / "cgroup.procs").touch()

    assert cgroups.tasks(UNIT, tmp_path) == []
    assert cgroups.kill(UNIT, 1, tmp_path) == []
    assert cgroups.tasks("a[b]*.service", tmp_path) == []


def test_a_kill_waits_no_longer_than_it_may(tmp_path: Path) -> None:
    group = tmp_path / "system.slice" / UNIT
    group.mkdir(parents=True)
    (tmp_path / "cgroup.procs").touch()
    (group / "cgroup.procs").write_text(f"{1 << 22}\n")

    began = time.monotonic()
    left = cgroups.kill(UNIT, 0.3, tmp_path)

    assert left == [1 << 22] and time.monotonic() - began < 3
