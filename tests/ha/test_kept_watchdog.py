"""mcv-lease's watchdog: found by its name, kept by systemd, ended by V."""

import os
from pathlib import Path

import pytest

from mcv.errors import CommandFailed, SystemFailed
from mcv.ha import kept_watchdog
from mcv.ha.kept_watchdog import KeptWatchdog
from mcv.system import descriptor_store
from mcv.system.watchdog import SOFTDOG, Watchdog
from tests.fakes.watchdog import FakeWatchdog


class Host:
    """A host's watchdogs by their device, and systemd's store."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sysfs = directory
        self.devices: dict[str, FakeWatchdog] = {}
        self.opened: list[str] = []
        self.said: list[str] = []
        self.commands: list[str] = []
        self.store: dict[str, int] = {}
        self.handed: int | None = None
        self.keeps = True
        monkeypatch.setenv("NOTIFY_SOCKET", "/nonexistent")
        monkeypatch.setattr(descriptor_store, "kept", lambda name: self.handed)
        monkeypatch.setattr(descriptor_store, "keep", self._keep)
        monkeypatch.setattr(descriptor_store, "forget", self._forget)

    def _keep(self, name: str, fd: int, patience: float) -> bool:
        if self.keeps:
            self.store[name] = os.dup(fd)
        return self.keeps

    def _forget(self, name: str, patience: float) -> bool:
        if self.keeps and name in self.store:
            os.close(self.store.pop(name))
        return self.keeps

    def add(self, name: str, identity: str, *, nowayout: str = "0") -> FakeWatchdog:
        (self.sysfs / name).mkdir(parents=True)
        (self.sysfs / name / "identity").write_text(f"{identity}\n")
        (self.sysfs / name / "nowayout").write_text(nowayout)
        self.devices[f"/dev/{name}"] = FakeWatchdog(identity)
        return self.devices[f"/dev/{name}"]

    def open(self, device: Path) -> Watchdog:
        self.opened.append(str(device))
        if str(device) not in self.devices:
            raise SystemFailed(f"{device}: No such file or directory")
        return self.devices[str(device)].opened()

    def adopt(self, fd: int) -> Watchdog:
        [fake] = [each for each in self.devices.values() if each.fd == fd]
        return fake.opened()

    def run(self, *command: str, stdin: str = "", timeout: float = 60) -> str:
        self.commands.append(" ".join(command))
        if "softdog" not in command:
            raise CommandFailed("no such module")
        self.add("watchdog3", SOFTDOG)
        return ""

    def watchdog(self, device: str, kind: str) -> KeptWatchdog:
        return KeptWatchdog(
            device,
            kind,
            self.said.append,
            open_=self.open,
            adopt=self.adopt,
            run=self.run,
            sysfs=self.sysfs,
        )


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(tmp_path, monkeypatch)


def test_it_is_opened_kept_by_systemd_and_set(host: Host) -> None:
    fake = host.add("watchdog0", "iTCO_wdt")
    watchdog = host.watchdog("/dev/watchdog0", "iTCO_wdt")

    watchdog.open(8)

    assert host.opened == ["/dev/watchdog0"]
    assert list(host.store) == ["watchdog"]
    assert fake.seconds == 8


def test_the_next_process_takes_over_what_is_kept_and_opens_and_feeds_nothing(host: Host) -> None:
    fake = host.add("watchdog0", "iTCO_wdt")
    fake.seconds = 8
    host.handed = fake.fd

    host.watchdog("/dev/watchdog0", "iTCO_wdt").open(8)

    assert host.opened == []
    assert fake.feeds == []


def test_what_is_kept_of_another_watchdog_is_ended(host: Host) -> None:
    other = host.add("watchdog1", "other")
    host.add("watchdog0", "iTCO_wdt")
    host.handed = other.fd

    host.watchdog("/dev/watchdog0", "iTCO_wdt").open(8)

    assert other.said() == b"V"
    assert host.opened == ["/dev/watchdog0"]


def test_it_is_found_by_its_name_where_its_number_has_changed(host: Host) -> None:
    host.add("watchdog0", "other")
    host.add("watchdog1", "iTCO_wdt")

    host.watchdog("/dev/watchdog0", "iTCO_wdt").open(8)

    assert host.opened == ["/dev/watchdog1"]


def test_the_kernels_own_timer_is_loaded_so_that_it_can_be_stopped(host: Host) -> None:
    host.watchdog("/dev/watchdog0", SOFTDOG).open(8)

    assert host.commands == ["modprobe softdog nowayout=0"]
    assert host.opened == ["/dev/watchdog3"]


def test_another_watchdog_at_the_device_is_ended_and_told(host: Host) -> None:
    fake = host.add("watchdog0", "other")

    with pytest.raises(SystemFailed, match="/dev/watchdog0 is other, and not iTCO_wdt"):
        host.watchdog("/dev/watchdog0", "iTCO_wdt").open(8)

    assert fake.said() == b"V"
    assert host.store == {}


def test_a_systemd_that_does_not_keep_it_is_asked_again_with_each_feeding(host: Host) -> None:
    host.add("watchdog0", "iTCO_wdt")
    host.keeps = False
    watchdog = host.watchdog("/dev/watchdog0", "iTCO_wdt")
    watchdog.open(8)
    watchdog.feed()
    assert host.store == {}

    host.keeps = True
    watchdog.feed()

    assert list(host.store) == ["watchdog"]


def test_at_its_end_systemd_closes_its_copy_before_v_is_written(host: Host) -> None:
    fake = host.add("watchdog0", "iTCO_wdt")
    watchdog = host.watchdog("/dev/watchdog0", "iTCO_wdt")
    watchdog.open(8)

    assert watchdog.end()

    assert host.store == {}
    assert fake.said() == b"V"
    assert not watchdog.is_open


def test_what_a_process_before_has_left_is_ended_on_a_node_that_is_not_armed(host: Host) -> None:
    fake = host.add("watchdog0", "iTCO_wdt")
    host.handed = fake.fd
    host.store["watchdog"] = os.dup(fake.fd)

    assert host.watchdog("", "").end_kept()

    assert host.store == {}
    assert fake.said() == b"V"
    host.handed = None
    assert host.watchdog("", "").end_kept()
    assert host.opened == []


def test_while_systemd_does_not_close_its_copy_it_is_fed(host: Host) -> None:
    fake = host.add("watchdog0", "iTCO_wdt")
    watchdog = host.watchdog("/dev/watchdog0", "iTCO_wdt")
    watchdog.open(60)
    os.close(host.store.pop("watchdog"))
    host.keeps = False

    watchdog.end()

    assert len(fake.feeds) == kept_watchdog.TRIES


def test_one_that_cannot_be_stopped_counts_longer_and_stays_open(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = host.add("watchdog0", "iTCO_wdt", nowayout="1")
    watchdog = host.watchdog("/dev/watchdog0", "iTCO_wdt")
    watchdog.open(8)
    monkeypatch.setattr(os, "readlink", lambda path: "/dev/watchdog0")

    assert not watchdog.end()

    assert watchdog.is_open
    assert fake.seconds == kept_watchdog.LONG
    watchdog.feed()
