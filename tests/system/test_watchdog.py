"""The ioctls of a watchdog."""

import fcntl
import struct
from pathlib import Path

import pytest

from mcv.errors import SystemFailed
from mcv.system import watchdog
from mcv.system.watchdog import Watchdog
from tests.fakes.watchdog import FakeWatchdog


def test_it_tells_its_name_and_its_timeout() -> None:
    device = FakeWatchdog("iTCO_wdt", timeout=30).opened()

    assert device.identity() == "iTCO_wdt"
    assert device.timeout() == 30
    assert device.time_left() is None


def test_the_numbers_are_those_of_linux() -> None:
    """By the rule of asm-generic/ioctl.h: direction, size, 'W', number."""

    def number(direction: int, size: int, nr: int) -> int:
        return direction << 30 | size << 16 | ord("W") << 8 | nr

    assert number(2, 40, 0) == watchdog.GETSUPPORT
    assert number(2, 4, 5) == watchdog.KEEPALIVE
    assert number(3, 4, 6) == watchdog.SETTIMEOUT
    assert number(2, 4, 7) == watchdog.GETTIMEOUT
    assert number(2, 4, 10) == watchdog.GETTIMELEFT
    assert struct.calcsize("=II32s") == 40


def test_a_timeout_is_set_and_read_back() -> None:
    fake = FakeWatchdog(timeout=60)

    fake.opened().set_timeout(8)

    assert fake.seconds == 8


def test_a_timeout_that_is_set_already_feeds_nothing() -> None:
    fake = FakeWatchdog(timeout=8)

    fake.opened().set_timeout(8)

    assert fake.feeds == []


def test_a_timeout_that_the_driver_does_not_take_is_an_error() -> None:
    with pytest.raises(SystemFailed, match="counts 5 s, not 8 s"):
        FakeWatchdog(timeout=60, most=5).opened().set_timeout(8)


def test_it_ends_by_the_letter_v_before_it_is_closed() -> None:
    fake = FakeWatchdog()

    fake.opened().end()

    assert fake.said() == b"V"


def test_what_is_no_watchdog_is_told(tmp_path: Path) -> None:
    (tmp_path / "device").write_text("")

    device = Watchdog.open(tmp_path / "device")
    with pytest.raises(SystemFailed):
        device.identity()
    assert not fcntl.fcntl(device.fd, fcntl.F_GETFD) ^ fcntl.FD_CLOEXEC
    device.end()
    with pytest.raises(SystemFailed):
        Watchdog.open(tmp_path / "nothing")
