"""What makes thousands of deaths quick: no disk is waited for, and time passes by being slept."""

import time

import pytest

from mcv.cluster import members

LEAST = 2.0  # seconds that every sleep lasts, by the clock that is told


def spare_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is synced to disk, and no address answers."""
    monkeypatch.setattr("os.fsync", lambda fd: None)
    monkeypatch.setattr(members, "answers_at_all", lambda *_: False)


def hasten(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sleep moves the clock on, and hardly lasts; good where one thread sleeps at a time."""
    sleep, monotonic = time.sleep, time.monotonic
    slept = [0.0]

    def pass_by(seconds: float) -> None:
        slept[0] += max(seconds, LEAST)
        sleep(0.0002)

    monkeypatch.setattr("time.sleep", pass_by)
    monkeypatch.setattr("time.monotonic", lambda: monotonic() + slept[0])
