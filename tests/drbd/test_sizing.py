"""The real size of disks of before schema 3: written down before anything goes by it."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from mcv.cluster import members, upgrade
from mcv.drbd import enable, sizing
from mcv.errors import Busy, CommandFailed, McvError, Refused
from mcv.vm import create, migrate
from tests.documents import after, disk, document, of_schema, vm
from tests.fakes.cluster import FakeCluster

MIB = 1024**2
ASKED = 64 * MIB
REAL = ASKED + 4153344  # what DRBD makes of a volume of 68 MiB
RESOURCE = "mcv-web1-1"


@pytest.fixture
def old(cluster: FakeCluster) -> FakeCluster:
    """web1 was made by an mcv of schema 1: its device is larger than the document says."""
    begin(cluster, of_schema(1, cluster.read()))
    cluster.run("n1", create.create, name="web1", memory="64MiB", disks=["64MiB"])
    cluster.world.sizes[RESOURCE] = REAL
    assert " size " not in text(cluster, "n1")
    return cluster


def begin(cluster: FakeCluster, first: Any) -> None:
    for agreement in cluster.agreements.values():
        agreement.store.begin(first)
    for name in cluster.hosts:
        cluster.look(name)


def text(cluster: FakeCluster, node: str) -> str:
    path = cluster.hosts[node].settings.drbd_directory / f"{RESOURCE}.res"
    return path.read_text()


def turn(cluster: FakeCluster, *nodes: str) -> None:
    """A round of the first loop on each node, as far as it is about schema and sizes."""
    for name in nodes or tuple(cluster.hosts):
        if name not in cluster.down:
            cluster.look(name)
            upgrade.raise_schema(cluster.hosts[name])
            sizing.write_real_sizes(cluster.hosts[name])
            enable.adjust(cluster.hosts[name])


def of_web1(cluster: FakeCluster) -> tuple[int, bool, str]:
    found = cluster.read().vm("web1").replica(1)
    return found.size, found.exact, found.pool


def test_an_upgraded_disk_is_as_large_as_its_device_and_drbd_is_told_so(old: FakeCluster) -> None:
    before = text(old, "n1")

    turn(old)
    turn(old)

    assert of_web1(old) == (REAL, True, "lvm")
    assert old.world.sizes[RESOURCE] == REAL
    for node in ("n1", "n2"):
        assert f"size {REAL // 512}s;" in text(old, node)
    added = set(text(old, "n1").splitlines()) - set(before.splitlines())
    assert [line.strip() for line in added] == [f"size {REAL // 512}s;"]


def test_nothing_is_sized_in_a_document_of_before(
    old: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in old.hosts:
        old.look(name)
        sizing.write_real_sizes(old.hosts[name])

    assert of_web1(old) == (ASKED, False, "")


def loses_its_disk(cluster: FakeCluster) -> None:
    cluster.drbd["n2"].detach(RESOURCE)


def is_down(cluster: FakeCluster) -> None:
    cluster.drbd["n2"].down(RESOURCE)


def tells_another_size(cluster: FakeCluster) -> None:
    cluster.bend = lambda node, operation, answer: (
        {RESOURCE: REAL - 4096} if operation == "drbd.sizes" else answer
    )


def tells_nonsense(cluster: FakeCluster) -> None:
    cluster.bend = lambda node, operation, answer: (
        {RESOURCE: "large"} if operation == "drbd.sizes" else answer
    )


def knows_no_sizes(cluster: FakeCluster) -> None:
    def spy(caller: str, node: str, operation: str) -> None:
        if operation == "drbd.sizes":
            raise McvError("There is no operation drbd.sizes.")

    cluster.spy = spy


@pytest.mark.parametrize(
    "trouble", [loses_its_disk, is_down, tells_another_size, tells_nonsense, knows_no_sizes]
)
def test_a_disk_waits_until_both_nodes_tell_its_size(
    old: FakeCluster, trouble: Callable[[FakeCluster], None]
) -> None:
    before = text(old, "n1")
    trouble(old)

    turn(old)
    turn(old)

    assert of_web1(old) == (ASKED, False, "lvm")
    assert text(old, "n1") == before


def test_a_disk_of_a_node_that_is_offline_waits_until_it_is_back(
    old: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(members, "answers_at_all", lambda *_: False)
    old.down.add("n2")
    old.run("n1", members.offline, names=["n2"], confirm_dead=True)
    turn(old, "n1")
    away = of_web1(old)

    old.down.clear()
    old.look("n2")
    members.come_back(old.hosts["n2"])
    turn(old)
    turn(old)

    assert away == (ASKED, False, "lvm") and of_web1(old) == (REAL, True, "lvm")


def test_a_device_smaller_than_the_document_says_is_left_to_the_check(old: FakeCluster) -> None:
    old.world.sizes[RESOURCE] = ASKED - 4096

    turn(old)

    assert of_web1(old) == (ASKED, False, "lvm")


def test_a_vm_that_is_being_moved_is_sized_afterwards(old: FakeCluster) -> None:
    turn(old, "n1")
    begin(old, of_schema(3, after_unsized(old)))
    seen: list[tuple[int, bool, str]] = []

    def spy(caller: str, node: str, operation: str) -> None:
        if operation == "vm.define":
            sizing.write_real_sizes(old.hosts["n1"])
            seen.append(of_web1(old))

    old.spy = spy
    old.run("n1", migrate.migrate, name="web1", to="n2")
    old.spy = lambda *_: None
    turn(old)

    assert seen == [(ASKED, False, "lvm")] and of_web1(old) == (REAL, True, "lvm")


def after_unsized(cluster: FakeCluster) -> Any:
    """The document with web1 as it was before it was sized."""
    found = cluster.read().vm("web1")
    whole = replace(found.replica(1), size=ASKED, exact=False)
    return cluster.read().with_vm(found.with_disk(whole))


def test_a_new_disk_has_its_size_in_its_file_from_the_beginning(cluster: FakeCluster) -> None:
    cluster.run("n1", create.create, name="web1", memory="64MiB", disks=["64MiB"])

    assert of_web1(cluster) == (ASKED, True, "lvm")
    assert cluster.world.sizes[RESOURCE] == ASKED
    for node in ("n1", "n2"):
        assert f"        size {ASKED // 512}s;\n" in text(cluster, node)


def test_no_file_is_written_that_would_cut_a_device(old: FakeCluster) -> None:
    turn(old)
    found = old.read().vm("web1")
    begin(old, old.read().with_vm(found.with_disk(replace(found.replica(1), size=ASKED))))
    before = text(old, "n1")

    turn(old)

    assert text(old, "n1") == before and old.world.sizes[RESOURCE] == REAL


def test_a_file_that_would_cut_the_device_is_not_taken_up(cluster: FakeCluster) -> None:
    cluster.run("n1", create.create, name="web1", memory="64MiB", disks=["64MiB"])
    cluster.world.sizes[RESOURCE] = REAL

    with pytest.raises(CommandFailed, match="gives the device 67108864 bytes"):
        cluster.drbd["n1"].adjust(RESOURCE)

    assert cluster.world.sizes[RESOURCE] == REAL


UNSIZED = document().with_vm(vm())
REFUSALS = [
    ("less than it has", UNSIZED, 64 * MIB - 512, Refused),
    ("no whole sectors", UNSIZED, 64 * MIB + 100, Refused),
    ("a document of before", replace(UNSIZED, schema=2), 68 * MIB, Refused),
    ("claimed", after(UNSIZED, "vm.claim", "j.1", name="web1", why="x"), 68 * MIB, Busy),
]


@pytest.mark.parametrize(("base", "size", "error"), [row[1:] for row in REFUSALS])
def test_what_no_disk_is_sized_to(base: Any, size: int, error: type[McvError]) -> None:
    with pytest.raises(error):
        after(base, "disk.sized", name="web1", disk=1, size=size)


def test_a_size_is_written_down_once() -> None:
    once = after(UNSIZED, "disk.sized", name="web1", disk=1, size=68 * MIB)

    assert once.vm("web1").disks == (disk(size=68 * MIB, exact=True),)
    assert after(once, "disk.sized", name="web1", disk=1, size=72 * MIB) is once
