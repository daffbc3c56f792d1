"""Changes of disks: what each does to a VM, and when it refuses."""

from typing import Any

import pytest
from msgspec.structs import replace

from mcv.document.disks import FileDisk
from mcv.document.model import Cluster, Vm
from mcv.document.pools import DEFAULT_LOCATION, Pool
from mcv.errors import Busy, McvError, NotFound, Refused
from mcv.system.answers import plain
from tests.documents import after, disk, document, vm

MIB = 1024**2
FILE = FileDisk(id=2, size=MIB, volume="f", pool="default", places={"n1": DEFAULT_LOCATION})
CLAIMED = after(
    document("n1", "n2", "n3").with_vm(vm()), "vm.claim", "job1.1", name="web1", why="disks"
)


def change(base: Cluster, name: str, **params: Any) -> Vm:
    return after(base, name, "job1.2", name="web1", **params).vm("web1")


def with_file(base: Cluster = CLAIMED) -> Cluster:
    return after(base, "disk.add", "job1.2", name="web1", disk=plain(FILE))


def test_a_vm_may_run_where_all_its_disks_are() -> None:
    both = with_file()

    assert [each.id for each in both.vm("web1").disks] == [1, 2]
    assert both.vm("web1").nodes == ("n1",) and both.vm("web1").storage == "mixed"
    assert change(both, "disk.remove", disk=2).nodes == ("n1", "n2")
    assert change(CLAIMED, "disk.remove", disk=1).nodes == ("n1", "n2", "n3")


def test_a_shared_disk_is_on_each_node_of_its_pool() -> None:
    pool = Pool(type="shared", nodes={"n1": "/srv", "n3": "/srv"})
    base = replace(CLAIMED, pools={"nas": pool})
    shared = {"storage": "shared", "id": 2, "size": MIB, "volume": "s", "pool": "nas"}

    assert change(base, "disk.add", disk=shared).nodes == ("n1",)
    alone = after(base, "disk.remove", "job1.2", name="web1", disk=1)
    assert change(alone, "disk.add", disk=shared).nodes == ("n1", "n3")


def test_an_id_is_never_used_twice() -> None:
    gone = after(with_file(), "disk.remove", "job1.3", name="web1", disk=2)

    assert gone.vm("web1").next_disk == 3
    assert change(CLAIMED, "disk.remove", disk=1).next_disk == 2
    with pytest.raises(Busy, match="has, or had, a disk 2 already"):
        change(gone, "disk.add", disk=plain(FILE))
    # A disk that is gone may be removed once more.
    assert after(gone, "disk.remove", "job1.4", name="web1", disk=2) is gone


def test_a_disk_is_marked_and_grows_and_is_set() -> None:
    leaving = change(CLAIMED, "disk.leaving", disk=1, keep=True).disk(1)
    assert (leaving.leaving, leaving.keep) == (True, True)
    assert not change(CLAIMED, "disk.leaving", disk=1, leaving=False).disk(1).leaving
    assert change(CLAIMED, "disk.grow", disk=1, size=128 * MIB).disk(1).size == 128 * MIB
    new = change(CLAIMED, "disk.set", disk=1, bus="scsi", iops=5, discard=True).disk(1)
    assert (new.bus, new.iops, new.discard, new.cache, new.bandwidth) == (
        "scsi",
        5,
        True,
        "none",
        0,
    )


@pytest.mark.parametrize(
    ("name", "params", "error", "said"),
    [
        ("disk.grow", {"disk": 1, "size": MIB}, Refused, "does not shrink"),
        ("disk.grow", {"disk": 7, "size": MIB}, NotFound, "no disk 7"),
        ("disk.leaving", {"disk": 7}, NotFound, "no disk 7"),
        ("disk.set", {"disk": 7, "iops": 1}, NotFound, "no disk 7"),
        (
            "disk.add",
            {"disk": plain(replace(FILE, places={"n2": DEFAULT_LOCATION}))},
            Refused,
            "n1, which owns web1, is no place",
        ),
        ("disk.add", {"disk": plain(replace(FILE, pool="fast"))}, NotFound, "no pool fast"),
        ("disk.add", {"disk": plain(replace(FILE, places={"n9": "/x"}))}, NotFound, "no node n9"),
        ("disk.add", {"disk": plain(disk(number=2, minor=100))}, Busy, "Minor 100"),
        (
            "disk.add",
            {"disk": plain(disk(number=2, volume="mcv-web1-1"))},
            Busy,
            "mcv-web1-1 is disk 1 of web1",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(
    name: str, params: dict[str, Any], error: type[McvError], said: str
) -> None:
    with pytest.raises(error, match=said):
        change(CLAIMED, name, **params)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("disk.add", {"disk": plain(FILE)}),
        ("disk.leaving", {"disk": 1}),
        ("disk.remove", {"disk": 1}),
        ("disk.grow", {"disk": 1, "size": 128 * MIB}),
        ("disk.set", {"disk": 1, "iops": 1}),
    ],
)
def test_a_disk_changes_under_the_claim_of_its_operation_alone(
    name: str, params: dict[str, Any]
) -> None:
    with pytest.raises(Busy, match="not claimed by this operation"):
        after(CLAIMED, name, "job2.1", name="web1", **params)
