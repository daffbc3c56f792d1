"""Volumes and files of every kind of disk: what a check finds wrong with them, and mends."""

import threading
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from mcv.check import fixes, inventory, runner
from mcv.document.pools import DEFAULT_LOCATION, Pool
from mcv.drbd import roles
from mcv.drivers.lvm import Volume
from mcv.drivers.volume_groups import Group
from mcv.vm import create
from tests.check import faults
from tests.check.faults import one, record
from tests.documents import of_schema
from tests.fakes.cluster import FakeCluster

MIB = 1024**2
SIZE = 64 * MIB
SHARED = "/mnt/vms"
NODES = ("n1", "n2")
BOTH = dict.fromkeys(NODES, "vg0/tp")
Scan = Callable[[], tuple[dict[str, Group], list[Volume]]]
ID = "6d637600-0000-4000-8000-00000000000c"


pytestmark = pytest.mark.usefixtures("units")


@pytest.fixture
def cluster(cluster: FakeCluster) -> FakeCluster:
    """Two nodes with a pool of each type."""
    for name in NODES:
        cluster.lvm[name].make_pool("tp")
        cluster.directories[name].make(SHARED)
        cluster.directories[name].at(SHARED).mark = ID
    pools = {
        "lvm": Pool(type="lvm", nodes=dict.fromkeys(NODES, "vg0")),
        "tp": Pool(type="thin", nodes=BOTH),
        "nfs": Pool(type="shared", nodes=dict.fromkeys(NODES, SHARED), id=ID, locks=NODES),
    }
    record(cluster, lambda document: replace(document, pools=pools))
    return cluster


def look(cluster: FakeCluster, node: str = "n1") -> list[tuple[str, str, str, str]]:
    """What a check finds, but for the note that the default pool is beside mcv's state."""
    return [
        row for row in faults.look(cluster, node) if "file system with mcv's state" not in row[3]
    ]


def make(cluster: FakeCluster, kind: str) -> str:
    """Create web1 with a disk of that kind; the name of its volume."""
    storage, _, pool = kind.partition(" on ")
    where = {"file": "default", "shared": "nfs", "thin": "tp", "lvm": "lvm"}.get(storage, pool)
    nodes = list(NODES) if storage in ("drbd", "shared") else ["n1"]
    cluster.run(
        "n1",
        create.create,
        name="web1",
        memory="64MiB",
        disks=["64MiB"],
        storage=storage,
        pool=where,
        nodes=nodes,
    )
    volume: str = cluster.read().vm("web1").disks[0].volume
    return volume


KINDS = ["file", "lvm", "thin", "shared", "drbd on lvm", "drbd on tp"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_disk_of_each_kind_is_well_as_it_was_made(cluster: FakeCluster, kind: str) -> None:
    make(cluster, kind)

    assert look(cluster) == [] and look(cluster, "n2") == []


def mend_all(cluster: FakeCluster) -> None:
    """What `cluster check --fix` does when everything that it shows is wanted."""
    found = runner.check(cluster.hosts["n1"]).findings
    shown = [row.fix for row in found if row.fix is not None]
    wanted = [{"node": fix.node, "deed": fix.deed, "subject": fix.subject} for fix in shown]
    runner.fix(cluster.hosts["n1"], wanted)


Break = Callable[[FakeCluster, str], object]


def lose_file(location: str) -> Break:
    return lambda cluster, name: [
        cluster.directories[node].made[location].pop(name, None) for node in NODES
    ]


def resize_file(size: int) -> Break:
    return lambda cluster, name: (
        cluster.directories["n1"].made[DEFAULT_LOCATION].update({name: size})
    )


def of_format(format: str) -> Break:
    return lambda cluster, name: cluster.directories["n1"].formats.update(
        {f"{DEFAULT_LOCATION}/{name}": format}  # type: ignore[dict-item]
    )


def hang(cluster: FakeCluster, name: str) -> None:
    cluster.directories["n1"].at(DEFAULT_LOCATION).hangs = True


def lose(cluster: FakeCluster, name: str) -> None:
    del cluster.lvm["n1"].made[name]


def shrink(cluster: FakeCluster, name: str) -> None:
    cluster.lvm["n1"].made[name] = SIZE - 4 * MIB


def switch_off(cluster: FakeCluster, name: str) -> None:
    cluster.lvm["n1"].inactive.add(name)


def put_elsewhere(cluster: FakeCluster, name: str) -> None:
    cluster.lvm["n1"].thin.pop(name, None)


def grow_device(cluster: FakeCluster, name: str) -> None:
    cluster.world.sizes[name] = SIZE + 4 * MIB


def shrink_device(cluster: FakeCluster, name: str) -> None:
    cluster.world.sizes[name] = SIZE - 4 * MIB


FAULTS: list[tuple[str, Break, str, str]] = [
    ("file", lose_file(DEFAULT_LOCATION), "error", "The file {path} of disk 1 of web1 is missing"),
    ("file", resize_file(SIZE - MIB), "error", "The file {path} of disk 1 of web1 has 66060288 by"),
    ("file", resize_file(SIZE + MIB), "warning", "has 68157440 bytes on n1, and the document"),
    ("file", of_format("raw"), "error", "is raw on n1, not qcow2"),
    ("file", hang, "error", "/var/lib/mcv/pool does not answer"),
    ("shared", lose_file(SHARED), "error", "The file {path} of disk 1 of web1 is missing on n1"),
    ("lvm", lose, "error", "The logical volume vg0/{name} of disk 1 of web1 is missing on n1"),
    ("lvm", shrink, "error", "is too small on n1: 62914560 bytes, 67108864 are needed"),
    ("lvm", switch_off, "warning", "is not active on n1"),
    ("thin", lose, "error", "The logical volume vg0/{name} of disk 1 of web1 is missing on n1"),
    ("thin", shrink, "error", "is too small on n1: 62914560 bytes, 67108864 are needed"),
    ("thin", switch_off, "warning", "is not active on n1"),
    ("thin", put_elsewhere, "warning", "lies in none, and the document says vg0/tp"),
    ("drbd on tp", lose, "error", "The logical volume vg0/{name} of disk 1 of web1 is missing"),
    ("drbd on tp", shrink, "error", "is too small on n1: 62914560 bytes, 71303168 are needed"),
    ("drbd on lvm", shrink, "error", "is too small on n1: 62914560 bytes, 71303168 are needed"),
]


@pytest.mark.parametrize(("kind", "fault", "severity", "message"), FAULTS)
def test_what_is_wrong_with_a_volume(
    cluster: FakeCluster, kind: str, fault: Break, severity: str, message: str
) -> None:
    name = make(cluster, kind)
    path = f"{SHARED if kind == 'shared' else DEFAULT_LOCATION}/{name}"

    fault(cluster, name)

    for node in NODES:
        seen = one(look(cluster, node))
        assert seen[:2] == (severity, "n1")
        assert message.format(name=name, path=path) in seen[3]


@pytest.mark.parametrize(
    ("fault", "severity"), [(grow_device, "warning"), (shrink_device, "error")]
)
def test_a_device_of_another_size_than_its_disk_is_told_by_both_nodes(
    cluster: FakeCluster, fault: Break, severity: str
) -> None:
    fault(cluster, make(cluster, "drbd on lvm"))

    found = look(cluster)

    assert [(row[0], row[1]) for row in found] == [(severity, "n1"), (severity, "n2")]
    assert "The device /dev/drbd100 of disk 1 of web1 has" in found[0][3]


def test_a_disk_of_before_is_larger_until_that_is_written_down(cluster: FakeCluster) -> None:
    name = make(cluster, "drbd on lvm")
    cluster.world.sizes[name] = SIZE + 4 * MIB
    record(cluster, lambda document: of_schema(1, document))
    for host in cluster.hosts.values():
        for resource in (host.settings.drbd_directory).glob("*.res"):
            roles.write_file(host, host.read(), host.read().vm("web1").replica(1))
            assert " size " not in resource.read_text()

    found = [row for row in look(cluster) if "/dev/drbd100" in row[3]]

    assert [row[:2] for row in found] == [("note", "n1"), ("note", "n2")]
    assert all("made by an earlier mcv" in row[3] for row in found)


# What belongs to no VM


@pytest.mark.parametrize("kind", ["thin", "drbd on tp"])
def test_a_thin_volume_of_a_vm_is_never_deleted_as_left_over(
    cluster: FakeCluster, kind: str
) -> None:
    name = make(cluster, kind)

    answer = fixes.mend(cluster.hosts["n1"], [{"deed": "remove-volume", "subject": f"vg0/{name}"}])

    assert answer[0].done is False and "belongs to web1" in answer[0].message
    assert name in cluster.lvm["n1"].made


@pytest.mark.parametrize("location", [DEFAULT_LOCATION, SHARED])
def test_a_file_of_no_vm_is_told_once_and_stays(cluster: FakeCluster, location: str) -> None:
    for node in NODES if location == SHARED else NODES[:1]:
        cluster.directories[node].made[location]["mcv-gone-1-01234567.qcow2"] = SIZE
        cluster.directories[node].made[location]["somebody's"] = SIZE

    seen = one(look(cluster))
    mend_all(cluster)

    assert seen[:3] == ("note", "n1", f"{location}/mcv-gone-1-01234567.qcow2")
    assert "mcv-gone-1-01234567.qcow2" in cluster.directories["n1"].made[location]


def test_a_file_that_an_operation_makes_is_not_left_over(cluster: FakeCluster) -> None:
    make(cluster, "file")
    found: list[tuple[str, str, str, str]] = []

    def spy(caller: str, node: str, operation: str) -> None:
        if operation == "vm.define" and not found:
            found.extend(look(cluster))

    cluster.spy = spy
    cluster.run("n1", create.create, name="web2", memory="64MiB", disks=["8MiB"], storage="file")

    assert [row[0] for row in found] == ["note"] and "web2 is being changed" in found[0][3]


def test_an_inactive_volume_is_activated_by_a_fix(cluster: FakeCluster) -> None:
    name = make(cluster, "lvm")
    switch_off(cluster, name)

    mend_all(cluster)

    assert look(cluster) == [] and cluster.lvm["n1"].inactive == set()


def test_a_replica_on_a_thin_volume_comes_up_after_a_boot(cluster: FakeCluster) -> None:
    name = make(cluster, "drbd on tp")
    cluster.drbd["n1"].down(name)
    cluster.lvm["n1"].inactive.add(name)

    roles.bring_up(cluster.hosts["n1"])

    status = cluster.drbd["n1"].status(name)
    assert status is not None and status.both_up_to_date
    assert cluster.lvm["n1"].inactive == set()


# A host that is busy


def test_a_check_scans_lvm_once_on_each_node(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    scans = []

    def counted(node: str, scan: Scan) -> Scan:
        def all_() -> tuple[dict[str, Group], list[Volume]]:
            scans.append(node)
            return scan()

        return all_

    for node in NODES:
        lvm = cluster.lvm[node]
        monkeypatch.setattr(lvm, "all", counted(node, lvm.all))

    assert look(cluster) == []

    assert sorted(scans) == list(NODES)


def test_lvm_that_does_not_answer_is_told_once_and_not_of_each_pool(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on = threading.Event()
    monkeypatch.setattr(inventory, "PATIENCE", 0.3)
    monkeypatch.setattr(inventory, "SCAN", 0.1)
    monkeypatch.setattr(cluster.lvm["n2"], "all", lambda: ({}, []) if goes_on.wait(10) else None)

    found = look(cluster)

    goes_on.set()
    assert [row[:3] for row in found] == [("error", "n2", "LVM")]
