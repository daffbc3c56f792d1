"""What pools look like: in pool list, in info, in list and in the check."""

from typing import Any

import pytest
from msgspec.structs import replace

from mcv.check import runner
from mcv.commands.info import cluster_text
from mcv.rules.finding import Finding, Severity
from mcv.status import cluster as status_cluster
from mcv.status import findings, vms
from mcv.status import pools as status_pools
from mcv.status.report import reports
from mcv.storage import pools, rooms
from mcv.system.answers import plain
from mcv.vm import create, power
from tests.fakes.cluster import FakeCluster
from tests.fakes.directories import STATE

DIR = "/srv/fast"
GIB = 1024**3


@pytest.fixture
def web1(cluster: FakeCluster) -> FakeCluster:
    """A VM with a disk of 1 GiB in the pool fast, a directory, on n1."""
    for node in cluster.hosts:
        cluster.directories[node].make(DIR)
    cluster.run("n1", pools.create, name="fast", type="dir", location=DIR)
    cluster.run("n1", create.create, name="web1", memory="1GiB", disks=["1GiB"], pool="fast")
    return cluster


def fill(cluster: FakeCluster, percent: int) -> None:
    about = cluster.directories["n1"].at(DIR)
    about.free = about.size * (100 - percent) // 100


def listed(cluster: FakeCluster, name: str, node: str) -> Any:
    (row,) = (row for row in status_pools.list_(cluster.hosts["n1"]) if row.name == name)
    return plain(row.nodes[node])


def checked(cluster: FakeCluster, subject: str) -> list[tuple[str, str, str]]:
    return [
        (str(finding.severity), finding.node, finding.message)
        for finding in runner.check(cluster.hosts["n1"]).findings
        if finding.subject == subject
    ]


def test_a_pool_is_listed_with_the_room_of_each_node(web1: FakeCluster) -> None:
    fill(web1, 50)

    assert [row.name for row in status_pools.list_(web1.hosts["n2"])] == ["default", "fast"]
    assert listed(web1, "fast", "n1") == {
        "location": DIR,
        "size": 64 * GIB,
        "free": 32 * GIB,
        "used_percent": 50.0,
        "ok": True,
        "problem": None,
    }


def test_what_a_node_cannot_tell_is_its_problem(web1: FakeCluster) -> None:
    web1.directories["n1"].at(DIR).hangs = True
    web1.down.add("n2")

    hung, silent = listed(web1, "fast", "n1"), listed(web1, "fast", "n2")

    assert (hung["ok"], hung["problem"], hung["size"]) == (False, f"{DIR} does not answer.", None)
    assert (silent["ok"], silent["problem"]) == (False, "n2 does not answer.")


@pytest.mark.parametrize(
    ("percent", "severity", "words"),
    [(79, "", ""), (80, "warning", "is nearly full: 80% used"), (95, "error", "is full: 95% used")],
)
def test_a_pool_that_fills_up_is_told_everywhere(
    web1: FakeCluster, percent: int, severity: str, words: str
) -> None:
    fill(web1, percent)

    (row,) = vms.list_(web1.hosts["n2"])
    attention = status_cluster.info(web1.hosts["n2"]).attention

    said = f"Pool fast ({DIR}) on n1 {words}"
    assert [line.startswith(said) for line in attention] == ([True] if severity else [])
    assert (row.attention or "").startswith(said if severity else "")
    assert [(finding[0], finding[1]) for finding in checked(web1, "fast")] == (
        [(severity, "n1")] if severity else []
    )


def test_the_metadata_of_a_thin_pool_counts_as_well(cluster: FakeCluster) -> None:
    cluster.lvm["n1"].make_pool("thin", used=3.0)
    cluster.run("n1", pools.create, name="thin", type="thin", location="vg0/thin", on=["n1"])
    cluster.run("n1", create.create, name="web1", memory="64MiB", disks=["4MiB"], storage="thin")
    cluster.lvm["n1"].make_pool("thin", used=3.0, metadata=97.0)

    (row,) = vms.list_(cluster.hosts["n1"])

    assert row.attention and "is full: 97% of its metadata used: Make room" in row.attention
    assert listed(cluster, "thin", "n1")["problem"] == "97% of its metadata used"


def test_a_pool_that_no_disk_lies_in_needs_nobody(cluster: FakeCluster) -> None:
    cluster.directories["n1"].at("/var/lib/mcv/pool").free = 0

    assert status_cluster.info(cluster.hosts["n1"]).attention == []
    assert checked(cluster, "default") == []


def test_the_pool_of_every_node_is_missed_by_the_check(cluster: FakeCluster) -> None:
    del cluster.directories["n2"].made["/var/lib/mcv/pool"]

    ((severity, node, message),) = checked(cluster, "default")

    assert (severity, node) == ("error", "n2")
    assert message.startswith("Pool default cannot be used on n2: There is no directory")


def test_a_guest_that_paused_in_a_full_pool_is_told_which(web1: FakeCluster) -> None:
    web1.run("n1", power.start, name="web1")
    web1.domains["n1"].pause("web1")
    web1.domains["n1"].io_errors.add("web1")
    fill(web1, 100)

    (row,) = vms.list_(web1.hosts["n1"])

    assert row.attention == (
        "web1 is paused on n1: pool fast on n1 is full (100% used): "
        "make room there; then: mcv resume web1"
    )


def test_the_takeover_of_an_offline_nodes_vm_comes_before_its_pools(
    web1: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = Finding(severity=Severity.ERROR, message="Pool fast is full.")
    monkeypatch.setattr(status_pools, "of_vm", lambda *_: [full])
    seen = {"n2": reports(web1.hosts["n2"])["n2"]}
    cluster = web1.read()
    assert full in findings.of_vm(cluster, cluster.vm("web1"), seen)

    cluster = cluster.with_node(replace(cluster.node("n1"), status="offline"))
    first, *others = findings.of_vm(cluster, cluster.vm("web1"), seen)

    assert first.message == "web1 belongs to n1, which is offline."
    assert [finding.message for finding in others] == ["Pool fast is full."]


def test_info_tells_memory_and_room_free_and_spoken_for(web1: FakeCluster) -> None:
    web1.down.add("n2")

    here, there = plain(status_cluster.info(web1.hosts["n1"]))["nodes"]

    assert here["memory"]["spoken_for"] == GIB
    assert here["memory"]["total"] >= here["memory"]["free"] > 0
    assert here["room"]["fast"] == {"total": 64 * GIB, "free": 64 * GIB, "spoken_for": GIB}
    assert there["memory"] == {"total": None, "free": None, "spoken_for": 0}
    assert there["room"]["fast"] == {"total": None, "free": None, "spoken_for": None}


def test_the_room_of_nodes_fits_a_terminal(web1: FakeCluster) -> None:
    said = cluster_text(plain(status_cluster.info(web1.hosts["n1"])))

    (row,) = (line.split() for line in said.splitlines() if line.split()[:2] == ["n1", "fast"])
    assert row[2:] == ["64GiB", "64GiB", "1GiB"]
    assert max(map(len, said.splitlines())) <= 80


def test_the_check_tells_a_pool_beside_the_state(
    web1: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rooms, "FRESH", 0.0)
    assert checked(web1, "default") == checked(web1, "fast") == []
    web1.directories["n1"].at(DIR).device = STATE
    web1.run("n1", create.create, name="w2", memory="64MiB", disks=["4MiB"], pool="default")

    ((severity, _, message),) = checked(web1, "fast")
    assert severity == "warning" and "is in one file system with mcv's state" in message
    assert [found[:2] for found in checked(web1, "default")] == [("note", "n1")]
