"""Thousands of deaths in a minute: no disk is waited for, and time passes by being slept."""

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcv.cluster import members

LEAST = 2.0  # seconds that every sleep lasts, by the clock that is told


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is not what dies here, no address answers, and nobody waits for the dead."""
    monkeypatch.setattr("os.fsync", lambda fd: None)
    monkeypatch.setattr(members, "answers_at_all", lambda *_: False)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who sleeps moves the clock on, and hardly waits; good where one thread sleeps at a time."""
    sleep, monotonic = time.sleep, time.monotonic
    slept = [0.0]

    def pass_by(seconds: float) -> None:
        slept[0] += max(seconds, LEAST)
        sleep(0.0002)

    monkeypatch.setattr("time.sleep", pass_by)
    monkeypatch.setattr("time.monotonic", lambda: monotonic() + slept[0])


@pytest.fixture
def memory() -> Iterator[Path]:
    """A directory that costs no disk: thousands of documents are written here."""
    shm = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shm if os.access(shm, os.W_OK) else None) as directory:
        yield Path(directory)
