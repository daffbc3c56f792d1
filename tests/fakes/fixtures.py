"""Fixtures that several folders of tests take into their conftest."""

import sys
from pathlib import Path

import pytest

from mcv.check import inventory
from mcv.consensus.unanimous import timeouts
from mcv.drivers import libvirt_hook
from mcv.network import verbs as network
from mcv.system import users
from mcv.vm import create
from tests.fakes.cluster import FakeCluster


@pytest.fixture(autouse=True)
def short_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Members wait for each other no longer than a test does, and no disk is waited for."""
    monkeypatch.setattr("os.fsync", lambda fd: None)
    for name, seconds in (("ACCEPT", 1.0), ("COMMIT", 0.5), ("POLL", 3.0), ("RETRY", 20.0)):
        monkeypatch.setattr(timeouts, name, seconds)


@pytest.fixture
def three(tmp_path: Path) -> FakeCluster:
    return FakeCluster(tmp_path, ("n1", "n2", "n3"))


@pytest.fixture
def units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where systemd of every node looks, not of this host; nodes mail, and have no users."""
    monkeypatch.setattr(inventory, "UNITS", tmp_path / "units")
    monkeypatch.setattr(inventory, "ROOT", tmp_path / "root")
    hook = tmp_path / "root" / libvirt_hook.HOOK
    hook.parent.mkdir(parents=True)
    hook.touch(0o755)
    monkeypatch.setattr(inventory, "SENDMAIL", Path(sys.executable))
    monkeypatch.setattr(users, "who_see_arguments", list)
    return tmp_path / "units"


@pytest.fixture
def vm(cluster: FakeCluster, units: Path) -> FakeCluster:
    """A cluster of two with the network lan and the VM web1 on n1, all as it should be."""
    cluster.run("n1", network.create, name="lan", bridge="br-lan")
    cluster.run("n1", create.create, name="web1", memory="64MiB", disks=["64MiB"], networks=["lan"])
    return cluster
