"""Resources on one node: made, and made again after a crash on the way."""

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
