"""Disks as things of their own: added, taken away, grown and set, of every kind."""

import contextvars
import re
from typing import Any

import pytest
from msgspec.structs import replace

from mcv.document.disks import DrbdDisk, FileDisk, LvmDisk
from mcv.document.pools import DEFAULT_LOCATION
from mcv.drivers.libvirt_devices import targets_in
from mcv.drivers.open_devices import Holder
from mcv.errors import Busy, DoneInPart, Failed, McvError, NotFound, Refused, RepairNeeded
from mcv.recovery import journal_recovery
from mcv.status import vms
from mcv.storage import growth
from mcv.vm import (
    change,
    create,
    delete,
    disk_add,
    disk_grow,
    disk_remove,
    disk_set,
    disks,
    power,
)
from tests.fakes.cluster import FakeCluster

MIB = 1024**2
FILE = f"{DEFAULT_LOCATION}/"


@pytest.fixture
def web1(vm: FakeCluster) -> FakeCluster:
    """A cluster with web1 on n1, which has a replicated disk of 64 MiB."""
    return vm


@pytest.fixture
def running(web1: FakeCluster) -> FakeCluster:
    web1.run("n1", power.start, name="web1")
    return web1


def add(cluster: FakeCluster, size: str | None = "32MiB", **options: Any) -> Any:
    return cluster.run("n1", disk_add.add, name="web1", size=size, **options)


def live(cluster: FakeCluster) -> list[str]:
    return cluster.domains["n1"].disks.targets("web1")


def defined(cluster: FakeCluster) -> list[str]:
    return targets_in(cluster.domains["n1"].defined["web1"])


def all_of(error: McvError) -> str:
    return " ".join([error.message, *(message for message, _ in error.problems)])


def ids(cluster: FakeCluster) -> list[int]:
    return [disk.id for disk in cluster.read().vm("web1").disks]


# Added


def test_a_stopped_vm_gets_another_replicated_disk(web1: FakeCluster) -> None:
    added = add(web1)

    disk = web1.read().vm("web1").disk(2)
    assert isinstance(disk, DrbdDisk) and (added.disk, added.size) == (2, 32 * MIB)
    assert (disk.minor, disk.port) != (100, 7790) and disk.places == {"n1": "vg0", "n2": "vg0"}
    assert web1.read().vm("web1").nodes == ("n1", "n2")
    assert "mcv-web1-2" in web1.lvm["n1"].made and "mcv-web1-2" in web1.lvm["n2"].made
    assert defined(web1) == ["vda", "vdb"] and added.attached is False
    assert web1.drbd["n1"].status("mcv-web1-2").role == "Secondary"  # type: ignore[union-attr]


def test_a_running_vm_has_its_new_disk_at_once_and_open(running: FakeCluster) -> None:
    added = add(running)

    assert added.attached and live(running) == defined(running) == ["vda", "vdb"]
    assert running.drbd["n1"].status("mcv-web1-2").role == "Primary"  # type: ignore[union-attr]
    running.run("n1", power.stop, name="web1")
    assert running.drbd["n1"].status("mcv-web1-2").role == "Secondary"  # type: ignore[union-attr]


def test_a_disk_of_one_node_ties_the_vm_to_it(running: FakeCluster) -> None:
    added = add(running, storage="file", size="30MiB", bus="scsi", cache="writeback")

    disk = running.read().vm("web1").disk(2)
    assert isinstance(disk, FileDisk) and disk.size == 32 * MIB
    assert running.read().vm("web1").nodes == ("n1",) and added.nodes == ["n1"]
    assert (disk.bus, disk.cache, disk.target) == ("scsi", "writeback", "sdb")
    assert live(running) == ["vda", "sdb"]
    xml = running.domains["n1"].xml("web1")
    assert 'model="virtio-scsi"' in xml and f'file="{FILE}{disk.volume}"' in xml
    view = vms.list_(running.hosts["n1"])[0]
    assert (view.storage, view.nodes, view.state) == ("mixed", ("n1",), "running")


def test_a_vm_with_disks_of_unlike_kinds_starts_stops_and_goes_whole(web1: FakeCluster) -> None:
    add(web1, storage="file")
    add(web1, storage="lvm")

    web1.run("n1", power.start, name="web1")
    assert live(web1) == ["vda", "vdb", "vdc"]
    assert isinstance(web1.read().vm("web1").disk(3), LvmDisk)
    web1.run("n1", power.stop, name="web1")
    web1.run("n1", delete.delete, name="web1")

    assert [door.made for door in web1.lvm.values()] == [{}, {}]
    assert web1.directories["n1"].made[DEFAULT_LOCATION] == {}


def test_the_list_tells_where_each_disk_lies(web1: FakeCluster) -> None:
    add(web1, storage="file")

    first, second = disks.list_(web1.hosts["n2"], "web1")

    assert (first.id, first.target, first.storage, first.pool) == (1, "vda", "drbd", "lvm")
    assert first.places == {"n1": "vg0", "n2": "vg0"} and not first.leaving
    assert (second.places, second.size) == ({"n1": DEFAULT_LOCATION}, 32 * MIB)
    assert (second.bus, second.role, second.format) == ("virtio", "data", "qcow2")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"size": "1TiB"}, "Pool lvm .* on n1 has .* free, 1TiB"),
        ({"size": "much"}, "'much' is no size for the disk"),
        ({"size": None}, "How large is the disk to be"),
        ({"storage": "cloth"}, "There is no storage cloth"),
        ({"bus": "usb"}, "There is no bus usb"),
        ({"cache": "much"}, "There is no cache much"),
        ({"cache": "writeback"}, "cache writeback would show one of them"),
        ({"nodes": ["n2"]}, "n1, which is to own it, is not among n2"),
        ({"volume": "../x", "storage": "file", "size": None}, "is no name of a volume"),
        ({"volume": "v", "storage": "drbd", "size": None}, "not as two replicas"),
        ({"volume": "v", "storage": "file", "size": None}, "v cannot be read"),
        ({"volume": "mcv-web1-1", "storage": "lvm", "size": None}, "mcv-web1-1 is disk 1 of web1"),
    ],
)
def test_a_disk_that_cannot_be_is_refused_and_leaves_nothing(
    web1: FakeCluster, options: dict[str, Any], said: str
) -> None:
    before = web1.picture()

    with pytest.raises(Refused) as refused:
        add(web1, **options)

    assert re.search(said, all_of(refused.value))
    assert web1.picture() == before


def test_a_bus_that_cannot_be_plugged_takes_a_disk_while_the_vm_is_stopped(
    running: FakeCluster,
) -> None:
    for bus in ("sata", "ide"):
        with pytest.raises(Refused) as refused:
            add(running, bus=bus)
        assert f"A disk on bus {bus} is added while web1 is stopped" in all_of(refused.value)

    running.run("n1", power.stop, name="web1")
    add(running, bus="sata")
    assert defined(running) == ["vda", "sdb"]


def test_ide_has_room_for_four_where_the_machine_has_it(web1: FakeCluster) -> None:
    for _ in range(3):
        add(web1, storage="file")

    with pytest.raises(Refused) as refused:
        add(web1, storage="file", bus="ide")

    said = all_of(refused.value)
    assert "Bus ide has room for disks 1 to 4, and this is disk 5" in said
    assert "The machine of web1" in said and "has no IDE" in said


def test_what_holds_the_vm_holds_its_disks(web1: FakeCluster) -> None:
    web1.run("n1", change.lock, name="web1")
    for verb, params in (
        (disk_add.add, {"size": "32MiB"}),
        (disk_grow.grow, {"disk": 1, "size": "128MiB"}),
        (disk_set.set_, {"disk": 1, "values": {"iops": "5"}}),
        (disk_remove.remove, {"disk": 1}),
    ):
        with pytest.raises(Refused, match="locked by an administrator"):
            web1.run("n1", verb, name="web1", **params)
    web1.run("n1", change.unlock, name="web1")

    web1.hosts["n1"].update("vm.claim", "a test", name="web1", why="a test")
    with pytest.raises(Busy, match="web1 is busy"):
        add(web1)


def test_a_saved_guest_keeps_the_disks_that_it_has(running: FakeCluster) -> None:
    running.domains["n1"].saved.save("web1")

    with pytest.raises(Refused, match="web1 is saved on n1") as refused:
        add(running)

    # No command about disks has a word for it.
    assert refused.value.hint.endswith("with: mcv start web1 --discard-saved")


@pytest.mark.parametrize("broken", ["attach", "define"])
def test_a_disk_that_cannot_be_plugged_in_is_taken_back(running: FakeCluster, broken: str) -> None:
    before = running.picture()
    running.domains["n1"].broken.add(broken)
    if broken == "define":
        with pytest.raises((Failed, RepairNeeded)):
            add(running)
        return

    with pytest.raises(Failed, match="failed and was undone"):
        add(running)

    after = running.picture()
    assert after["n1"][2:] == before["n1"][2:] and after["n2"][2:] == before["n2"][2:]
    assert ids(running) == [1] and defined(running) == live(running) == ["vda"]
    # No id comes back, also where its disk never was.
    running.domains["n1"].broken.clear()
    assert add(running).disk == 3


# Taken away


def test_a_disk_of_a_running_vm_goes_when_its_guest_lets_go(running: FakeCluster) -> None:
    add(running)

    running.run("n1", disk_remove.remove, name="web1", disk=2)

    assert ids(running) == [1] and live(running) == defined(running) == ["vda"]
    assert [set(door.made) for door in running.lvm.values()] == [{"mcv-web1-1"}] * 2
    assert running.drbd["n1"].status("mcv-web1-2") is None
    assert add(running).disk == 3


def test_nobody_resumes_a_removal_that_is_at_work(running: FakeCluster) -> None:
    """The loop of the daemon looks at the journal while the removal's second half runs."""
    add(running)
    host, looks = running.hosts["n1"], list[str]()

    def look(caller: str, node: str, operation: str) -> None:
        if operation == "volume.remove" and not looks:
            looks.append(operation)
            contextvars.Context().run(journal_recovery.resume_all, host, patience=False)
            assert host.journal.entries() and journal_recovery.left(host) == []

    running.answered = look
    running.run("n1", disk_remove.remove, name="web1", disk=2)

    assert looks and ids(running) == [1] and host.journal.entries() == []
    assert [row["title"] for row in host.jobs.listed()][-2:] == ["add", "remove"]


def test_a_removal_that_the_loop_was_quicker_to_end_is_done(
    running: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(running)
    host, late = running.hosts["n1"], disk_remove.finish

    def second(*words: Any) -> None:
        monkeypatch.setattr(disk_remove, "finish", late)
        contextvars.Context().run(disk_remove.reconcile, host)
        raise Busy("web1 is busy: remove disk 2 of web1.")

    monkeypatch.setattr(disk_remove, "finish", second)
    running.run("n1", disk_remove.remove, name="web1", disk=2)

    assert ids(running) == [1]


def test_a_guest_that_does_not_let_go_keeps_its_disk_until_it_stops(running: FakeCluster) -> None:
    add(running)
    running.domains["n1"].disks.deaf.add("web1")

    with pytest.raises(DoneInPart, match=r"has not let go of disk 2 \(vdb\)\.$"):
        running.run("n1", disk_remove.remove, name="web1", disk=2)

    assert disks.list_(running.hosts["n1"], "web1")[1].leaving
    told = [found.message for found in vms.list_(running.hosts["n1"])[0].findings]
    assert "Disk 2 of web1 is leaving: its guest has not let go of it." in told
    assert "mcv-web1-2" in running.lvm["n1"].made and live(running) == ["vda", "vdb"]
    assert running.drbd["n1"].status("mcv-web1-2").role == "Primary"  # type: ignore[union-attr]
    disk_remove.reconcile(running.hosts["n1"])
    assert ids(running) == [1, 2]
    with pytest.raises(Refused, match="leaving: its guest has not let go"):
        running.run("n1", disk_grow.grow, name="web1", disk=2, size="128MiB")

    running.run("n1", power.stop, name="web1")
    disk_remove.reconcile(running.hosts["n1"])
    assert ids(running) == [1] and "mcv-web1-2" not in running.lvm["n1"].made


def test_a_disk_that_leaves_is_gone_for_a_guest_that_starts_anew(running: FakeCluster) -> None:
    add(running, storage="file")
    running.domains["n1"].disks.deaf.add("web1")
    with pytest.raises(DoneInPart):
        running.run("n1", disk_remove.remove, name="web1", disk=2, keep=True)
    volume = running.read().vm("web1").disk(2).volume
    running.run("n1", power.stop, name="web1")

    running.run("n1", power.start, name="web1")
    assert live(running) == ["vda"]
    disk_remove.reconcile(running.hosts["n1"])

    assert ids(running) == [1] and running.read().vm("web1").nodes == ("n1", "n2")
    assert volume in running.directories["n1"].made[DEFAULT_LOCATION]


def test_a_replica_that_leaves_is_not_opened_any_more(running: FakeCluster) -> None:
    add(running)
    running.domains["n1"].disks.deaf.add("web1")
    with pytest.raises(DoneInPart):
        running.run("n1", disk_remove.remove, name="web1", disk=2)
    running.run("n1", power.stop, name="web1")

    running.run("n1", power.start, name="web1")

    assert running.drbd["n1"].status("mcv-web1-2").role == "Secondary"  # type: ignore[union-attr]
    assert live(running) == ["vda"]


def test_a_reset_has_the_guest_let_go(running: FakeCluster) -> None:
    add(running, storage="lvm")
    running.domains["n1"].disks.deaf.add("web1")
    with pytest.raises(DoneInPart):
        running.run("n1", disk_remove.remove, name="web1", disk=2)

    running.run("n1", power.reset, name="web1")
    disk_remove.reconcile(running.hosts["n1"])

    assert ids(running) == [1] and live(running) == ["vda"]


def test_a_disk_that_something_else_has_open_stays_whole(web1: FakeCluster) -> None:
    add(web1, storage="file")
    path = FILE + web1.read().vm("web1").disk(2).volume
    web1.directories["n1"].open[path] = [Holder(name="qemu-nbd", pid=7)]

    with pytest.raises(RepairNeeded, match="is open on n1"):
        web1.run("n1", disk_remove.remove, name="web1", disk=2)

    assert web1.directories["n1"].exists(DEFAULT_LOCATION, path.rpartition("/")[2])


def test_a_disk_is_not_removed_while_a_node_of_its_is_away(web1: FakeCluster) -> None:
    document = web1.read()
    away = document.with_node(replace(document.node("n2"), status="offline"))
    for agreement in web1.agreements.values():
        agreement.store.begin(away)

    with pytest.raises(Refused, match="n2 is offline"):
        web1.run("n1", disk_remove.remove, name="web1", disk=1)


# Kept, and taken back


@pytest.mark.parametrize("storage", ["file", "lvm"])
def test_a_volume_that_was_kept_is_taken_back(running: FakeCluster, storage: str) -> None:
    add(running, storage=storage)
    volume = running.read().vm("web1").disk(2).volume
    answer = running.run("n1", disk_remove.remove, name="web1", disk=2, keep=True)
    assert answer.kept == [volume]

    add(running, size=None, storage=storage, volume=volume)

    disk = running.read().vm("web1").disk(3)
    assert (disk.volume, disk.size) == (volume, 32 * MIB)
    assert live(running) == ["vda", "vdc"] and volume not in running.lvm["n1"].foreign


def test_a_volume_of_another_size_or_in_use_is_not_taken_back(web1: FakeCluster) -> None:
    add(web1, storage="lvm")
    web1.run("n1", disk_remove.remove, name="web1", disk=2, keep=True)

    with pytest.raises(Refused, match="mcv-web1-2 has 32MiB, not 64MiB"):
        add(web1, size="64MiB", storage="lvm", volume="mcv-web1-2")
    web1.directories["n1"].open["/dev/vg0/mcv-web1-2"] = [Holder(name="mount")]
    with pytest.raises(Refused, match="mcv-web1-2 is open"):
        add(web1, size=None, storage="lvm", volume="mcv-web1-2")


def test_a_failed_return_of_a_volume_leaves_its_bytes(running: FakeCluster) -> None:
    add(running, storage="lvm")
    running.run("n1", disk_remove.remove, name="web1", disk=2, keep=True)
    running.domains["n1"].broken.add("attach")

    with pytest.raises(Failed):
        add(running, size=None, storage="lvm", volume="mcv-web1-2")

    assert running.lvm["n1"].made["mcv-web1-2"] == 32 * MIB
    assert "mcv-web1-2" in running.lvm["n1"].foreign


# Grown


def test_a_replicated_disk_grows_on_both_nodes_and_its_guest_is_told(
    running: FakeCluster,
) -> None:
    answer = running.run("n1", disk_grow.grow, name="web1", disk=1, size="126MiB")

    assert (answer.size, answer.told) == (128 * MIB, True)
    assert running.read().vm("web1").disk(1).size == 128 * MIB
    for name in ("n1", "n2"):
        assert running.lvm[name].made["mcv-web1-1"] > 128 * MIB
        assert not running.lvm[name].dirty.get("mcv-web1-1")
        assert running.drbd[name].status("mcv-web1-1").size >= 128 * MIB  # type: ignore[union-attr]
    assert running.domains["n1"].disks.capacity("web1", "vda") == 128 * MIB


def test_a_stopped_vms_disks_grow_and_are_closed_again(web1: FakeCluster) -> None:
    add(web1, storage="file")
    add(web1, storage="lvm")

    for disk in (1, 2, 3):
        web1.run("n1", disk_grow.grow, name="web1", disk=disk, size="128MiB")

    assert [disk.size for disk in web1.read().vm("web1").disks] == [128 * MIB] * 3
    volume = web1.read().vm("web1").disk(2).volume
    assert web1.directories["n1"].made[DEFAULT_LOCATION][volume] == 128 * MIB
    assert web1.lvm["n1"].made["mcv-web1-3"] == 128 * MIB
    assert not any(web1.lvm["n1"].dirty.values())
    assert web1.drbd["n1"].status("mcv-web1-1").role == "Secondary"  # type: ignore[union-attr]


def test_qemu_itself_makes_a_file_larger_that_it_has_open(running: FakeCluster) -> None:
    add(running, storage="file")
    running.directories["n1"].broken.add("grow")

    running.run("n1", disk_grow.grow, name="web1", disk=2, size="128MiB")

    assert running.domains["n1"].disks.capacity("web1", "vdb") == 128 * MIB


@pytest.mark.parametrize(
    ("size", "said"),
    [
        ("64MiB", "Disk 1 of web1 has 64MiB: a disk does not shrink"),
        ("32MiB", "Disk 1 of web1 has 64MiB: a disk does not shrink"),
        ("1TiB", "Pool lvm .* on n2 has .* free"),
    ],
)
def test_a_size_that_cannot_be_is_refused(running: FakeCluster, size: str, said: str) -> None:
    before = running.picture()

    with pytest.raises(Refused) as refused:
        running.run("n1", disk_grow.grow, name="web1", disk=1, size=size)

    assert re.search(said, all_of(refused.value))
    assert running.picture() == before


def test_a_volume_that_is_larger_than_its_disk_is_not_made_smaller(web1: FakeCluster) -> None:
    add(web1, storage="lvm")
    web1.lvm["n1"].extend("vg0", "mcv-web1-2", 128 * MIB)

    with pytest.raises(Refused, match="has 128MiB already"):
        web1.run("n1", disk_grow.grow, name="web1", disk=2, size="64MiB")
    web1.run("n1", disk_grow.grow, name="web1", disk=2, size="128MiB")

    assert web1.read().vm("web1").disk(2).size == 128 * MIB


def test_the_step_itself_refuses_less_than_there_is(web1: FakeCluster) -> None:
    add(web1, storage="lvm")
    add(web1, storage="file")
    host = web1.hosts["n1"]

    for disk in (2, 3):
        with pytest.raises(McvError, match="does not shrink"):
            growth.grow(host, "web1", disk, size=16 * MIB, was=32 * MIB)


def test_a_growth_that_fails_on_one_side_leaves_larger_zeroed_volumes(
    running: FakeCluster,
) -> None:
    running.lvm["n2"].broken.add("extend")

    with pytest.raises(Failed, match="failed and was undone"):
        running.run("n1", disk_grow.grow, name="web1", disk=1, size="128MiB")

    assert running.read().vm("web1").disk(1).size == 64 * MIB
    assert running.lvm["n1"].made["mcv-web1-1"] > 128 * MIB
    assert not running.lvm["n1"].dirty.get("mcv-web1-1")
    running.lvm["n2"].broken.clear()
    running.run("n1", disk_grow.grow, name="web1", disk=1, size="128MiB")
    assert running.drbd["n2"].status("mcv-web1-1").size >= 128 * MIB  # type: ignore[union-attr]


def test_what_a_growth_added_is_zeroed_on_its_way_back(running: FakeCluster) -> None:
    running.lvm["n1"].broken.add("zero")

    with pytest.raises(RepairNeeded, match="not undone yet"):
        running.run("n1", disk_grow.grow, name="web1", disk=1, size="128MiB")
    assert running.lvm["n1"].dirty["mcv-web1-1"]
    running.lvm["n1"].broken.clear()
    journal_recovery.resume_all(running.hosts["n1"], patience=False)

    assert not running.lvm["n1"].dirty["mcv-web1-1"]
    vm = running.read().vm("web1")
    assert (vm.disk(1).size, vm.claim) == (64 * MIB, None)


def test_a_replica_that_is_out_of_step_does_not_grow(running: FakeCluster) -> None:
    running.drbd["n2"].disconnect("mcv-web1-1")

    with pytest.raises(Failed, match="grows while both replicas are UpToDate"):
        running.run("n1", disk_grow.grow, name="web1", disk=1, size="128MiB")

    assert running.read().vm("web1").disk(1).size == 64 * MIB


# Set


def test_limits_count_at_once_and_the_rest_from_the_next_start_on(running: FakeCluster) -> None:
    values = {"iops": "500", "bandwidth": "10MiB", "discard": "no", "cache": "directsync"}

    answer = running.run("n1", disk_set.set_, name="web1", disk=1, values=values)

    assert running.domains["n1"].disks.limits("web1", "vda") == (500, 10 * MIB)
    assert answer.pending == ["discard no", "cache directsync"]
    assert answer.said == "500 iops, bandwidth 10MiB/s, discard no, cache directsync"
    xml = running.domains["n1"].defined["web1"]
    assert "<total_iops_sec>500</total_iops_sec>" in xml and 'cache="directsync"' in xml
    assert f"<total_bytes_sec>{10 * MIB}</total_bytes_sec>" in xml
    running.run("n1", disk_set.set_, name="web1", disk=1, values={"iops": "0", "bandwidth": "0"})
    assert running.domains["n1"].disks.limits("web1", "vda") == (0, 0)


def test_a_bus_changes_while_the_vm_is_stopped(running: FakeCluster) -> None:
    with pytest.raises(Refused, match="web1 is running"):
        running.run("n1", disk_set.set_, name="web1", disk=1, values={"bus": "scsi"})
    running.run("n1", power.stop, name="web1")

    running.run("n1", disk_set.set_, name="web1", disk=1, values={"bus": "scsi"})

    assert defined(running) == ["sda"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"colour": "red"}, "A disk has no setting colour"),
        ({"iops": "-1"}, "iops=-1 makes no sense"),
        ({"bandwidth": "fast"}, "'fast' is no size"),
        ({"discard": "maybe"}, "discard=maybe makes no sense"),
        ({"cache": "unsafe"}, "cache unsafe would show"),
        ({}, "There is nothing to change"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(
    running: FakeCluster, values: dict[str, str], said: str
) -> None:
    with pytest.raises(Refused, match=said):
        running.run("n1", disk_set.set_, name="web1", disk=1, values=values)


def test_a_disk_that_is_not_there_is_told(web1: FakeCluster) -> None:
    for verb, params in (
        (disk_grow.grow, {"size": "128MiB"}),
        (disk_set.set_, {"values": {"iops": "5"}}),
        (disk_remove.remove, {}),
    ):
        with pytest.raises(NotFound, match="web1 has no disk 7"):
            web1.run("n1", verb, name="web1", disk=7, **params)


def test_the_last_disk_can_go_and_another_can_come(web1: FakeCluster) -> None:
    web1.run("n1", disk_remove.remove, name="web1", disk=1)
    assert web1.read().vm("web1").storage == "none"

    add(web1)

    assert ids(web1) == [2]
    web1.run("n1", create.create, name="web2", memory="64MiB", disks=["64MiB"])
    assert web1.read().vm("web2").disk(1).id == 1
