"""VMs on disks of every kind over fake doors: where they are made, what they refuse."""

from typing import Any

import pytest
from msgspec.structs import replace

from mcv.cluster import members
from mcv.document.disks import FileDisk, LvmDisk
from mcv.document.pools import DEFAULT_LOCATION, Pool
from mcv.errors import Failed, NotFound, Refused
from mcv.status import vms
from mcv.vm import create, delete, power, register
from tests.fakes.cluster import FakeCluster

MIB = 1024**2


def make(cluster: FakeCluster, name: str = "web1", **options: Any) -> None:
    options = {"memory": "64MiB", "disks": ["64MiB"], **options}
    cluster.run("n1", create.create, name=name, **options)


@pytest.fixture
def alone(cluster: FakeCluster) -> FakeCluster:
    """DRBD is not enabled."""
    document = cluster.read()
    for agreement in cluster.agreements.values():
        agreement.store.begin(replace(document, drbd=replace(document.drbd, enabled=False)))
    return cluster


def test_without_drbd_the_first_disk_is_a_file_in_the_pool_that_every_node_has(
    alone: FakeCluster,
) -> None:
    make(alone, disks=["63MiB"])

    vm = alone.read().vm("web1")
    (disk,) = vm.disks
    assert isinstance(disk, FileDisk) and vm.nodes == ("n1",)
    assert (disk.size, disk.pool, disk.format) == (64 * MIB, "default", "qcow2")
    assert disk.places == {"n1": DEFAULT_LOCATION}
    assert alone.directories["n1"].made[DEFAULT_LOCATION] == {disk.volume: 64 * MIB}
    assert alone.directories["n2"].made[DEFAULT_LOCATION] == {}
    view = vms.info(alone.hosts["n1"], "web1").disks[0]
    assert (view.path, view.pool, view.drbd) == (
        f"{DEFAULT_LOCATION}/{disk.volume}",
        "default",
        None,
    )
    xml = alone.hosts["n1"].domains.xml("web1")
    assert f'file="{DEFAULT_LOCATION}/{disk.volume}"' in xml and 'type="qcow2"' in xml


def test_a_vm_on_a_file_starts_stops_and_goes_with_its_file(alone: FakeCluster) -> None:
    make(alone)

    alone.run("n1", power.start, name="web1")
    alone.run("n1", power.stop, name="web1")
    alone.run("n1", delete.delete, name="web1")

    assert alone.directories["n1"].made[DEFAULT_LOCATION] == {}
    assert alone.read().vms == {}


def test_a_start_is_refused_where_the_file_is_gone(alone: FakeCluster) -> None:
    make(alone)
    alone.directories["n1"].made[DEFAULT_LOCATION].clear()

    with pytest.raises(Refused, match="n1 has no file /var/lib/mcv/pool/mcv-web1-1"):
        alone.run("n1", power.start, name="web1")


def test_the_first_volume_group_of_a_cluster_becomes_its_pool(cluster: FakeCluster) -> None:
    make(cluster, storage="lvm")
    make(cluster, "web2")

    (disk,) = cluster.read().vm("web1").disks
    assert isinstance(disk, LvmDisk) and disk.places == {"n1": "vg0"}
    assert cluster.lvm["n1"].made == {"mcv-web1-1": 64 * MIB, "mcv-web2-1": 68 * MIB}
    # The second VM's replica on n2 puts n2 into the pool.
    assert cluster.read().pools == {"lvm": Pool(type="lvm", nodes={"n1": "vg0", "n2": "vg0"})}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"storage": "cloth"}, "There is no storage cloth"),
        ({"pool": "fast"}, "There is no pool fast"),
        ({"pool": "default", "storage": "lvm"}, "kind lvm does not lie in a pool of type dir"),
        ({"storage": "file", "nodes": ["n1", "n2"]}, "kind file is on one node"),
        ({"storage": "thin"}, "There is no pool for a disk of kind thin on n1"),
        ({"storage": "shared"}, "There is no pool for a disk of kind shared"),
        ({"storage": "lvm", "nodes": ["n2"]}, "n1, which is to own it, is not among n2"),
        ({"storage": "file", "disks": ["1TiB"]}, "Pool default .* on n1 has .* free, 1TiB"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(
    cluster: FakeCluster, options: dict[str, Any], said: str
) -> None:
    before = cluster.picture()

    with pytest.raises((Refused, NotFound), match=said):
        make(cluster, **options)

    assert cluster.picture() == before


def test_all_that_is_wrong_with_the_place_is_told_at_once(cluster: FakeCluster) -> None:
    with pytest.raises(Refused) as refused:
        make(cluster, storage="cloth", pool="fast", nodes=["n1", "n9"])

    assert [said for said, _ in refused.value.problems] == [
        "There is no pool fast.",
        "There is no storage cloth.",
        "There is no node n9.",
    ]


def test_several_pools_of_the_kind_and_none_named_is_a_refusal(cluster: FakeCluster) -> None:
    cluster.directories["n1"].make("/srv/fast")
    pool = {"type": "dir", "nodes": {"n1": "/srv/fast"}}
    cluster.hosts["n1"].update("pool.add", "a test", name="fast", pool=pool)

    with pytest.raises(Refused, match="several pools for a disk of kind file: default, fast"):
        make(cluster, storage="file")
    make(cluster, pool="fast")

    assert list(cluster.directories["n1"].made["/srv/fast"]) == [
        cluster.read().vm("web1").disks[0].volume
    ]


def test_a_creation_that_fails_takes_its_file_back(alone: FakeCluster) -> None:
    alone.domains["n1"].broken.add("define")

    with pytest.raises(Failed, match="failed and was undone"):
        make(alone)

    assert alone.directories["n1"].made[DEFAULT_LOCATION] == {} and alone.read().vms == {}


def test_a_disk_of_one_node_is_taken_over_by_nobody(
    alone: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(alone)
    monkeypatch.setattr(members, "answers_at_all", lambda *_: False)
    alone.down.add("n1")
    alone.run("n2", members.offline, names=["n1"], confirm_dead=True)

    with pytest.raises(Refused, match="Disk 1 of web1 is on n1 alone") as refused:
        alone.run("n2", register.register, name="web1", accept_stale=True)

    assert refused.value.hint == "It can run nowhere else until n1 is back."
