"""Properties of a VM, changed together or not at all, over fake doors."""

from typing import Any

import pytest
from msgspec.structs import replace

from mcv.document import schema
from mcv.document.hardware import Cpu
from mcv.drivers.domain_shape import shape
from mcv.errors import NotFound, Refused
from mcv.status import vms
from mcv.vm import change, delete, disk_remove, pending, power
from mcv.vm.property_choice import Chosen, Judge, PropertyRequest
from tests.fakes.cluster import FakeCluster

MIB = 1024**2
ALL: dict[str, Any] = {
    "memory": "32MiB",
    "cpus": 2,
    "autostart": "yes",
    "cpu_model": "Nehalem",
    "boot": ["net", "disk"],
    "cpu_limit": "150",
    "io_limit": "iops=500,bandwidth=10MiB",
    "watchdog": "reset",
    "video": "virtio",
    "keyboard": "de",
    "clock": "localtime",
    "protect": "yes",
    "description": "Läden & more",
    "tags": ["prod", "web"],
}


@pytest.fixture
def running(vm: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    monkeypatch.setattr(pending, "SETTLING", 0.0)
    vm.run("n1", power.start, name="web1")
    return vm


def update(cluster: FakeCluster, **values: Any) -> Any:
    return cluster.run("n1", change.update, name="web1", **values)


def problems(cluster: FakeCluster, **values: Any) -> str:
    """What an update is refused for; the refusal leaves everything as it was."""
    before = cluster.picture()
    with pytest.raises(Refused) as refused:
        update(cluster, **values)
    assert cluster.picture() == before
    return "\n".join(message for message, _ in refused.value.problems) or str(refused.value)


def test_everything_that_is_named_is_changed_at_once(vm: FakeCluster) -> None:
    generation = vm.read().generation

    update(vm, **ALL)

    web1 = vm.read().vm("web1")
    assert vm.read().generation == generation + 3  # the claim, the change, the release
    assert (web1.memory, web1.cpus, web1.autostart) == (32 * MIB, 2, "yes")
    assert (web1.cpu, web1.boot) == (Cpu(model="Nehalem"), ("net", "disk"))
    assert web1.cpu_limit == 150
    assert {(disk.iops, disk.bandwidth) for disk in web1.disks} == {(500, 10 * MIB)}
    assert (web1.watchdog, web1.video, web1.keyboard, web1.clock) == (
        *("reset", "virtio", "de"),
        "localtime",
    )
    assert (web1.protected, web1.description, web1.tags) == (
        *(True, "Läden & more"),
        ("prod", "web"),
    )


@pytest.mark.parametrize("named", ALL)
def test_what_is_not_named_stays(vm: FakeCluster, named: str) -> None:
    update(vm, **{named: ALL[named]})
    once = vm.read().vm("web1")

    update(vm, **{named: ALL[named]})
    assert vm.read().vm("web1") == once
    update(vm, cpus=7)

    assert vm.read().vm("web1") == replace(once, cpus=7)


def test_each_is_taken_back_by_its_own_word(vm: FakeCluster) -> None:
    before = vm.read().vm("web1")
    update(vm, **ALL)

    update(
        vm,
        memory="64MiB",
        cpus=1,
        autostart="last",
        cpu_model="host-model",
        boot=["disk", "cd"],
        cpu_limit="none",
        io_limit="none",
        watchdog="none",
        video="default",
        keyboard="default",
        clock="utc",
        protect="no",
        description="",
        tags=["-prod,-web", "-unknown"],
    )

    after = vm.read().vm("web1")
    assert replace(after, cpu=None, boot=(), clock="") == before


def test_all_that_is_wrong_is_told_at_once(vm: FakeCluster) -> None:
    said = problems(
        vm,
        memory="much",
        cpus=0,
        autostart="maybe",
        start_delay=-1,
        iso="nothing",
        cpu_model="a b",
        boot=["floppy", "disk", "disk"],
        firmware="coreboot",
        cpu_limit="-5",
        io_limit="speed=9",
        watchdog="bark",
        video="tube",
        keyboard="klingon",
        clock="Europe/Nowhere",
        protect="perhaps",
        description="a\nb",
        tags=["two words", "-a b"],
    )

    assert len(said.splitlines()) == 19, said
    for word in ("'much'", "0 makes", "maybe", "-1", "nothing", "'a b'", "floppy", "twice"):
        assert word in said, word
    for word in ("coreboot", "-5", "speed=9", "bark", "tube", "klingon", "Nowhere", "perhaps"):
        assert word in said, word
    assert "cannot be printed" in said and "'two words'" in said and "'-a b'" in said


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "There is nothing to change"),
        ({"boot": []}, "names no device"),
        ({"firmware": "uefi"}, "has the firmware bios"),
        ({"cpu_limit": "25501"}, "25501 makes no sense"),
        ({"cpu_limit": "1e3"}, "1e3 makes no sense"),
        ({"io_limit": "iops=1,iops=2"}, "makes no sense"),
        ({"io_limit": "iops=1000000001"}, "makes no sense"),
        ({"io_limit": "bandwidth=x"}, "'x'"),
        ({"description": "x" * 1001}, "has 1001 characters"),
        ({"tags": [f"t{number}" for number in range(65)]}, "64 tags, not 65"),
        ({"cpu_model": "baseline"}, "has no processor for all"),
        ({"cpu_model": "Skylake"}, "lacks what web1 needs"),
    ],
)
def test_what_makes_no_sense_changes_nothing(
    vm: FakeCluster, values: dict[str, Any], said: str
) -> None:
    assert said in problems(vm, **values)


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("500", (500, 0)),
        ("10MiB", (0, 10 * MIB)),
        ("10MiB/s,iops=3", (3, 10 * MIB)),
        ("iops=none", (0, 0)),
        ("bandwidth=0", (0, 0)),
    ],
)
def test_a_limit_of_disks_may_be_typed_in_several_ways(
    vm: FakeCluster, text: str, limits: tuple[int, int]
) -> None:
    update(vm, io_limit=text)

    disk = vm.read().vm("web1").disks[0]
    assert (disk.iops, disk.bandwidth) == limits


def test_a_processor_that_one_of_its_nodes_lacks_is_refused_by_name(vm: FakeCluster) -> None:
    vm.domains["n2"].processor.models = ["Nehalem"]

    assert "The processor of n2 lacks what web1 needs (Haswell)" in problems(
        vm, cpu_model="Haswell"
    )
    update(vm, cpu_model="Nehalem")
    vm.hosts["n1"].update(
        "cluster.cpu", "", cpu={"model": "Nehalem", "features": {"aes": "disable"}}
    )
    update(vm, cpu_model="baseline")
    assert vm.read().vm("web1").cpu == Cpu(model="Nehalem", features={"aes": "disable"})


def test_more_memory_than_a_node_has_is_refused(vm: FakeCluster) -> None:
    assert "n2 has" in problems(vm, memory="64TiB") and "less than 64TiB" in problems(
        vm, memory="64TiB"
    )


def test_a_document_of_before_has_no_room_for_new_properties(vm: FakeCluster) -> None:
    older, found = replace(vm.read(), schema=3), list[Refused]()

    Judge(older, older.vm("web1"), Chosen(), found).judge(PropertyRequest(protect="yes"))

    assert [str(problem) for problem in found] == [str(schema.not_yet())]


def test_what_libvirt_can_do_counts_at_once_and_the_rest_is_pending(running: FakeCluster) -> None:
    answer = update(running, **ALL)

    live = shape(running.domains["n1"].xml("web1"))
    assert (live.memory, live.cpus, live.cpu_limit) == (32, 2, 150)
    assert running.domains["n1"].disks.limits("web1", "vda") == (500, 10 * MIB)
    waits = "\n".join(answer.pending)
    for what in ("processor Nehalem", "boot order", "clock localtime", "video virtio", "keyboard"):
        assert what in waits, what
    assert "memory" not in waits and "CPU" not in waits
    running.run("n1", power.stop, name="web1")
    running.run("n1", power.start, name="web1")
    assert vms.info(running.hosts["n2"], "web1").pending == []


def test_labels_are_changed_while_the_vm_is_saved_and_its_domain_is_left_alone(
    running: FakeCluster,
) -> None:
    running.domains["n1"].saved.save("web1")

    update(running, tags=["prod"], protect="yes", description="shop")

    assert running.read().vm("web1").tags == ("prod",)
    assert "--discard-saved" in str(running_refusal(running))


def running_refusal(cluster: FakeCluster) -> str:
    with pytest.raises(Refused) as refused:
        update(cluster, video="vga")
    return f"{refused.value} {refused.value.hint}"


def test_a_protected_vm_and_its_disks_are_not_deleted(vm: FakeCluster) -> None:
    update(vm, protect="yes")
    before = vm.picture()

    for verb, values in ((delete.delete, {}), (disk_remove.remove, {"disk": 1})):
        with pytest.raises(Refused, match="web1 is protected") as refused:
            vm.run("n1", verb, name="web1", **values)
        assert refused.value.hint == "mcv update web1 --protect no"

    assert vm.picture() == before
    update(vm, protect="no")
    vm.run("n1", delete.delete, name="web1")


def test_a_list_passes_all_its_filters(vm: FakeCluster) -> None:
    update(vm, tags=["prod", "web"])
    host = vm.hosts["n2"]

    def names(**asked: Any) -> list[str]:
        return [row.name for row in vms.list_(host, **asked)]

    assert names(tags=["prod"], node="n1", state="stopped") == ["web1"]
    assert names(tags=["prod", "web"]) == ["web1"] and names(tags=["prod", "db"]) == []
    assert names(node="n2") == names(state="running") == []
    assert vms.list_(host)[0].tags == ("prod", "web")
    with pytest.raises(Refused) as refused:
        names(node="n9", state="dancing")
    assert len(refused.value.problems) == 2


def test_an_update_of_an_unknown_vm_is_refused(vm: FakeCluster) -> None:
    with pytest.raises(NotFound):
        vm.run("n1", change.update, name="nothing", cpus=1)
