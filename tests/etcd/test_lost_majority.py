"""etcd's majority is burnt: those that are left go on unanimously, at an operator's word."""

import secrets
from pathlib import Path
from typing import Any

import pytest

from mcv.cluster import divergence, etcd_lost, etcd_steps, etcd_store, members, permissions
from mcv.document.model import Cluster
from mcv.errors import Diverged, McvError, PeerUnreachable, Refused
from tests.fakes.cluster import FakeCluster
from tests.fakes.fixtures import short_timeouts as short_timeouts

FIVE = ("n1", "n2", "n3", "n4", "n5")


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """No address answers."""
    monkeypatch.setattr(members, "answers_at_all", lambda *_: False)


def in_etcd(tmp_path: Path, *names: str) -> FakeCluster:
    cluster = FakeCluster(tmp_path, names)
    cluster.run("n1", etcd_store.to_etcd)
    looked(cluster)
    return cluster


@pytest.fixture
def three(tmp_path: Path) -> FakeCluster:
    return in_etcd(tmp_path, "n1", "n2", "n3")


def looked(cluster: FakeCluster, rounds: int = 1) -> None:
    for _ in range(rounds):
        for name in cluster.hosts:
            if name not in cluster.down:
                cluster.look(name)


def add(cluster: FakeCluster, node: str, user: str) -> Cluster:
    return cluster.hosts[node].consensus.propose(
        "permission.add", {"user": user}, id=secrets.token_hex(4), who="root", why="x"
    )


def users(cluster: FakeCluster, node: str) -> tuple[str, ...]:
    return cluster.read(node).permissions.superusers


def lost(cluster: FakeCluster, *names: str, node: str = "n1", **more: Any) -> Any:
    return cluster.run(node, etcd_lost.to_unanimous, names=list(names), **more)


def test_the_one_that_is_left_goes_on_alone_in_a_new_epoch(three: FakeCluster) -> None:
    add(three, "n2", "alice")
    before = three.read("n2")
    three.down.update({"n2", "n3"})

    done = lost(three, "n2", "n3")

    document = three.read("n1")
    assert (done.store, document.store, document.online) == ("unanimous", None, ["n1"])
    assert "acknowledged may be missing" in done.left
    assert document.epoch.number == before.epoch.number + 1
    assert users(three, "n1") == ("alice",)
    assert not three.etcd_of["n1"].unit.is_there
    add(three, "n1", "bob")
    assert three.hosts["n1"].consensus.in_contact


def test_a_witness_that_is_not_among_the_dead_keeps_its_etcd_which_is_said(
    three: FakeCluster,
) -> None:
    host = three.hosts["n1"]
    witness = {"name": "w1", "ip_address": "10.0.0.9", "certificate": "etcd certificate of w1"}
    host.consensus.propose("witness.set", witness, id="w", who="root", why="x")
    three.voting.units["w1"] = three.etcd_of["n1"].unit.__class__(three.directory / "w1")
    three.down.update({"n2", "n3"})

    done = lost(three, "n2", "n3")

    assert "w1 keeps its etcd" in done.left
    assert three.read("n1").witness is None


def test_it_is_said_beforehand_and_nothing_is_done(three: FakeCluster) -> None:
    three.down.update({"n2", "n3"})
    before = three.picture()

    dry = lost(three, "n2", "n3", dry_run=True)

    assert "n1 agree unanimously" in dry.plan[0]
    assert three.picture() == before


def test_what_its_etcd_shows_by_itself_is_newer_than_its_own_copy(three: FakeCluster) -> None:
    """It missed the last change, which its voter has."""
    host = three.hosts["n1"]
    three.down.add("n1")
    add(three, "n2", "alice")
    three.down.clear()
    three.down.update({"n2", "n3"})
    assert users(three, "n1") == ()

    lost(three, "n2", "n3")

    assert users(three, "n1") == ("alice",)
    assert host.read().store is None


def test_what_the_dead_alone_had_is_missing(three: FakeCluster) -> None:
    three.etcd.alone = three.etcd.copied()
    three.down.add("n1")
    add(three, "n2", "alice")
    three.down.clear()
    three.down.update({"n2", "n3"})

    lost(three, "n2", "n3")

    assert users(three, "n1") == ()


def test_the_newest_of_what_survivors_hold_goes_on(tmp_path: Path) -> None:
    five = in_etcd(tmp_path, *FIVE)
    five.etcd.alone = five.etcd.copied()
    five.down.add("n1")
    add(five, "n2", "alice")
    five.down.clear()
    five.down.update({"n3", "n4", "n5"})
    assert (users(five, "n1"), users(five, "n2")) == ((), ("alice",))

    lost(five, "n3", "n4", "n5")
    looked(five)

    assert users(five, "n1") == users(five, "n2") == ("alice",)
    assert five.read("n2").online == ["n1", "n2"]
    assert {five.read(name).store for name in ("n1", "n2")} == {None}
    etcd_steps.tidy(five.hosts["n2"])
    assert not five.etcd_of["n2"].unit.is_there
    add(five, "n2", "bob")


def test_every_survivor_has_to_take_part(tmp_path: Path) -> None:
    five = in_etcd(tmp_path, *FIVE)
    five.down.update({"n3", "n4", "n5"})
    before = five.picture()

    with pytest.raises(Refused, match="n5 has to take part") as told:
        lost(five, "n3", "n4")

    assert "name it too" in told.value.hint
    assert five.picture() == before


REFUSED: list[tuple[tuple[str, ...], str]] = [
    (("n1", "n2"), "n1 is this node"),
    (("n2", "n9"), "There is no node n9"),
]


@pytest.mark.parametrize(("names", "why"), REFUSED)
def test_names_that_make_no_sense(three: FakeCluster, names: tuple[str, ...], why: str) -> None:
    three.down.update({"n2", "n3"})

    with pytest.raises(Refused, match=why):
        lost(three, *names)


def test_a_majority_is_not_given_up(three: FakeCluster) -> None:
    three.down.add("n3")

    with pytest.raises(Refused, match="n1 and n2 are a majority of etcd's voters"):
        lost(three, "n3")


def test_nobody_who_answers_is_dead(three: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    three.down.update({"n2", "n3"})
    monkeypatch.setattr(members, "answers_at_all", lambda address, *_: address == "10.0.0.3")

    with pytest.raises(Refused, match="n3 answers, so it is not dead"):
        lost(three, "n2", "n3")


def test_where_the_members_agree_unanimously_there_is_nothing_to_leave(tmp_path: Path) -> None:
    cluster = FakeCluster(tmp_path, ("n1", "n2", "n3"))

    with pytest.raises(Refused, match="unanimously already"):
        lost(cluster, "n2")


# Those that come back


def gone_and_back(three: FakeCluster) -> None:
    """n2 and n3 were called dead, and boot: with n1 they could be etcd's majority again."""
    three.down.update({"n2", "n3"})
    lost(three, "n2", "n3")
    add(three, "n1", "bob")
    three.down.clear()
    for name in ("n2", "n3"):
        three.boot(name)


def test_they_make_no_change_by_etcd_which_has_its_majority_again(three: FakeCluster) -> None:
    gone_and_back(three)
    head = dict(three.etcd.keys)

    with pytest.raises(McvError):
        add(three, "n2", "eve")
    with pytest.raises(McvError):
        three.hosts["n3"].consensus.require_right()

    assert three.etcd.keys == head
    assert not three.hosts["n2"].consensus.in_contact


def test_they_take_the_document_and_are_in_it_offline(three: FakeCluster) -> None:
    gone_and_back(three)

    looked(three, 3)

    for name in ("n2", "n3"):
        assert three.read(name).store is None
        assert users(three, name) == ("bob",)
        assert three.read(name).online == ["n1"]
        etcd_steps.tidy(three.hosts[name])
        assert not three.etcd_of[name].unit.is_there
        members.come_back(three.hosts[name])
    looked(three, 2)
    assert three.read("n1").online == ["n1", "n2", "n3"]
    three.run("n3", permissions.add, user="carol")


def test_they_went_on_while_the_survivor_was_away_and_a_human_decides(three: FakeCluster) -> None:
    three.down.update({"n2", "n3"})
    lost(three, "n2", "n3")
    three.down.clear()
    three.down.add("n1")
    for name in ("n2", "n3"):
        three.boot(name)
    add(three, "n2", "eve")
    three.down.clear()
    looked(three, 2)

    for name in ("n2", "n3"):
        assert set(three.hosts[name].consensus.diverged) == {"n1"}
        assert not three.hosts[name].consensus.in_contact
        with pytest.raises(Diverged):
            three.hosts[name].consensus.require_contact()
    three.run("n1", divergence.sync, node="n1")
    looked(three, 3)
    assert {three.read(name).store for name in ("n1", "n2", "n3")} == {None}
    assert users(three, "n3") == ()


def test_one_that_does_not_hear_the_survivor_goes_on_by_the_majority(three: FakeCluster) -> None:
    """A node that is cut off must hold nobody up: the operator's word is what it is."""
    three.down.add("n1")
    for name in ("n2", "n3"):
        three.boot(name)

    add(three, "n2", "alice")

    assert users(three, "n2") == ("alice",)


def test_an_open_proposal_to_leave_is_dropped_where_etcd_serves_again(three: FakeCluster) -> None:
    """Its writer died before it committed it, and the others were not dead after all."""
    three.down.update({"n2", "n3"})
    rounds = three.agreements["n1"].coordinator._rounds

    def dies(*_: Any) -> None:
        raise SystemExit

    rounds.collect = dies  # type: ignore[method-assign,assignment]
    with pytest.raises(SystemExit):
        lost(three, "n2", "n3")
    three.down.clear()
    host = three.boot("n1")
    assert host.consensus.proposal() is not None

    looked(three, 2)

    assert host.consensus.proposal() is None
    assert host.read().store is not None
    add(three, "n1", "alice")
    assert host.consensus.in_contact


def test_an_open_proposal_to_leave_is_finished_where_it_does_not(three: FakeCluster) -> None:
    three.down.update({"n2", "n3"})
    three.agreements["n1"].coordinator._rounds.collect = lambda *_: None  # type: ignore[method-assign]
    lost(three, "n2", "n3")
    host = three.boot("n1")
    assert (host.read().store is not None, host.consensus.proposal() is not None) == (True, True)

    looked(three, 2)

    assert (host.read().store, host.read().online) == (None, ["n1"])
    add(three, "n1", "alice")


def test_a_minority_is_told_of_the_way(three: FakeCluster) -> None:
    three.down.update({"n2", "n3"})

    with pytest.raises(PeerUnreachable, match="2 of 3 are needed, n2 and n3 do not") as told:
        add(three, "n1", "alice")

    assert "--confirm-dead" in told.value.hint
