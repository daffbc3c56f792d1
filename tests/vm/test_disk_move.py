"""A disk of a stopped VM moves to another pool or kind: copied, compared, the old one last."""

from typing import Any

import pytest

from mcv.cluster import members
from mcv.document.pools import DEFAULT_LOCATION
from mcv.errors import Failed, Refused
from mcv.storage import copy_source
from mcv.storage.pieces import PIECE
from mcv.vm import create, disk_move, power
from tests.fakes.blocks import Pieces
from tests.fakes.cluster import FakeCluster

MIB = 1024**2
DATA = {0: b"boot", PIECE: b"data", 7 * PIECE: b"the end"}


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copy_source, "PATIENCE", 0.05)
    monkeypatch.setattr(copy_source, "POLL", 0.01)


def make(cluster: FakeCluster, storage: str) -> None:
    options = {"memory": "64MiB", "disks": ["64MiB"], "storage": storage}
    cluster.run("n1", create.create, name="web1", **options)
    pieces(cluster).update(DATA)


def pieces(cluster: FakeCluster) -> Pieces:
    """The bytes of the only disk of web1."""
    (disk,) = cluster.read().vm("web1").disks
    if disk.storage == "drbd":
        return cluster.devices.setdefault(disk.volume, {})
    where = DEFAULT_LOCATION if disk.storage == "file" else "/dev/vg0"
    return cluster.blocks["n1"].pieces(f"{where}/{disk.volume}")


def volumes(cluster: FakeCluster, node: str) -> list[str]:
    return [*cluster.lvm[node].made, *cluster.directories[node].made[DEFAULT_LOCATION]]


def move(cluster: FakeCluster, **options: Any) -> Any:
    return cluster.run("n1", disk_move.move, name="web1", disk=1, **options)


KINDS = ("file", "lvm", "drbd")


@pytest.mark.parametrize(("old", "new"), [(a, b) for a in KINDS for b in KINDS if a != b])
def test_a_disk_moves_from_every_kind_to_every_other(
    cluster: FakeCluster, old: str, new: str
) -> None:
    make(cluster, old)

    moved = move(cluster, storage=new)

    vm = cluster.read().vm("web1")
    (disk,) = vm.disks
    assert (disk.id, disk.storage, disk.size) == (1, new, 64 * MIB) and moved.storage == new
    assert pieces(cluster) == DATA
    there = ["n1", "n2"] if new == "drbd" else ["n1"]
    assert sorted(vm.nodes) == sorted(disk.places) == moved.nodes == there
    for node in ("n1", "n2"):
        assert volumes(cluster, node) == ([disk.volume] if node in there else [])
        assert list(cluster.drbd[node].statuses()) == ([disk.volume] if new == "drbd" else [])
    assert cluster.hosts["n1"].domains.xml("web1").count('device="disk"') == 1
    assert vm.last_disk == 2 and vm.incarnation == 1
    cluster.run("n1", power.start, name="web1")


def test_a_replicated_disk_stays_one_in_another_pool(cluster: FakeCluster) -> None:
    make(cluster, "drbd")

    with pytest.raises(Refused, match=r"Disk 1 of web1 is there already \(drbd, lvm\)"):
        move(cluster, pool="lvm")


def test_a_disk_moves_to_another_directory(cluster: FakeCluster) -> None:
    make(cluster, "file")
    cluster.directories["n1"].make("/srv/fast")
    pool = {"type": "dir", "nodes": {"n1": "/srv/fast"}}
    cluster.hosts["n1"].update("pool.add", "a test", name="fast", pool=pool)

    move(cluster, pool="fast")

    (disk,) = cluster.read().vm("web1").disks
    assert disk.pool == "fast" and disk.places == {"n1": "/srv/fast"}
    assert cluster.blocks["n1"].pieces(f"/srv/fast/{disk.volume}") == DATA
    assert volumes(cluster, "n1") == []


@pytest.mark.parametrize("new", ["lvm", "drbd"])
def test_a_piece_that_is_lost_is_noticed_and_the_old_disk_stays(
    cluster: FakeCluster, new: str
) -> None:
    make(cluster, "file")
    before = volumes(cluster, "n1")
    cluster.blocks["n1"].lost.add(PIECE)

    with pytest.raises(Failed, match=f"differs at byte {PIECE}"):
        move(cluster, storage=new)

    assert pieces(cluster) == DATA and cluster.read().vm("web1").disks[0].storage == "file"
    assert volumes(cluster, "n1") == before and volumes(cluster, "n2") == []
    assert cluster.drbd["n1"].statuses() == {}
    cluster.run("n1", power.start, name="web1")


def test_a_copy_that_was_cut_off_is_resumed(cluster: FakeCluster) -> None:
    make(cluster, "file")
    door = cluster.blocks["n1"]
    door.broken.add("convert")

    move(cluster, storage="lvm")

    assert pieces(cluster) == DATA


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "Where to"),
        ({"storage": "cloth"}, "There is no storage cloth"),
        ({"pool": "fast"}, "There is no pool fast"),
        ({"storage": "file"}, "Disk 1 of web1 is there already"),
        ({"storage": "thin"}, "There is no pool for a disk of kind thin"),
        ({"storage": "drbd", "nodes": ["n1"]}, "A replicated disk lives on two nodes, not on 1"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(
    cluster: FakeCluster, options: dict[str, Any], said: str
) -> None:
    make(cluster, "file")
    before = cluster.picture()

    with pytest.raises(Refused, match=said):
        move(cluster, **options)

    assert cluster.picture() == before


def make_on_three(three: FakeCluster) -> None:
    options = {"memory": "64MiB", "disks": ["64MiB"], "storage": "drbd", "nodes": ["n1", "n2"]}
    three.run("n1", create.create, name="web1", **options)
    pieces(three).update(DATA)


def test_a_replica_moves_to_another_node(three: FakeCluster) -> None:
    make_on_three(three)

    move(three, source="n2", to="n3")

    (disk,) = three.read().vm("web1").disks
    assert sorted(disk.places) == ["n1", "n3"] and pieces(three) == DATA
    assert [volumes(three, node) for node in ("n1", "n2", "n3")] == [
        [disk.volume],
        [],
        [disk.volume],
    ]
    assert sorted(three.read().vm("web1").nodes) == ["n1", "n3"]


def test_a_replica_of_a_dead_node_moves_and_what_is_there_stays(
    three: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_on_three(three)
    monkeypatch.setattr(members, "answers_at_all", lambda *_: False)
    three.down.add("n2")
    three.run("n1", members.offline, names=["n2"], confirm_dead=True)

    move(three, source="n2", to="n3")

    (disk,) = three.read().vm("web1").disks
    assert sorted(disk.places) == ["n1", "n3"] and pieces(three) == DATA
    assert volumes(three, "n2") == ["mcv-web1-1"] and volumes(three, "n1") == [disk.volume]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"source": "n2"}, "from a node to a node"),
        ({"source": "n3", "to": "n2"}, "n3 holds no replica of disk 1 of web1"),
        ({"source": "n2", "to": "n1"}, "n1 holds a replica of disk 1 of web1 already"),
        ({"source": "n1", "to": "n3"}, "n1 owns web1"),
    ],
)
def test_a_replica_that_cannot_move_is_refused(
    three: FakeCluster, options: dict[str, Any], said: str
) -> None:
    make_on_three(three)

    with pytest.raises(Refused, match=said):
        move(three, **options)


def test_a_node_with_a_replica_is_not_removed_and_the_way_is_named(three: FakeCluster) -> None:
    make_on_three(three)

    with pytest.raises(Refused, match="n2 holds a replica of web1") as refused:
        three.run("n1", members.remove_node, node="n2")

    assert refused.value.hint.endswith("mcv disk move web1 1 --from n2 --to N")
    move(three, source="n2", to="n3")
    three.run("n1", members.remove_node, node="n2", dry_run=True)


def test_without_a_third_node_the_disk_becomes_one_of_its_owner_alone(cluster: FakeCluster) -> None:
    make(cluster, "drbd")

    with pytest.raises(Refused, match="n2 holds a replica of web1") as refused:
        cluster.run("n1", members.remove_node, node="n2")

    assert refused.value.hint == "First: mcv disk move web1 1 --storage lvm"
    move(cluster, storage="lvm")
    cluster.run("n1", members.remove_node, node="n2")
    assert list(cluster.read().nodes) == ["n1"]
