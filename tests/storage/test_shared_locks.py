"""Locks in shared pools: proved once, and asked before a takeover, which they alone guard."""

from typing import Any

import pytest
from msgspec.structs import replace

from mcv.check import runner
from mcv.cluster import members
from mcv.drivers.directories import LOCK
from mcv.errors import Refused
from mcv.storage import pools, shared_locks
from mcv.vm import create, register
from tests.fakes.cluster import FakeCluster
from tests.fakes.directories import About

DIR = "/mnt/nfs"
UNPROVED = "were not seen to exclude each other"


@pytest.fixture
def nfs(cluster: FakeCluster) -> About:
    """A directory that both nodes see."""
    for directories in cluster.directories.values():
        directories.make(DIR)
        directories.about[DIR] = cluster.directories["n1"].at(DIR)
    return cluster.directories["n1"].at(DIR)


def make(cluster: FakeCluster, **options: Any) -> Any:
    return cluster.run("n1", pools.create, name="nfs", type="shared", location=DIR, **options)


def make_vm(cluster: FakeCluster) -> str:
    """A VM on n1; the name of its shared volume, which each node sees."""
    cluster.run("n1", create.create, name="web1", memory="64MiB", disks=["64MiB"], pool="nfs")
    cluster.directories["n2"].made[DIR] = cluster.directories["n1"].made[DIR]
    return cluster.read().vm("web1").disks[0].volume


@pytest.fixture
def lost(cluster: FakeCluster, nfs: About, monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    """web1's disk is in a pool whose locks are proved; its owner n1 is silent."""
    make(cluster)
    make_vm(cluster)
    lose(cluster, monkeypatch)
    return cluster


def lose(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "answers_at_all", lambda *_: False)
    cluster.down.add("n1")
    cluster.run("n2", members.offline, names=["n1"], confirm_dead=True)


def locks(cluster: FakeCluster) -> tuple[str, ...]:
    return cluster.read().pool("nfs").locks


def test_locks_that_exclude_each_other_are_written_down(cluster: FakeCluster, nfs: About) -> None:
    made = make(cluster)

    assert locks(cluster) == ("n1", "n2") and made.locks == ["n1", "n2"]
    assert made.lock_problems == [] and not nfs.locked and not nfs.probed


def test_a_pool_without_such_locks_is_made_and_says_so(cluster: FakeCluster, nfs: About) -> None:
    nfs.excludes = False

    made = make(cluster)

    assert locks(cluster) == () and made.locks == []
    assert made.lock_problems == ["n2 took the lock that n1 held."]
    assert not nfs.locked and not nfs.probed


def test_a_lock_that_can_never_be_had_is_no_proof(cluster: FakeCluster, nfs: About) -> None:
    nfs.locked.add(LOCK)

    assert make(cluster).lock_problems == ["n2 cannot lock a file that nobody has locked."]
    assert locks(cluster) == ()


def test_a_node_that_sees_no_probe_is_no_proof(cluster: FakeCluster, nfs: About) -> None:
    cluster.directories["n2"].about[DIR] = About()

    plan = make(cluster, dry_run=True)
    (told,) = shared_locks.of_new_pool(
        cluster.hosts["n1"], dict.fromkeys(cluster.hosts, DIR)
    ).problems

    assert plan.plan and "No such file or directory" in told and "n2 and n1" in told


def test_a_new_node_is_proved_beside_those_that_are(cluster: FakeCluster, nfs: About) -> None:
    make(cluster, on=["n1"])
    assert locks(cluster) == ()

    cluster.run("n2", pools.add_node, name="nfs", node="n2")
    assert locks(cluster) == ("n1", "n2")

    cluster.run("n1", pools.remove_node, name="nfs", node="n2")
    assert locks(cluster) == ()
    nfs.excludes = False
    added = cluster.run("n1", pools.add_node, name="nfs", node="n2")
    assert locks(cluster) == () and added.lock_problems == ["n2 took the lock that n1 held."]


def test_a_vm_whose_lock_is_free_is_taken_over(lost: FakeCluster) -> None:
    told = register.prospects(lost.hosts["n2"], "web1")
    lost.run("n2", register.register, name="web1")

    assert "and QEMU's lock of it is free: if n1 runs web1 all the same, both" in " ".join(told)
    assert lost.read("n2").vm("web1").node == "n2"


def test_a_vm_whose_disk_is_locked_is_not(lost: FakeCluster, nfs: About) -> None:
    nfs.locked.add(lost.read("n2").vm("web1").disks[0].volume)

    with pytest.raises(Refused, match="Disk 1 of web1 is open: QEMU, on n1 or elsewhere"):
        lost.run("n2", register.register, name="web1", accept_stale=True)

    assert lost.read("n2").vm("web1").node == "n1"


def test_without_the_proof_nothing_is_taken_over(
    cluster: FakeCluster, nfs: About, monkeypatch: pytest.MonkeyPatch
) -> None:
    nfs.excludes = False
    make(cluster)
    make_vm(cluster)
    lose(cluster, monkeypatch)

    with pytest.raises(Refused, match=UNPROVED):
        cluster.run("n2", register.register, name="web1", accept_stale=True)

    assert cluster.read("n2").vm("web1").node == "n1"


def test_a_pool_of_a_document_without_the_proof_has_none(lost: FakeCluster) -> None:
    """What an earlier version wrote names no locks."""
    document = lost.read("n2")
    without = replace(document.pool("nfs"), locks=())
    lost.agreements["n2"].store.begin(replace(document, pools={"nfs": without}))

    with pytest.raises(Refused, match=UNPROVED):
        lost.run("n2", register.register, name="web1")


@pytest.mark.parametrize("excludes", [True, False])
def test_the_check_warns_of_disks_where_locks_are_not_proved(
    cluster: FakeCluster, nfs: About, excludes: bool
) -> None:
    nfs.excludes = excludes
    make(cluster)
    make_vm(cluster)

    findings = runner.check(cluster.hosts["n1"]).findings

    told = [(row.severity, row.message) for row in findings if row.subject == "nfs"]
    words = (
        "In pool nfs the locks of n1, n2 were not seen to exclude those of other nodes: no VM "
        "with a disk there is taken over from them, or by them."
    )
    assert told == ([] if excludes else [("warning", words)])
