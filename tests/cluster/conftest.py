"""Clusters whose members wait for each other no longer than a test does."""

from pathlib import Path

import pytest

from mcv.cluster import inventory
from mcv.cluster.agree import patience
from mcv.network import verbs as network
from mcv.vm import create
from tests.fakes.cluster import FakeCluster


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda fd: None)
    for name, seconds in (("ACCEPT", 1.0), ("SETTLE", 0.5), ("LOOK", 3.0), ("PATIENCE", 20.0)):
        monkeypatch.setattr(patience, name, seconds)


@pytest.fixture
def three(tmp_path: Path) -> FakeCluster:
    return FakeCluster(tmp_path, ("n1", "n2", "n3"))


@pytest.fixture
def units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where systemd of every node looks, instead of this host's own."""
    monkeypatch.setattr(inventory, "UNITS", tmp_path / "units")
    return tmp_path / "units"


@pytest.fixture
def vm(cluster: FakeCluster, units: Path) -> FakeCluster:
    """A cluster of two with the network lan and the VM web1 on n1, all as it should be."""
    cluster.run("n1", network.create, name="lan", bridge="br-lan")
    cluster.run("n1", create.create, name="web1", memory="64MiB", disks=["64MiB"], networks=["lan"])
    return cluster
