"""Resources on one node: made, and made again after a crash on the way."""

import threading

import pytest

from mcv.drbd import roles
from mcv.vm import create
from tests.fakes.cluster import FakeCluster

RESOURCE = "mcv-web1-1"


def test_a_resource_whose_way_up_was_cut_off_is_made_anew(cluster: FakeCluster) -> None:
    cluster.run("n1", create.create, name="web1", memory="64MiB", disks=["64MiB"])
    cluster.drbd["n2"].down(RESOURCE)
    cluster.world.replicas[RESOURCE]["n1"].disk = "Diskless"

    roles.create(cluster.hosts["n1"], "web1", 1)

    assert cluster.world.replicas[RESOURCE]["n1"].disk == "Inconsistent"


def test_a_resource_that_is_up_is_left_as_it_is(cluster: FakeCluster) -> None:
    cluster.run("n1", create.create, name="web1", memory="64MiB", disks=["64MiB"])
    cluster.drbd["n1"].broken |= {"create_metadata", "down", "up"}

    roles.create(cluster.hosts["n1"], "web1", 1)

    assert cluster.world.replicas[RESOURCE]["n1"].disk == "UpToDate"


def test_what_is_taken_back_while_the_daemon_brings_resources_up_stays_gone(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.run("n1", create.create, name="web1", memory="64MiB", disks=["64MiB"])
    host = cluster.hosts["n2"]
    cluster.drbd["n2"].down(RESOURCE)

    def take_back() -> None:
        with host.locks.hold("vm-web1", "drbd.remove"):
            roles.remove(host, "web1", 1)

    step = threading.Thread(target=take_back)

    def up(resource: str) -> None:
        """As drbdadm does, which has read its file before it calls the kernel."""
        text = path.read_text()
        step.start()
        step.join(0.3)
        path.write_text(text)
        bring(resource)
        path.unlink()

    path = host.settings.drbd_directory / f"{RESOURCE}.res"
    bring = host.drbd.up
    monkeypatch.setattr(host.drbd, "up", up)

    roles.bring_up(host)
    step.join()

    assert "n2" not in cluster.world.replicas[RESOURCE]
