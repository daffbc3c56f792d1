"""What mcvd tells mcv-lease, and what it sees of it."""

from pathlib import Path

import pytest

from mcv.drivers.local_lease import UNIT, LocalLease
from mcv.errors import Busy, CommandFailed
from mcv.ha import armed
from mcv.ha.armed import Armed
from mcv.system import lease
from mcv.system.lease import LeaseFile
from mcv.system.start_gate import StartGate
from tests.recorder import Answer, Recorder

WANTED = Armed(
    node="n1",
    cluster="c",
    renewal=2.0,
    validity=12.0,
    watchdog=8.0,
    grain=1.0,
    device="/dev/watchdog0",
    kind="iTCO_wdt",
    proves=True,
    certificate="/pki/etcd.pem",
    key="/pki/key.pem",
)
STATE = "systemctl show --property=ActiveState --value mcv-lease.service"


def local(tmp_path: Path, run: Recorder) -> LocalLease:
    return LocalLease(tmp_path, Path("/c"), Path("/k"), 8421, run, tmp_path / "units")


@pytest.mark.parametrize(
    ("state", "commands"),
    [
        ("inactive\n", [STATE, "systemctl start mcv-lease.service"]),
        (
            "failed\n",
            [
                STATE,
                "systemctl reset-failed mcv-lease.service",
                "systemctl start mcv-lease.service",
            ],
        ),
        ("active\n", [STATE]),
    ],
)
def test_mcv_lease_is_told_and_started_where_it_does_not_run(
    tmp_path: Path, state: Answer, commands: list[str]
) -> None:
    run = Recorder({"systemctl show": state})

    assert local(tmp_path, run).arm(WANTED)

    assert run.commands == commands
    assert armed.read(tmp_path) == WANTED == local(tmp_path, run).told()
    assert not local(tmp_path, run).arm(WANTED)


def test_while_the_lease_is_renewed_systemd_is_not_asked(tmp_path: Path) -> None:
    run = Recorder()
    armed.write(WANTED, tmp_path)
    lease.write(LeaseFile(lease.boot_id(), lease.now() + 10), tmp_path)

    assert not local(tmp_path, run).arm(WANTED)

    assert run.commands == []


def test_it_is_released_when_the_unit_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcv.drivers.local_lease.PAUSE", 0.0)
    run = Recorder({"systemctl show": ["active\n", "active\n", "deactivating\n", "inactive\n"]})
    armed.write(WANTED, tmp_path)

    local(tmp_path, run).release(5)

    assert armed.read(tmp_path) is None and run.commands == [STATE] * 4
    with pytest.raises(Busy, match="watchdog still counts"):
        local(tmp_path, Recorder({"systemctl show": "active\n"})).release(0)


def test_one_that_just_died_is_started_to_end_its_watchdog(tmp_path: Path) -> None:
    run = Recorder({"systemctl show": ["activating\n", "inactive\n"]})
    armed.write(WANTED, tmp_path)

    local(tmp_path, run).release(5)

    assert run.commands == [STATE, "systemctl start mcv-lease.service", STATE]
    assert armed.read(tmp_path) is None
    broken: dict[str, Answer] = {
        "systemctl show": "inactive\n",
        "systemctl start": CommandFailed("no such unit"),
    }
    armed.write(WANTED, tmp_path)
    local(tmp_path, Recorder(broken)).release(5)
    assert armed.read(tmp_path) is None


def test_what_is_left_of_the_lease_is_this_boot_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "now", lambda: 100.0)
    monkeypatch.setattr(lease, "boot_id", lambda: "this")
    seen = []
    for file in (LeaseFile("this", 107.25), LeaseFile("this", 99.0), LeaseFile("before", 200.0)):
        lease.write(file, tmp_path)
        seen.append(local(tmp_path, Recorder()).left())
    lease.remove(tmp_path)

    assert [*seen, local(tmp_path, Recorder()).left()] == [7.2, 0.0, None, None]


def test_while_mcv_lease_holds_the_gate_nothing_can_begin(tmp_path: Path) -> None:
    gate = StartGate(tmp_path)
    assert not local(tmp_path, Recorder()).nothing_can_begin()

    assert gate.close()
    assert local(tmp_path, Recorder()).nothing_can_begin()


def test_it_is_installed_where_its_unit_is(tmp_path: Path) -> None:
    found = local(tmp_path, Recorder())
    assert not found.is_installed

    (tmp_path / "units").mkdir()
    (tmp_path / "units" / UNIT).touch()
    assert found.is_installed
