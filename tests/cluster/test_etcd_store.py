"""mcv cluster store: what is shown, what is refused, and both moves as an operator makes them."""

from pathlib import Path

import pytest

from mcv.cluster import etcd_steps, etcd_store, members
from mcv.cluster.etcd_store import StoreShown
from mcv.cluster.store_moved import StoreMoved
from mcv.document.etcd_voters import Terms, Voter
from mcv.errors import Busy, Failed, Refused
from mcv.host import DryRun
from mcv.status.attention import attention
from mcv.status.report import reports
from tests.fakes.cluster import FakeCluster


def looked(three: FakeCluster) -> FakeCluster:
    for name in three.hosts:
        three.look(name)
    return three


def test_both_moves_and_what_is_shown_between(three: FakeCluster) -> None:
    shown = three.run("n1", etcd_store.show)
    moved = three.run("n2", etcd_store.to_etcd)
    looked(three)
    in_etcd = three.run("n3", etcd_store.show)
    back = three.run("n3", etcd_store.to_unanimous)
    looked(three)

    assert shown == StoreShown(store="unanimous", quorum=True, voters=[])
    assert moved == StoreMoved(store="etcd", voters=["n1", "n2", "n3"])
    assert (in_etcd.store, in_etcd.quorum) == ("etcd", True)
    assert [(voter.name, voter.state) for voter in in_etcd.voters] == [
        *(("n1", "leader"), ("n2", "voter"), ("n3", "voter")),
    ]
    assert back == StoreMoved(store="unanimous", voters=[])
    assert not any(door.unit.is_set_up for door in three.etcd_of.values())
    assert not any(node.claim for node in three.read("n1").nodes.values())


def test_the_plan_is_shown_and_nothing_done(three: FakeCluster) -> None:
    dry = three.run("n1", etcd_store.to_etcd, dry_run=True)

    assert isinstance(dry, DryRun)
    words = [line.split(" ")[1] for line in dry.plan]
    assert words == [
        *["node.etcd"] * 3,
        *["etcd.set_up"] * 3,
        *["etcd.start"] * 3,
        *["etcd.await"] * 3,
        "store.etcd",
    ]
    assert not any(door.unit.is_set_up for door in three.etcd_of.values())


def test_everything_that_is_missing_is_said_at_once(cluster: FakeCluster) -> None:
    cluster.etcd_of["n1"].unit.is_installed = False
    cluster.etcd_of["n2"].unit.has_lost_data = True

    with pytest.raises(Refused) as told:
        cluster.run("n1", etcd_store.to_etcd)

    said = [message for message, _ in told.value.problems]
    assert len(said) == 3
    assert said[0].startswith("2 nodes are too few")
    assert said[1:] == ["n1 cannot run etcd yet.", "n2 cannot run etcd yet."]


def test_a_member_of_before_whose_lease_would_have_the_managers_key_is_refused(
    tmp_path: Path,
) -> None:
    cluster = FakeCluster(tmp_path, ("manager", "n2", "n3"))

    with pytest.raises(Refused, match="A node that is called manager cannot have its lease"):
        cluster.run("n2", etcd_store.to_etcd)

    assert cluster.read("n2").store is None


def test_a_member_that_is_offline_has_to_be_there_for_the_move(three: FakeCluster) -> None:
    three.run("n3", members.offline, names=["n3"])
    looked(three)

    with pytest.raises(Refused, match="n3 is offline, and a move needs every member"):
        three.run("n1", etcd_store.to_etcd)


def test_where_etcd_does_not_start_all_of_it_goes_again(three: FakeCluster) -> None:
    three.etcd_of["n3"].never_starts = True

    with pytest.raises(Failed, match="etcd of n3 has not started"):
        three.run("n1", etcd_store.to_etcd)

    assert not any(door.unit.is_set_up for door in three.etcd_of.values())
    assert three.read("n1").store is None


def test_there_already_and_back_already_are_refused(three: FakeCluster) -> None:
    with pytest.raises(Refused, match="unanimously already"):
        three.run("n1", etcd_store.to_unanimous)
    three.run("n1", etcd_store.to_etcd)
    with pytest.raises(Refused, match="in etcd already"):
        three.run("n1", etcd_store.to_etcd)


def test_a_declared_member_does_not_hinder_the_way_back_and_tidies_up_by_itself(
    three: FakeCluster,
) -> None:
    three.run("n1", etcd_store.to_etcd)
    looked(three)
    three.down.add("n3")
    three.hosts["n1"].consensus.declare(["n3"], id="d", who="root", why="dead", alive=list)

    with pytest.raises((Refused, Failed)):
        three.run("n1", etcd_store.to_etcd)
    three.run("n1", etcd_store.to_unanimous)
    three.down.clear()
    three.boot("n3")
    for _ in range(2):
        looked(three)
    etcd_steps.tidy(three.hosts["n3"])

    assert {three.read(name).store for name in three.hosts} == {None}
    assert not three.etcd_of["n3"].unit.is_set_up


def test_etcd_is_not_deleted_under_a_move_that_is_under_way(three: FakeCluster) -> None:
    three.etcd_of["n1"].set_up("n1", Terms("id", (Voter("n1", "x", "of n1"),), "of n1\n", 1), "new")
    host = three.hosts["n1"]
    host.consensus.propose("node.claim", {"name": "n1", "why": "x"}, id="j.1", who="", why="")

    etcd_steps.tidy(host)
    assert three.etcd_of["n1"].unit.is_set_up

    host.consensus.propose("node.release", {"name": "n1"}, id="j.2", who="", why="")
    etcd_steps.tidy(host)
    assert not three.etcd_of["n1"].unit.is_set_up


def test_etcd_is_not_stopped_before_all_hold_the_document(
    three: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(etcd_steps, "HOLD", 0.1)
    three.run("n1", etcd_store.to_etcd)
    looked(three)
    host = three.hosts["n1"]
    three.down.add("n3")

    with pytest.raises(Busy, match="n3 still holds"):
        etcd_steps.all_hold(host, "n1")


def test_changes_that_were_taken_over_a_gap_are_told_of(three: FakeCluster) -> None:
    """Of the members that were away for long, each tells its own."""
    three.run("n1", etcd_store.to_etcd)
    looked(three)
    host = three.hosts["n3"]
    assert not any("not judged" in line for line in attention(host, reports(host)))

    gap = "n3 does not know what led from generation 3 to 9: no member that answered keeps it."
    host.observations.gap = gap

    assert any(line.startswith(f"{gap} They were") for line in attention(host, reports(host)))
