"""The watchdogs of a host, as sysfs and systemd show them, and the commands that are run."""

from pathlib import Path

import pytest

from mcv.drivers.watchdogs import Measured, Watchdogs, WatchdogSeen
from mcv.errors import CommandFailed, NotUnderstood, Refused
from mcv.system.watchdog import SOFTDOG
from tests.recorder import Recorder

NONE = CommandFailed("`x` exited with 1")


def add(root: Path, number: int, **words: str) -> None:
    directory = root / f"sys/class/watchdog/watchdog{number}"
    directory.mkdir(parents=True)
    (root / "dev").mkdir(exist_ok=True)
    (root / f"dev/watchdog{number}").touch()
    for name, word in words.items():
        (directory / name).write_text(word + "\n")


def add_softdog_of_a_kernel_that_tells_nothing(root: Path, number: int) -> None:
    real = root / f"sys/devices/virtual/watchdog/watchdog{number}"
    real.mkdir(parents=True)
    (root / "sys/class/watchdog").mkdir(parents=True, exist_ok=True)
    (root / f"sys/class/watchdog/watchdog{number}").symlink_to(real)
    (root / "sys/module/softdog").mkdir(parents=True)


HARDWARE = {
    "identity": "iTCO_wdt",
    "nowayout": "0",
    "state": "inactive",
    "options": "0x8180",
    "min_timeout": "2",
    "max_timeout": "614",
}
ITCO = WatchdogSeen(
    device="/dev/watchdog0",
    kind="iTCO_wdt",
    nowayout=False,
    ends_when_closed=False,
    least=2,
    most=614,
)


def test_what_the_kernel_tells_is_read_and_nothing_opened(tmp_path: Path) -> None:
    add(tmp_path, 10, identity=SOFTDOG, nowayout="1", state="active", max_timeout="0", options="x")
    add(tmp_path, 11, identity="closes", options="0x8080")
    add(tmp_path, 0, **HARDWARE)
    (tmp_path / "dev/watchdog0").chmod(0)

    seen = Watchdogs(Recorder(), tmp_path).look()

    assert seen == [
        ITCO,
        WatchdogSeen(device="/dev/watchdog10", kind=SOFTDOG, nowayout=True, is_active=True),
        WatchdogSeen(device="/dev/watchdog11", kind="closes", ends_when_closed=True),
    ]


def test_softdog_is_known_on_a_kernel_that_shows_no_identities(tmp_path: Path) -> None:
    add_softdog_of_a_kernel_that_tells_nothing(tmp_path, 1)

    (seen,) = Watchdogs(Recorder(), tmp_path).look()

    assert (seen.device, seen.kind, seen.nowayout) == ("/dev/watchdog1", SOFTDOG, None)


def test_the_first_with_hardware_is_chosen_else_softdog(tmp_path: Path) -> None:
    add(tmp_path, 0, identity=SOFTDOG)
    softdog = Watchdogs(Recorder(), tmp_path).chosen("")
    assert softdog is not None and softdog.is_softdog

    add(tmp_path, 1, **HARDWARE)
    watchdogs = Watchdogs(Recorder(), tmp_path)
    chosen = {wanted: watchdogs.chosen(wanted) for wanted in ("", "softdog", "iTCO_wdt", "x")}
    devices = {wanted: each and each.device for wanted, each in chosen.items()}
    assert devices == {
        "": "/dev/watchdog1",
        "softdog": "/dev/watchdog0",
        "iTCO_wdt": "/dev/watchdog1",
        "x": None,
    }
    assert watchdogs.chosen("/dev/watchdog1") == chosen[""]


def test_softdog_that_is_not_loaded_is_chosen_where_the_kernel_has_it(tmp_path: Path) -> None:
    run = Recorder()
    assert Watchdogs(run, tmp_path).chosen("") == WatchdogSeen(device="", kind=SOFTDOG)
    assert run.commands == ["modinfo softdog"]

    assert Watchdogs(Recorder({"modinfo": NONE}), tmp_path).chosen("") is None


PROPERTIES = "RuntimeWatchdogUSec={}\nRebootWatchdogUSec={}\nWatchdogDevice={}\n"


@pytest.mark.parametrize(
    ("runtime", "reboot", "device", "expected"),
    [
        ("0", "0", "", []),
        ("0", "10min", "", ["RebootWatchdogSec=10min"]),
        (
            "30s",
            "10min",
            "/dev/watchdog0",
            ["RuntimeWatchdogSec=30s", "RebootWatchdogSec=10min"],
        ),
        ("30s", "10min", "/dev/watchdog", ["RuntimeWatchdogSec=30s", "RebootWatchdogSec=10min"]),
        ("30s", "10min", "/dev/watchdog1", []),
    ],
)
def test_systemd_counts_as_a_user_of_the_device_that_it_is_configured_to(
    tmp_path: Path, runtime: str, reboot: str, device: str, expected: list[str]
) -> None:
    add(tmp_path, 0, **HARDWARE)
    (tmp_path / "dev/watchdog").touch()
    run = Recorder({"systemctl show": PROPERTIES.format(runtime, reboot, device)})

    assert Watchdogs(run, tmp_path).of_systemd(ITCO) == expected


def test_systemd_takes_an_old_interface_where_softdog_gets_the_next_number(tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/watchdog").touch()
    run = Recorder({"systemctl show": PROPERTIES.format("0", "10min", "")})

    assert Watchdogs(run, tmp_path).of_systemd(WatchdogSeen(device="", kind=SOFTDOG)) == []


def test_who_has_it_open_is_named(tmp_path: Path) -> None:
    add(tmp_path, 0, **HARDWARE)
    process = tmp_path / "proc/77"
    (process / "fd").mkdir(parents=True)
    (process / "comm").write_text("wd_keepalive\n")
    (process / "fd/3").symlink_to(tmp_path / "dev/watchdog0")

    assert Watchdogs(Recorder(), tmp_path).users(ITCO) == ["wd_keepalive (77)"]


@pytest.mark.parametrize(
    ("answer", "virtual"), [("kvm\n", "kvm"), ("none\n", ""), (NONE, ""), ("uml\n", "uml")]
)
def test_a_virtual_host_is_told_by_systemd(
    tmp_path: Path, answer: str | CommandFailed, virtual: str
) -> None:
    assert Watchdogs(Recorder({"systemd-detect-virt --vm": answer}), tmp_path).virtual() == virtual


def test_a_watchdog_is_found_again_by_its_identity(tmp_path: Path) -> None:
    add(tmp_path, 1, **HARDWARE)
    watchdogs = Watchdogs(Recorder(), tmp_path)

    assert watchdogs.ready("iTCO_wdt", "/dev/watchdog0") == "/dev/watchdog1"
    with pytest.raises(Refused, match="no watchdog 'ipmi'"):
        watchdogs.ready("ipmi")


def test_softdog_is_loaded_so_that_it_can_be_ended(tmp_path: Path) -> None:
    run = Recorder()
    watchdogs = Watchdogs(run, tmp_path)
    with pytest.raises(Refused):
        watchdogs.ready(SOFTDOG)  # the recorder loads nothing
    assert run.commands == ["modprobe softdog nowayout=0"]

    add_softdog_of_a_kernel_that_tells_nothing(tmp_path, 1)
    watchdogs.reload_softdog()
    assert run.commands[1:] == ["modprobe --remove softdog", "modprobe softdog nowayout=0"]

    with pytest.raises(Refused, match="softdog is in use"):
        Watchdogs(Recorder({"modprobe --remove": NONE}), tmp_path).reload_softdog()


def test_a_watchdog_is_tried_by_a_program_of_its_own(tmp_path: Path) -> None:
    told = '{"kind": "iTCO_wdt", "timeout": 8, "grain": 1.5}'
    run = Recorder({"/usr/bin/python3": told})

    measured = Watchdogs(run, tmp_path, lambda: "/usr/bin/python3").measure("/dev/watchdog0", 8)

    assert measured == Measured(kind="iTCO_wdt", timeout=8, grain=1.5)
    assert run.commands == ["/usr/bin/python3 -I -m mcv.system.watchdog_trial /dev/watchdog0 8"]
    with pytest.raises(NotUnderstood):
        Watchdogs(Recorder(), tmp_path).measure("/dev/watchdog0", 8)
