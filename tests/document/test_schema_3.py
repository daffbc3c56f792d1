"""What a document of before becomes in schema 3: its volume groups are pools."""

import pytest
from msgspec.structs import replace

from mcv.document.disks import DrbdDisk
from mcv.document.model import Cluster, decode, encode
from mcv.document.pools import Pool
from mcv.system.answers import plain as as_plain
from tests.documents import after, disk, document, vm


def with_groups(*places: dict[str, str], schema: int = 1) -> Cluster:
    """A document with a VM a disk, web1 with the first places."""
    base = replace(document("n1", "n2", "n3"), schema=schema)
    for number, where in enumerate(places, start=1):
        name = f"web{number}"
        one = disk(name, minor=99 + number, port=7899 + number, places=where)
        base = base.with_vm(vm(name, disks=(one,), nodes=tuple(where)))
    return base


STORIES: list[tuple[str, list[dict[str, str]], list[str], dict[str, dict[str, str]]]] = [
    ("no disk, no pool", [], [], {}),
    (
        "one group everywhere",
        [{"n1": "vg0", "n2": "vg0"}, {"n2": "vg0", "n3": "vg0"}],
        ["lvm", "lvm"],
        {"lvm": {"n1": "vg0", "n2": "vg0", "n3": "vg0"}},
    ),
    (
        "a group of another name on each node",
        [{"n1": "vga", "n2": "vgb"}],
        ["lvm"],
        {"lvm": {"n1": "vga", "n2": "vgb"}},
    ),
    (
        "several groups on each node",
        [{"n1": "fast", "n2": "fast"}, {"n1": "slow", "n2": "slow"}],
        ["lvm", "lvm-2"],
        {"lvm": {"n1": "fast", "n2": "fast"}, "lvm-2": {"n1": "slow", "n2": "slow"}},
    ),
    (
        "two groups here, one there",
        [{"n1": "a", "n2": "a"}, {"n1": "b", "n2": "a"}, {"n2": "a", "n3": "c"}],
        ["lvm", "lvm-2", "lvm"],
        {"lvm": {"n1": "a", "n2": "a", "n3": "c"}, "lvm-2": {"n1": "b", "n2": "a"}},
    ),
]


@pytest.mark.parametrize(
    ("places", "pools", "nodes"),
    [pytest.param(*rest, id=story) for story, *rest in STORIES],
)
@pytest.mark.parametrize("schema", [1, 2])
def test_each_volume_group_becomes_a_pool_and_each_disk_is_in_one(
    schema: int, places: list[dict[str, str]], pools: list[str], nodes: dict[str, dict[str, str]]
) -> None:
    old = with_groups(*places, schema=schema)

    new = after(old, "document.schema", schema=3)

    assert new.pools == {name: Pool(type="lvm", nodes=where) for name, where in nodes.items()}
    assert [disk.pool for _, disk in new.replicated()] == pools
    untouched = [replace(disk, pool="") for _, disk in new.replicated()]
    assert untouched == [disk for _, disk in old.replicated()]
    assert decode(encode(new)) == new


def test_every_member_computes_the_same_pools_in_whatever_order_it_holds_the_vms() -> None:
    old = with_groups({"n1": "a", "n2": "a"}, {"n1": "b", "n2": "b"})
    turned = replace(old, vms=dict(reversed(old.vms.items())))

    one, other = (after(base, "document.schema", "a.1", schema=3) for base in (old, turned))

    assert encode(one) == encode(other)


def test_schema_2_has_no_pools_and_the_schema_never_falls() -> None:
    old = with_groups({"n1": "vg0", "n2": "vg0"})

    second = after(old, "document.schema", schema=2)

    assert second.schema == 2 and second.pools == {} and second.vms == old.vms
    third = after(second, "document.schema", schema=3)
    assert after(third, "document.schema", schema=2) is third


def test_a_plan_of_before_adds_its_vm_to_the_pools_of_now() -> None:
    base = after(with_groups({"n1": "vg0", "n2": "vg0"}), "document.schema", schema=3)
    old = vm("web9", disks=(disk("web9", 9, places={"n1": "vg0", "n3": "vg1"}),))

    new = after(base, "vm.add", "job1.0", vm=as_plain(old), why="create")

    (added,) = new.vm("web9").disks
    assert isinstance(added, DrbdDisk) and added.pool == "lvm"
    assert new.pools["lvm"].nodes == {"n1": "vg0", "n2": "vg0", "n3": "vg1"}


def test_a_plan_of_before_is_what_it_was_in_a_document_of_before() -> None:
    base = with_groups(schema=2)

    new = after(base, "vm.add", "job1.0", vm=as_plain(vm()), why="create")

    assert new.pools == {} and new.vm("web1").disks == vm().disks
