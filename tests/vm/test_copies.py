"""VMs move with their local disks: by a copy, compared, and the source goes last."""

from typing import Any

import pytest
from msgspec.structs import replace

from mcv.document.disks import FileDisk
from mcv.document.pools import DEFAULT_LOCATION
from mcv.document.subject import Subject
from mcv.errors import DoneInPart, Failed, Refused
from mcv.storage import copy_notes, copy_source, copy_target
from mcv.storage.copy_notes import CopyNote
from mcv.storage.pieces import PIECE
from mcv.transaction.jobs import Job
from mcv.vm import create, migrate, power
from tests.fakes.cluster import FakeCluster

MIB = 1024**2
DATA = {0: b"boot", PIECE: b"data", 7 * PIECE: b"the end"}


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copy_source, "PATIENCE", 0.05)
    monkeypatch.setattr(copy_source, "POLL", 0.01)


def make(cluster: FakeCluster, storage: str = "file") -> None:
    options = {"memory": "64MiB", "disks": ["64MiB"], "storage": storage}
    cluster.run("n1", create.create, name="web1", **options)
    cluster.blocks["n1"].pieces(path(cluster)).update(DATA)


def path(cluster: FakeCluster) -> str:
    (disk,) = cluster.read().vm("web1").disks
    return f"{DEFAULT_LOCATION if disk.storage == 'file' else '/dev/vg0'}/{disk.volume}"


def volumes(cluster: FakeCluster, node: str) -> list[str]:
    return [*cluster.lvm[node].made, *cluster.directories[node].made[DEFAULT_LOCATION]]


def move(cluster: FakeCluster, **options: Any) -> Any:
    return cluster.run("n1", migrate.migrate, name="web1", **options)


@pytest.mark.parametrize("storage", ["file", "lvm"])
def test_a_vm_moves_with_the_bytes_of_its_disk(cluster: FakeCluster, storage: str) -> None:
    make(cluster, storage)

    moved = move(cluster)

    vm = cluster.read("n2").vm("web1")
    (disk,) = vm.disks
    assert moved.node == vm.node == "n2" and vm.nodes == ("n2",) and list(disk.places) == ["n2"]
    assert cluster.blocks["n2"].pieces(path(cluster)) == DATA
    assert volumes(cluster, "n1") == [] and volumes(cluster, "n2") == [disk.volume]
    assert "web1" in cluster.domains["n2"].defined and "web1" not in cluster.domains["n1"].defined
    assert vm.incarnation == 1
    assert cluster.blocks["n2"].servers == {} == cluster.blocks["n1"].servers


def test_a_vm_of_both_kinds_moves_whole(cluster: FakeCluster) -> None:
    cluster.run("n1", create.create, name="web1", memory="64MiB", disks=["64MiB"])
    make_second_disk(cluster)

    move(cluster, start_after_migration=True)

    vm = cluster.read("n2").vm("web1")
    assert vm.node == "n2" and vm.nodes == ("n2",)
    assert [sorted(disk.places) for disk in vm.disks] == [["n1", "n2"], ["n2"]]
    second = f"{DEFAULT_LOCATION}/{vm.disks[1].volume}"
    assert cluster.blocks["n2"].pieces(second) == DATA
    assert cluster.domains["n2"].state("web1") == "running"
    assert volumes(cluster, "n1") == ["mcv-web1-1"]


def make_second_disk(cluster: FakeCluster) -> None:
    """A file with data, beside a replicated disk."""
    disk = FileDisk(
        id=2,
        size=64 * MIB,
        volume="second.qcow2",
        pool="default",
        format="qcow2",
        places={"n1": DEFAULT_LOCATION},
    )
    cluster.directories["n1"].create(DEFAULT_LOCATION, disk.volume, disk.size, "qcow2")
    cluster.blocks["n1"].pieces(f"{DEFAULT_LOCATION}/{disk.volume}").update(DATA)
    document = cluster.read()
    vm = document.vm("web1")
    changed = document.with_vm(replace(vm, disks=(*vm.disks, disk), nodes=("n1",)))
    for agreement in cluster.agreements.values():
        agreement.store.begin(changed)


def test_a_piece_that_is_lost_is_noticed_and_the_source_stays(cluster: FakeCluster) -> None:
    make(cluster)
    cluster.blocks["n1"].lost.add(PIECE)

    with pytest.raises(Failed, match=f"copy of disk 1 of web1 to n2 differs at byte {PIECE}"):
        move(cluster)

    assert cluster.read().vm("web1").node == "n1"
    assert cluster.blocks["n1"].pieces(path(cluster)) == DATA
    assert volumes(cluster, "n2") == [] and copy_notes.read(cluster.hosts["n2"], "web1", 1) is None
    cluster.run("n1", power.start, name="web1")


def test_a_copy_that_fails_comes_back_once_it_comes_no_further(cluster: FakeCluster) -> None:
    make(cluster)
    cluster.blocks["n2"].broken.add("serve")

    with pytest.raises(Failed, match="does not serve"):
        move(cluster)

    assert volumes(cluster, "n2") == [] and cluster.read().vm("web1").node == "n1"


def test_a_copy_that_was_cut_off_is_resumed_with_the_holes_compared(
    cluster: FakeCluster,
) -> None:
    make(cluster)
    door = cluster.blocks["n1"]
    door.broken.add("convert")
    stale = {0: b"boot", 2 * PIECE: b"not zero as it is there"}
    opened = cluster.blocks["n2"].opened

    def cut_off(phase: str) -> None:
        if phase.endswith("2"):
            cluster.blocks["n2"].pieces(path(cluster)).clear()
            cluster.blocks["n2"].pieces(path(cluster)).update(stale)

    door.phase = cut_off
    move(cluster)

    assert cluster.blocks["n2"].pieces(path(cluster)) == DATA
    # The first for a target of zeros, the second to resume; the others compare.
    assert [writable for _, writable in opened].count(True) == 2


def test_bytes_behind_the_end_of_the_disk_are_noticed(cluster: FakeCluster) -> None:
    make(cluster, "lvm")
    door = cluster.blocks["n1"]

    def grow(phase: str) -> None:
        cluster.lvm["n2"].made["mcv-web1-1"] += PIECE
        cluster.blocks["n2"].pieces(path(cluster))[64 * MIB] = b"what the group held"

    door.phase = grow
    with pytest.raises(Failed, match="has bytes behind its end"):
        move(cluster)


def test_a_volume_of_the_name_over_there_refuses_the_move_and_stays(cluster: FakeCluster) -> None:
    make(cluster)
    (disk,) = cluster.read().vm("web1").disks
    cluster.directories["n2"].create(DEFAULT_LOCATION, disk.volume, 5, "raw")
    before = cluster.picture()

    with pytest.raises(Refused, match=f"There is {disk.volume} in {DEFAULT_LOCATION} on n2"):
        move(cluster)

    assert cluster.picture() == before


def test_a_volume_that_appears_meanwhile_is_neither_filled_nor_removed(
    cluster: FakeCluster,
) -> None:
    make(cluster)
    (disk,) = cluster.read().vm("web1").disks
    spied = cluster.spy

    def spy(caller: str, node: str, operation: str) -> None:
        if operation == "volume.receive":
            cluster.directories["n2"].create(DEFAULT_LOCATION, disk.volume, 5, "raw")
        spied(caller, node, operation)

    cluster.spy = spy
    with pytest.raises(Failed, match="nothing says that it is a copy of disk 1 of web1"):
        move(cluster)

    assert volumes(cluster, "n2") == [disk.volume]


def test_no_room_and_no_pool_are_told_before_the_claim(cluster: FakeCluster) -> None:
    make(cluster)
    cluster.directories["n2"].at(DEFAULT_LOCATION).free = 0
    said = r"Pool default .* on n2 has .* free, 64MiB are needed \(2GiB of its file system"
    with pytest.raises(Refused, match=said):
        move(cluster)

    cluster.directories["n1"].make("/srv/fast")
    pool = {"type": "dir", "nodes": {"n1": "/srv/fast"}}
    cluster.hosts["n1"].update("pool.add", "a test", name="fast", pool=pool)
    options = {"memory": "64MiB", "disks": ["64MiB"], "pool": "fast"}
    cluster.run("n1", create.create, name="web2", **options)
    with pytest.raises(Refused, match="Pool fast, where disk 1 of web2 is, is not on n2") as no:
        cluster.run("n1", migrate.migrate, name="web2", to="n2")
    assert no.value.hint == "mcv pool add-node fast --node n2 --location L"


def test_the_old_volume_goes_last_and_may_stay(cluster: FakeCluster) -> None:
    make(cluster)
    cluster.directories["n1"].broken.add("remove")

    with pytest.raises(DoneInPart, match=r"is done, but: .* cannot be removed"):
        move(cluster)

    assert cluster.read().vm("web1").node == "n2"
    assert cluster.blocks["n2"].pieces(path(cluster)) == DATA
    with pytest.raises(Refused, match="web1 belongs to n2"):
        cluster.run("n1", power.start, name="web1")


def test_a_stranger_s_stream_leads_nowhere(cluster: FakeCluster) -> None:
    make(cluster)
    asked = {"for": "disk", "vm": "web1", "disk": "1"}
    for host, who in (("n2", "n1"), ("n1", "n2")):
        with pytest.raises(Refused, match="expects no disk 1 of web1"):
            copy_target.target(cluster.hosts[host], who, asked)
    note(cluster, operation="another")
    with pytest.raises(Refused, match="n1 has no claim on web1"):
        copy_target.target(cluster.hosts["n2"], "n1", asked)
    with (
        cluster.hosts["n1"].claim(Subject.vm("web1"), "a test"),
        pytest.raises(Refused, match="n1 has no claim on web1 for which its disk is expected"),
    ):
        copy_target.target(cluster.hosts["n2"], "n1", asked)
    with pytest.raises(Refused, match="expects no disk"):
        copy_target.target(cluster.hosts["n2"], "n3", asked)


def note(cluster: FakeCluster, operation: str, volume: str = "half.qcow2") -> None:
    host = cluster.hosts["n2"]
    (disk,) = cluster.read().vm("web1").disks
    target = FileDisk(
        id=1, size=disk.size, pool="default", volume=volume, places={"n2": DEFAULT_LOCATION}
    )
    cluster.directories["n2"].create(DEFAULT_LOCATION, volume, disk.size, "qcow2")
    copy_notes.write(
        host, CopyNote(name="web1", source="n1", operation=operation, target=target, begun=True)
    )


def test_zeros_are_taken_for_granted_once_alone(cluster: FakeCluster) -> None:
    make(cluster)
    with cluster.hosts["n1"].claim(Subject.vm("web1"), "a test"):
        note(cluster, cluster.read().vm("web1").claim.operation)  # type: ignore[union-attr]
        asked = {"for": "disk", "vm": "web1", "disk": "1"}
        copy_target.target(cluster.hosts["n2"], "n1", asked).end()
        with pytest.raises(Refused, match="has begun already"):
            copy_target.target(cluster.hosts["n2"], "n1", {**asked, "zero": "yes"})


def test_what_an_operation_without_a_claim_left_is_taken_away(cluster: FakeCluster) -> None:
    make(cluster)
    note(cluster, operation="gone")

    copy_target.clear_over(cluster.hosts["n2"])

    assert volumes(cluster, "n2") == []
    assert copy_notes.read(cluster.hosts["n2"], "web1", 1) is None


def test_a_note_of_what_is_a_disk_by_now_goes_and_the_disk_stays(cluster: FakeCluster) -> None:
    make(cluster)
    move(cluster)
    assert copy_notes.read(cluster.hosts["n2"], "web1", 1) is not None

    copy_target.clear_over(cluster.hosts["n2"])

    assert copy_notes.read(cluster.hosts["n2"], "web1", 1) is None
    assert cluster.blocks["n2"].pieces(path(cluster)) == DATA


def test_a_disk_of_a_vm_that_runs_is_not_copied_as_if_it_stood_still(cluster: FakeCluster) -> None:
    make(cluster)
    cluster.run("n1", power.start, name="web1")

    with pytest.raises(Refused, match="web1 is running"):
        move(cluster)


def test_the_bar_tells_how_far_the_copy_is(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(cluster)
    told: list[tuple[Any, ...]] = []
    monkeypatch.setattr(Job, "progress", lambda job, *rest: told.append(rest[:3]))

    move(cluster)

    assert ("copy disk 1 of web1 to n2", 64 * MIB, 64 * MIB) in told
    assert ("compare disk 1 of web1 to n2", 64 * MIB, 64 * MIB) in told
