"""What a dead node left: its claims are carried on by a living one, or let go."""

from pathlib import Path

import pytest

from mcv.cluster import members
from mcv.errors import Refused, RepairNeeded
from mcv.host import Host
from mcv.recovery import claims, journal_recovery
from mcv.storage import pools
from mcv.transaction.journal import Entry
from mcv.vm import create, migrate
from tests.fakes.cluster import FakeCluster


def make(cluster: FakeCluster) -> None:
    cluster.run("n1", create.create, name="web1", memory="64MiB", disks=["64MiB"])


def die_at(cluster: FakeCluster, wanted: str) -> None:
    """Let node n1 go down for ever at its first call of one kind."""

    def spy(caller: str, node: str, operation: str) -> None:
        if caller == "n1" and operation == wanted:
            cluster.down.add("n1")
            raise SystemExit

    cluster.spy = spy


def declare_n1_dead(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "is_alive", lambda host, name: False)
    cluster.run("n2", members.offline, names=["n1"], confirm_dead=True)


def test_a_claim_of_an_online_node_is_that_nodes(cluster: FakeCluster) -> None:
    make(cluster)
    cluster.hosts["n1"].update("vm.claim", "", name="web1", why="move")

    with pytest.raises(Refused, match="carried out by n1, which is online"):
        cluster.run("n2", claims.clear_lock, name="web1")


def test_a_claim_on_a_pool_is_listed_and_cleared(cluster: FakeCluster) -> None:
    cluster.directories["n1"].make("/srv/fast")
    cluster.run("n1", pools.create, name="fast", type="dir", location="/srv/fast", on=["n1"])
    cluster.hosts["n1"].update("pool.claim", "", name="fast", why="pool delete fast")

    listed = claims.list_locks(cluster.hosts["n2"]).claims
    cluster.run("n1", claims.clear_lock, name="fast")

    assert [(claim.subject, claim.why) for claim in listed] == [("fast", "pool delete fast")]
    assert cluster.read("n2").pool("fast").claim is None
    with pytest.raises(Refused, match="fast is not claimed"):
        cluster.run("n1", claims.clear_lock, name="fast")


def test_a_move_that_was_not_settled_is_taken_back_by_the_survivor(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(cluster)
    die_at(cluster, "drbd.release")
    with pytest.raises(SystemExit):
        cluster.run("n1", migrate.migrate, name="web1", to="n2")
    assert set(cluster.domains["n2"].defined) == {"web1"}
    declare_n1_dead(cluster, monkeypatch)

    cluster.run("n2", claims.clear_lock, name="web1")

    vm = cluster.read("n2").vm("web1")
    assert (vm.node, vm.claim) == ("n1", None)
    assert set(cluster.domains["n2"].defined) == set()
    assert cluster.hosts["n2"].journal.entries() == []


def test_a_move_that_was_settled_is_finished_by_the_survivor(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(cluster)
    die_at(cluster, "vm.undefine")
    with pytest.raises(SystemExit):
        cluster.run("n1", migrate.migrate, name="web1", to="n2")
    declare_n1_dead(cluster, monkeypatch)

    found = cluster.run("n2", claims.repair)

    assert found.settled == ["migrate web1 to n2"]
    vm = cluster.read("n2").vm("web1")
    assert (vm.node, vm.claim) == ("n2", None)
    assert cluster.hosts["n2"].journal.entries() == []


def test_a_takeover_that_does_not_come_to_its_end_is_told_as_left(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(cluster)
    die_at(cluster, "drbd.release")
    with pytest.raises(SystemExit):
        cluster.run("n1", migrate.migrate, name="web1", to="n2")
    declare_n1_dead(cluster, monkeypatch)
    cluster.domains["n2"].broken.add("undefine")

    with pytest.raises(RepairNeeded, match="migrate web1 to n2 was taken over, and is not over"):
        cluster.run("n2", claims.clear_lock, name="web1")
    found = cluster.run("n2", claims.repair)

    assert found.settled == []
    [left] = found.left
    assert left.title == "migrate web1 to n2" and "Could not undefine" in left.trouble
    assert cluster.read("n2").vm("web1").claim is not None


def test_an_operation_that_cannot_be_taken_over_holds_up_no_other(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("web1", "web2"):
        cluster.run("n1", create.create, name=name, memory="64MiB")
        cluster.hosts["n1"].update("vm.claim", "", name=name, why=f"move {name}")
    first = cluster.read("n2").vm("web1").claim
    assert first is not None
    cluster.down.add("n1")
    declare_n1_dead(cluster, monkeypatch)

    def plan(host: Host, operation: str) -> Entry | None:
        if operation == first.operation:
            raise Refused("Whether a plan is left cannot be known: n3 does not answer.")
        return None

    monkeypatch.setattr(claims, "_plan", plan)

    found = cluster.run("n2", claims.repair)

    assert found.settled == ["move web2"] and cluster.read("n2").vm("web2").claim is None
    [left] = found.left
    assert (left.operation, left.title) == (first.operation, "move web1")
    assert "n3 does not answer" in left.trouble


def test_a_takeover_by_a_node_without_the_plan_survives_its_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = FakeCluster(tmp_path, ("n1", "n2", "n3"))
    where = {"nodes": ["n1", "n2"]}
    cluster.run("n1", create.create, name="web1", memory="64MiB", disks=["64MiB"], **where)
    die_at(cluster, "drbd.release")
    with pytest.raises(SystemExit):
        cluster.run("n1", migrate.migrate, name="web1", to="n2")
    declare_n1_dead(cluster, monkeypatch)

    def die(host: Host, entry: Entry) -> None:
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr(claims, "_carry_on", die)
        with pytest.raises(SystemExit):
            cluster.run("n3", claims.repair)
    back = cluster.boot("n3")
    cluster.look("n3")
    journal_recovery.resume_all(back)
    claim = cluster.read("n3").vm("web1").claim
    assert claim is not None and claim.node == "n3"

    assert cluster.run("n3", claims.repair).settled

    assert cluster.read("n2").vm("web1").claim is None
    assert set(cluster.domains["n2"].defined) == set()
    assert not any(cluster.hosts[node].journal.entries() for node in ("n2", "n3"))


def test_who_wakes_after_a_takeover_does_nothing(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(cluster)
    die_at(cluster, "drbd.release")
    with pytest.raises(SystemExit):
        cluster.run("n1", migrate.migrate, name="web1", to="n2")
    declare_n1_dead(cluster, monkeypatch)
    cluster.run("n2", claims.clear_lock, name="web1")
    cluster.spy = lambda caller, node, operation: None
    cluster.down.clear()

    back = cluster.boot("n1")
    cluster.look("n1")
    members.come_back(back)
    cluster.look("n1")
    settled = journal_recovery.resume_all(back)

    assert settled == [] and back.journal.entries() == []
    assert back.consensus.in_contact
    assert cluster.read("n1") == cluster.read("n2")
    assert set(cluster.domains["n1"].defined) == {"web1"}


def test_what_cannot_be_settled_is_given_up_on_the_node_that_the_claim_names(
    cluster: FakeCluster,
) -> None:
    make(cluster)
    cluster.domains["n2"].broken.update({"define", "undefine"})
    with pytest.raises(Exception, match="not undone yet"):
        cluster.run("n1", migrate.migrate, name="web1", to="n2")
    assert cluster.read("n2").vm("web1").claim is not None

    cluster.run("n1", claims.clear_lock, name="web1")

    assert cluster.read("n2").vm("web1").claim is None
    assert cluster.hosts["n1"].journal.entries() == []


def test_a_repair_says_whom_it_could_not_ask(cluster: FakeCluster) -> None:
    cluster.down.add("n2")

    found = cluster.run("n1", claims.repair)

    assert (found.settled, found.left) == ([], [])
    assert len(found.unasked) == 1 and found.unasked[0].startswith("What n2 holds is not known: n2")
