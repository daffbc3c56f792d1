"""Members that come, go and move while the document lies in etcd: who votes, whom they trust."""

import dataclasses
import json
from pathlib import Path

import pytest
from msgspec import structs

from mcv.api.table import TABLE
from mcv.cluster import (
    addresses,
    etcd_follow,
    etcd_members,
    etcd_store,
    join,
    joining,
    leaving,
    members,
)
from mcv.document import etcd_voters
from mcv.document.model import Node
from mcv.document.subject import Subject
from mcv.drivers import addresses as own_addresses
from mcv.errors import DoneInPart, Failed, McvError, Refused
from mcv.etcd.keys import ClusterKeys
from mcv.etcd.requests import put
from mcv.host import Host, Prepared
from tests.fakes.cluster import FakeCluster
from tests.fakes.fixtures import short_timeouts as short_timeouts
from tests.fakes.process_killer import until_quiet

FOUR = ("n1", "n2", "n3", "n4")


@pytest.fixture
def four(tmp_path: Path) -> FakeCluster:
    """Four members, the document in etcd."""
    four = FakeCluster(tmp_path, FOUR)
    four.run("n1", etcd_store.to_etcd)
    for name in FOUR:
        four.look(name)
    return four


@pytest.fixture
def three(four: FakeCluster) -> FakeCluster:
    """n4 was a member."""
    four.run("n1", members.remove_node, node="n4")
    for name in FOUR[:3]:
        four.look(name)
    return four


def add(cluster: FakeCluster, node: str, new: str) -> None:
    def joined(host: Host) -> None:
        joining.stage_join(
            cluster.hosts[new], document=json.dumps({"operation": host.job.id, "members": []})
        )
        entry = Node(
            name=new,
            hostname=new,
            ip_address=f"10.0.0.{new[1:]}",
            drbd_address=f"10.0.0.{new[1:]}",
            certificate=cluster.hosts[new].certificate,
            etcd_certificate=cluster.etcd_of[new].certificate("x"),
        )
        of_etcd = etcd_members.joining(host.read(), new, host.name, host.job.id)
        plan = join.add_plan(entry, host.name, f"add node {new}", of_etcd)
        host.operate(Subject.node(new), f"add node {new}", lambda: Prepared(plan, {}))

    cluster.run(node, joined)


def wrong(cluster: FakeCluster) -> list[str]:
    """What of etcd is not as the document says."""
    document = cluster.read("n1")
    assert document.store is not None
    votes = sorted(name for name, each in cluster.voting.members.items() if each.votes)
    found = []
    if votes != sorted(document.store.voters) or len(votes) != len(cluster.voting.members):
        found.append(f"{document.store.voters} in the document, {cluster.voting.members}")
    terms = etcd_voters.terms(document)
    for name, door in sorted(cluster.etcd_of.items()):
        if name in votes and not (door.unit.serves and door.runs_by(name, terms)):
            found.append(f"{name} runs by other terms: {door.unit.trusted}")
        if name not in votes and door.unit.is_there:
            found.append(f"{name} does not vote and has an etcd")
    return found


def test_a_removed_member_votes_no_more_and_nobody_trusts_it(four: FakeCluster) -> None:
    assert wrong(four) == []

    four.run("n2", members.remove_node, node="n4")

    assert four.read("n1").store.voters == ("n1", "n2", "n3")  # type: ignore[union-attr]
    assert wrong(four) == []
    assert not four.voting.trusts("certificate of n4")
    assert not four.voting.trusts("etcd certificate of n4")
    assert list(four.read("n4").nodes) == ["n4"]


def test_a_voter_that_falls_silent_while_it_is_removed_is_out_and_told_how_to_end_it(
    four: FakeCluster,
) -> None:
    def spy(caller: str, node: str, operation: str) -> None:
        if operation == "member.blank":
            four.down.add("n4")

    four.spy = spy
    with pytest.raises(DoneInPart, match="n4 was not told") as told:
        four.run("n1", members.remove_node, node="n4")
    assert "mcv cluster leave" in told.value.hint

    four.down.clear()
    assert sorted(four.read("n1").nodes) == ["n1", "n2", "n3"]
    assert not four.voting.trusts("certificate of n4")
    four.look("n4")
    four.run("n4", leaving.leave)
    assert wrong(four) == []


def test_a_new_member_is_trusted_by_all_and_votes(three: FakeCluster) -> None:
    three.voting.leads = "n2"

    add(three, "n1", "n4")
    until_quiet(three)

    assert three.read("n4").store.voters == FOUR  # type: ignore[union-attr]
    assert three.read("n4").online == list(FOUR)
    assert wrong(three) == []
    three.hosts["n4"].update("permission.add", "x", user="bob")


def test_voters_are_restarted_one_by_one_the_leader_last(three: FakeCluster) -> None:
    three.voting.leads = "n1"
    restarted: list[str] = []
    for name, door in three.etcd_of.items():

        def restart(name: str = name) -> None:
            restarted.append(name)
            three.etcd_of[name].unit.note_start()

        door.unit.restart = restart  # type: ignore[method-assign]

    add(three, "n1", "n4")

    assert restarted == ["n2", "n3", "n1"]
    assert three.voting.leader != "n1"


def test_a_join_that_fails_leaves_etcd_as_it_was(three: FakeCluster) -> None:
    three.etcd_of["n4"].never_starts = True

    with pytest.raises(Failed, match="etcd on n4 does not start"):
        add(three, "n1", "n4")
    until_quiet(three)

    assert wrong(three) == []
    assert sorted(three.read("n1").nodes) == ["n1", "n2", "n3"]
    assert not three.voting.trusts("certificate of n4")


def test_three_voters_are_not_made_two(three: FakeCluster) -> None:
    with pytest.raises(Refused) as told:
        three.run("n1", members.remove_node, node="n3")

    assert "n1 and n2, and both would be needed" in told.value.message
    assert "mcv cluster store unanimous" in told.value.hint
    assert wrong(three) == []


def test_who_votes_changes_only_while_all_voters_answer(four: FakeCluster) -> None:
    four.etcd_of["n2"].unit.runs.unlink()

    with pytest.raises(Refused, match="etcd on n2 does not answer"):
        four.run("n1", members.remove_node, node="n4")
    four.run("n1", members.remove_node, node="n2")

    assert four.read("n1").store.voters == ("n1", "n3", "n4")  # type: ignore[union-attr]


def test_a_dead_member_is_removed_from_etcd_too(four: FakeCluster) -> None:
    four.down.add("n4")
    four.hosts["n1"].consensus.declare(["n4"], id="d", who="root", why="dead", alive=list)

    four.run("n1", members.remove_node, node="n4", force=True)

    assert sorted(four.voting.members) == ["n1", "n2", "n3"]
    assert not four.voting.trusts("certificate of n4")
    assert not any(node.claim for node in four.read("n1").nodes.values())


def test_a_member_declared_dead_in_the_middle_does_not_hold_up_a_removal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    five = FakeCluster(tmp_path, (*FOUR, "n5"))
    five.run("n1", etcd_store.to_etcd)
    host = five.hosts["n1"]
    real = etcd_follow.expel

    def expel(host_: Host, node: str) -> None:
        five.down.add("n2")
        real(host_, node)

    row = dataclasses.replace(TABLE["etcd.expel"], function=expel)
    monkeypatch.setitem(TABLE, "etcd.expel", row)
    with pytest.raises(McvError, match="n2 does not answer"):
        five.run("n1", members.remove_node, node="n5")
    host.consensus.declare(["n2"], id="d", who="root", why="dead", alive=list)
    until_quiet(five)

    assert sorted(five.read("n1").nodes) == list(FOUR)
    assert not any(node.claim for node in five.read("n1").nodes.values())
    five.down.clear()
    until_quiet(five)
    assert wrong(five) == []


def test_the_keys_of_a_removed_member_go_with_it(four: FakeCluster) -> None:
    store = four.read("n1").store
    assert store is not None
    keys = ClusterKeys(store.id)
    for key, value in (
        (keys.lease("n3"), b"{}"),
        (keys.lease("n4"), b"{}"),
        (keys.stale("of-n4"), b"n4"),
        (keys.stale("of-n3"), b"n3"),
    ):
        four.etcd.change([], [put(key, value)])

    four.run("n1", members.remove_node, node="n4")

    assert keys.lease("n4") not in four.etcd.keys and keys.stale("of-n4") not in four.etcd.keys
    assert keys.lease("n3") in four.etcd.keys and keys.stale("of-n3") in four.etcd.keys


def test_another_address_is_followed_by_etcd(
    three: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_addresses, "own", lambda: ["10.0.9.2"])
    before = three.read("n1").node("n2").etcd_certificate

    three.run("n2", addresses.set_, name="n2", ip_address="10.0.9.2")
    until_quiet(three)

    node = three.read("n1").node("n2")
    assert node.ip_address == three.voting.members["n2"].address == "10.0.9.2"
    assert node.etcd_certificate == "etcd certificate at 10.0.9.2 of n2\n" != before
    assert wrong(three) == []
    assert not three.voting.trusts(before)


def test_a_voter_whose_data_are_gone_joins_anew_by_itself(three: FakeCluster) -> None:
    three.etcd_of["n2"].unit.discard()

    until_quiet(three)

    assert wrong(three) == []
    assert not any(node.claim for node in three.read("n1").nodes.values())


def test_a_voter_whose_data_are_gone_waits_for_the_others(three: FakeCluster) -> None:
    three.etcd_of["n2"].unit.discard()
    three.down.add("n3")

    with pytest.raises(McvError):
        etcd_follow.look_after(three.hosts["n2"])

    assert "n2" in three.voting.members
    assert not three.etcd_of["n2"].unit.is_there


def test_a_place_is_filled_by_a_member_that_does_not_vote(four: FakeCluster) -> None:
    four.hosts["n1"].update("store.voters", "x", voters=["n1", "n2", "n3"])
    four.voting.members.pop("n4")
    until_quiet(four)

    assert four.read("n1").store.voters == FOUR  # type: ignore[union-attr]
    assert wrong(four) == []


def test_another_pace_reaches_every_voter(three: FakeCluster) -> None:
    document = three.read("n1")
    slow = etcd_voters.terms(structs.replace(document, ha=structs.replace(document.ha, pace=2)))
    door = three.etcd_of["n1"]

    assert slow.pace == 2 and not door.runs_by("n1", slow)
    assert door.follow("n1", slow) and door.runs_by("n1", slow)


def test_a_snapshot_is_kept_before_who_votes_changes(four: FakeCluster) -> None:
    four.run("n1", members.remove_node, node="n4")
    four.run("n1", etcd_store.to_unanimous)

    kept = sorted((four.hosts["n1"].settings.state / "etcd-snapshots").glob("*.db"))
    assert len(kept) == 2


def test_old_snapshots_go(three: FakeCluster) -> None:
    for number in range(12):
        etcd_follow.keep(three.hosts["n1"], "n1", f"job{number}")
    etcd_follow.keep(three.hosts["n1"], "n1", "job11")

    assert len(list((three.hosts["n1"].settings.state / "etcd-snapshots").iterdir())) == 8


def test_nobody_but_the_claims_node_has_etcd_restarted(three: FakeCluster) -> None:
    with pytest.raises(McvError, match="n2 has no claim on n3"):
        etcd_follow.follow(three.hosts["n1"], "n3", "n2", leaves=True)


def test_an_address_that_a_human_wrote_to_the_conf_file_is_followed_by_etcd(
    three: FakeCluster,
) -> None:
    host = three.hosts["n2"]
    host.settings = dataclasses.replace(host.settings, address="10.0.9.2")

    addresses.follow_conf(host)
    until_quiet(three)

    assert three.read("n1").node("n2").ip_address == "10.0.9.2"
    assert wrong(three) == []


def test_a_node_that_does_not_vote_changes_its_address_without_a_restart_of_its_own(
    four: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_addresses, "own", lambda: ["10.0.9.4"])
    monkeypatch.setattr(etcd_members, "MOST_VOTERS", 3)
    four.hosts["n1"].update("store.voters", "x", voters=["n1", "n2", "n3"])
    four.voting.members.pop("n4")
    until_quiet(four)
    assert not four.etcd_of["n4"].unit.is_there

    four.run("n4", addresses.set_, name="n4", ip_address="10.0.9.4")
    four.run("n1", members.remove_node, node="n4")

    assert wrong(four) == []
    assert not four.voting.trusts("certificate of n4")


def test_more_members_than_may_vote_are_clients(
    three: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(etcd_members, "MOST_VOTERS", 3)

    add(three, "n1", "n4")
    until_quiet(three)

    assert three.read("n4").online == list(FOUR)
    assert sorted(three.voting.members) == ["n1", "n2", "n3"]
    assert wrong(three) == []
    three.hosts["n4"].update("permission.add", "x", user="bob")
