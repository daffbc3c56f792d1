"""Thousands of deaths in a minute: no disk is waited for, and time passes by being slept."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcv.cluster import draining, idle
from mcv.vm import image
from tests.deaths.pace import hasten, spare_the_disk


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is not what dies here, no address answers, and nobody waits for the dead."""
    spare_the_disk(monkeypatch)
    monkeypatch.setattr(draining, "POLL", 0.01)
    monkeypatch.setattr(idle, "POLL", 0.01)
    monkeypatch.setattr(idle, "IDLE", 0.5)


@pytest.fixture(autouse=True)
def no_disks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fakes have no disks to be filled: what is to be written has to be held still."""
    monkeypatch.setattr(
        image, "fill", lambda host, source, token, *_: image.part(host, source, token, 0)
    )


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who sleeps moves the clock on, and hardly waits; good where one thread sleeps at a time."""
    hasten(monkeypatch)


@pytest.fixture
def memory() -> Iterator[Path]:
    """A directory that costs no disk: thousands of documents are written here."""
    shm = Path("/dev/shm")
    place = shm if os.access(shm, os.W_OK) else None
    # A thread of a daemon that a test killed may still write its last file.
    with tempfile.TemporaryDirectory(dir=place, ignore_cleanup_errors=True) as directory:
        yield Path(directory)
