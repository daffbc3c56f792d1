"""Offers: each attempt is taken up once, and what is told of it stays true."""

import functools

import pytest

from mcv.consensus.unanimous import timeouts
from mcv.document.model import digest, encode
from mcv.errors import LookAgain, OutcomeOpen, PeerUnreachable
from tests.consensus.test_agreement import agreement, hashes, lose, permit, proposals, quiet, users
from tests.documents import after
from tests.fakes.cluster import FakeCluster


def test_an_offer_made_from_an_old_document_is_sent_back_to_look_again(
    cluster: FakeCluster,
) -> None:
    old = cluster.read()
    permit(cluster, "n1", "alice")

    with pytest.raises(LookAgain):
        agreement(cluster, "n1").coordinator.propose(encode(after(old)), "first", "n1")
    with pytest.raises(LookAgain):
        agreement(cluster, "n2").coordinator.propose(encode(after(cluster.read())), "second", "n1")


def test_a_double_of_an_offer_gets_the_answer_of_the_first(cluster: FakeCluster) -> None:
    coordinator = agreement(cluster, "n1").coordinator
    new = encode(after(cluster.read()))

    assert coordinator.propose(new, "an attempt", "n1") == coordinator.propose(
        new, "an attempt", "n1"
    )
    with pytest.raises(LookAgain):
        coordinator.propose(new, "another", "n1")


def test_a_refused_offer_is_not_made_by_its_double_and_may_be_made_anew(
    cluster: FakeCluster,
) -> None:
    coordinator = agreement(cluster, "n1").coordinator
    new = encode(after(cluster.read()))
    cluster.down.add("n2")
    with pytest.raises(PeerUnreachable):
        coordinator.propose(new, "an attempt", "n1")
    cluster.down.clear()

    with pytest.raises(PeerUnreachable, match="nothing was changed"):
        coordinator.propose(new, "an attempt", "n1")
    assert len(hashes(cluster)) == 1 and not proposals(cluster)

    assert coordinator.propose(new, "another", "n1").generation == cluster.read("n2").generation


def test_a_double_of_an_offer_under_way_does_not_say_that_nothing_was_changed(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeouts, "PROPOSE", timeouts.ACCEPT + 0.1)
    coordinator = agreement(cluster, "n1").coordinator
    new = encode(after(cluster.read()))
    said: list[str] = []

    def double(caller: str, node: str, operation: str) -> None:
        if operation == "config.accept":
            with pytest.raises(OutcomeOpen) as caught:
                coordinator.propose(new, "an attempt", "n1")
            said.append(caught.value.message)

    cluster.spy = double
    coordinator.propose(new, "an attempt", "n1")

    assert said == ["This proposal was taken up and not carried to its end."]


def test_a_member_that_breaks_off_before_anything_is_proposed_is_named_and_nothing_is_open(
    three: FakeCluster,
) -> None:
    three.spy = lose("config.commit", "n3")
    permit(three, "n1", "alice")
    three.spy, three.answered = quiet, lose("config.fetch", "n3", answer=True)

    with pytest.raises(PeerUnreachable, match="n3 does not answer, so nothing was changed"):
        permit(three, "n2", "bob")

    assert not any("bob" in users(three, name) for name in three.hosts)


def test_a_commit_that_commits_nothing_is_no_news(cluster: FakeCluster) -> None:
    """Each commit is a line of the log, and wakes the daemon's loop."""
    told: list[str] = []
    for name in ("n1", "n2"):
        agreement(cluster, name).on_commit(functools.partial(told.append, name))
    permit(cluster, "n1", "alice")

    hash_ = cluster.read("n2")
    answer = agreement(cluster, "n2").member.commit("no such hash", "n1")

    assert answer.hash == digest(hash_) and told == ["n1", "n2"]
