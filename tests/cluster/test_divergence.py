"""Two documents of which neither contains the other: found, shown, settled by a word."""

import pytest

from mcv.cluster import divergence, members, permissions
from mcv.document.model import digest
from mcv.errors import Diverged, Refused
from tests.documents import after, document, vm
from tests.fakes.cluster import FakeCluster


@pytest.fixture
def apart(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    """Each of two nodes has been told, wrongly, that the other is dead, and has gone on."""
    monkeypatch.setattr(members, "is_alive", lambda host, name: False)
    for me, other in (("n1", "n2"), ("n2", "n1")):
        cluster.down.add(other)
        cluster.run(me, members.offline, names=[other], confirm_dead=True)
        cluster.run(me, permissions.add, user=f"user-of-{me}")
        cluster.down.clear()
    for name in ("n1", "n2"):
        cluster.look(name)
    return cluster


def test_a_divergence_is_found_and_nothing_new_is_started(apart: FakeCluster) -> None:
    for name in ("n1", "n2"):
        assert apart.hosts[name].consensus.diverged
        with pytest.raises(Diverged):
            apart.run(name, permissions.add, user="late")
    assert apart.read("n1").permissions.superusers == ("user-of-n1",)
    assert apart.read("n2").permissions.superusers == ("user-of-n2",)


@pytest.mark.parametrize("asked", ["n1", "n2"])
@pytest.mark.parametrize("kept", ["n1", "n2"])
def test_a_word_settles_it_after_showing_what_is_lost(
    apart: FakeCluster, asked: str, kept: str
) -> None:
    lost = "n2" if kept == "n1" else "n1"
    before = {name: digest(apart.read(name)) for name in ("n1", "n2")}

    shown = apart.run(asked, divergence.sync, node=kept, dry_run=True)
    assert any(f"user-of-{lost}" in line for line in shown.plan)
    assert {name: digest(apart.read(name)) for name in ("n1", "n2")} == before
    apart.run(asked, divergence.sync, node=kept)
    for _ in range(3):
        for name in ("n1", "n2"):
            apart.look(name)
            members.come_back(apart.hosts[name])

    assert apart.read("n1") == apart.read("n2")
    assert apart.read("n1").permissions.superusers == (f"user-of-{kept}",)
    assert apart.read("n1").online == ["n1", "n2"]
    apart.run("n2", permissions.add, user="later")
    assert "later" in apart.read("n1").permissions.superusers


def test_there_is_nothing_to_settle_where_nothing_diverges(cluster: FakeCluster) -> None:
    with pytest.raises(Refused, match="Nothing diverges"):
        cluster.run("n1", divergence.sync, node="n2")


def test_a_vm_that_one_side_changed_gets_an_incarnation_that_neither_side_used() -> None:
    base = document().with_vm(vm()).with_vm(vm("db1", uuid="2")).with_vm(vm("app1", uuid="3"))
    other = base.with_vm(vm(node="n2", incarnation=4)).with_vm(vm("app1", uuid="4", incarnation=9))

    assert divergence.new_incarnations(base, [base, other]) == {"web1": 5}
    assert divergence.new_incarnations(other, [base, other]) == {"web1": 5}


def test_a_sync_renews_what_one_side_changed() -> None:
    base = document().with_vm(vm())

    synced = after(base, "cluster.sync", pasts=[], number=7, epoch="e7", incarnations={"web1": 5})

    assert synced.vm("web1").incarnation == 5 and synced.epoch.number == 7
