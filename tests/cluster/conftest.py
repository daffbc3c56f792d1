"""Clusters whose members wait for each other no longer than a test does."""

from pathlib import Path

import pytest

from mcv.cluster import agree
from tests.fakes.cluster import FakeCluster


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda fd: None)
    for name, seconds in (("ACCEPT", 0.5), ("SETTLE", 0.3), ("LOOK", 1.0), ("PATIENCE", 20.0)):
        monkeypatch.setattr(agree, name, seconds)


@pytest.fixture
def three(tmp_path: Path) -> FakeCluster:
    return FakeCluster(tmp_path, ("n1", "n2", "n3"))
