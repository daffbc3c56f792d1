"""A watchdog tried: what it says of itself, and by how much it may be late."""

import json
import sys
from pathlib import Path

import pytest

from mcv.errors import SystemFailed
from mcv.system import watchdog_trial
from mcv.system.watchdog import SOFTDOG, Watchdog
from mcv.system.watchdog_trial import Measured, measure


class FakeWatchdog(Watchdog):
    """Counts on a clock of its own; `periods` as many as pass before it resets."""

    def __init__(self, kind: str, tells: bool = True, periods: int = 1, rounds: int = 0) -> None:
        self.kind, self.tells, self.periods, self.rounds = kind, tells, periods, rounds
        self.set, self.fed, self.ended = 60, 0, 0
        self.looks = 0

    def identity(self) -> str:
        return self.kind

    def timeout(self) -> int:
        return self.set

    def set_timeout(self, seconds: int) -> None:
        self.set = self.rounds or seconds
        if self.set != seconds:
            raise SystemFailed(f"The watchdog counts {self.set} s, not {seconds} s.")

    def time_left(self) -> int | None:
        self.looks += 1
        return self.set * self.periods - self.looks // 4 if self.tells else None

    def feed(self) -> None:
        self.fed += 1

    def end(self) -> None:
        self.ended += 1


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    monkeypatch.setattr("time.sleep", lambda s: clock.__setitem__(0, clock[0] + s))


@pytest.mark.parametrize(
    ("watchdog", "timeout", "grain"),
    [
        (FakeWatchdog("iTCO_wdt"), 8, 1.5),
        (FakeWatchdog("resets at the second period", periods=2), 8, 9.5),
        (FakeWatchdog("tells nothing", tells=False), 8, 8.0),
        (FakeWatchdog(SOFTDOG, tells=False), 8, 1.0),
        (FakeWatchdog("takes powers of two", rounds=16), 16, 1.5),
    ],
    ids=lambda value: value.kind if isinstance(value, FakeWatchdog) else None,
)
def test_how_late_it_may_reset_is_what_the_driver_says(
    watchdog: FakeWatchdog, timeout: int, grain: float
) -> None:
    measured = measure(watchdog, 8)

    assert measured == Measured(watchdog.kind, timeout, grain)
    assert watchdog.fed


def test_the_program_ends_the_watchdog_whatever_happens(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    watchdog = FakeWatchdog(SOFTDOG, tells=False)
    opened: list[Path] = []

    def open_(device: Path) -> Watchdog:
        opened.append(device)
        return watchdog

    monkeypatch.setattr(Watchdog, "open", open_)
    monkeypatch.setattr("signal.signal", lambda number, action: None)
    monkeypatch.setattr(sys, "argv", ["watchdog_trial", "/dev/watchdog1", "8"])

    watchdog_trial.main()
    assert json.loads(capsys.readouterr().out) == {"kind": SOFTDOG, "timeout": 8, "grain": 1.0}
    assert opened == [Path("/dev/watchdog1")] and watchdog.ended == 1

    def fail() -> str:
        raise SystemFailed("no watchdog")

    monkeypatch.setattr(watchdog, "identity", fail)
    with pytest.raises(SystemExit) as left:
        watchdog_trial.main()
    assert left.value.code == "no watchdog" and watchdog.ended == 2
