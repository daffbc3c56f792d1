"""The coordinator's protocol: a change reaches every online member or none, and is never lost."""

import threading
from pathlib import Path

import pytest

from mcv.consensus.unanimous.agreement import UnanimousAgreement
from mcv.document.model import Cluster, encode
from mcv.errors import (
    Busy,
    CallLost,
    Diverged,
    LookAgain,
    McvError,
    OutcomeOpen,
    PeerUnreachable,
    Refused,
)
from tests.documents import after
from tests.fakes.cluster import FakeCluster, Spy


def permit(cluster: FakeCluster, node: str, user: str, id: str = "") -> Cluster:
    return agreement(cluster, node).propose(
        "permission.add", {"user": user}, id=id or f"{user}.1", who=user, why=f"add {user}"
    )


def agreement(cluster: FakeCluster, node: str) -> UnanimousAgreement:
    return cluster.agreements[node]


def users(cluster: FakeCluster, node: str) -> tuple[str, ...]:
    return cluster.read(node).permissions.superusers


def hashes(cluster: FakeCluster) -> set[str]:
    return {one.store.hash() for one in cluster.agreements.values()}


def proposals(cluster: FakeCluster) -> set[str]:
    return {name for name, one in cluster.agreements.items() if one.store.proposal()}


def lose(what: str, node: str, answer: bool = False) -> Spy:
    """A spy that breaks one kind of call to a node off; with answer, after it was served."""

    def spy(caller: str, to: str, operation: str) -> None:
        if operation == what and to == node:
            raise (
                CallLost(f"{node} broke off.") if answer else PeerUnreachable(f"{node} is silent.")
            )

    return spy


def quiet(caller: str, node: str, operation: str) -> None:
    """A spy that lets everything pass."""


@pytest.mark.parametrize("proposer", ["n1", "n2", "n3"])
def test_a_change_is_on_every_online_member_when_it_is_acknowledged(
    three: FakeCluster, proposer: str
) -> None:
    document = permit(three, proposer, "alice")

    assert document.permissions.superusers == ("alice",)
    assert len(hashes(three)) == 1 and users(three, "n3") == ("alice",)
    assert proposals(three) == set()


@pytest.mark.parametrize("proposer", ["n1", "n3"])
def test_a_silent_member_means_no_change_anywhere_and_both_ways_out_are_named(
    three: FakeCluster, proposer: str
) -> None:
    before = hashes(three)
    three.down.add("n2")

    with pytest.raises(PeerUnreachable, match=r"n2 does not answer.*nothing was changed") as error:
        permit(three, proposer, "alice")

    assert "mcv node offline n2 --confirm-dead" in error.value.hint
    assert "back" in error.value.hint
    assert hashes(three) == before and proposals(three) == set()


def test_a_silent_keeper_is_named_and_nothing_is_changed(three: FakeCluster) -> None:
    three.down.add("n1")

    with pytest.raises(PeerUnreachable, match="n1 does not answer"):
        permit(three, "n2", "alice")

    assert proposals(three) == set()


@pytest.mark.parametrize("answer", [False, True])
def test_a_member_that_stops_while_accepting_leaves_the_outcome_open_until_it_is_back(
    three: FakeCluster, answer: bool
) -> None:
    setattr(three, "answered" if answer else "spy", lose("config.accept", "n3", answer))

    with pytest.raises(OutcomeOpen, match="n3") as error:
        permit(three, "n2", "alice")

    assert "mcv node offline n3 --confirm-dead" in error.value.hint
    assert proposals(three) >= {"n1", "n2"} and users(three, "n1") == ()
    three.spy = three.answered = quiet
    three.look("n1")
    assert users(three, "n3") == ("alice",)
    assert len(hashes(three)) == 1 and proposals(three) == set()


def test_an_open_change_holds_others_up_and_the_same_one_again_stays_open(
    three: FakeCluster,
) -> None:
    three.spy = lose("config.accept", "n3")
    with pytest.raises(OutcomeOpen):
        permit(three, "n1", "alice")

    with pytest.raises(Busy, match=r"add alice.*still open"):
        permit(three, "n2", "bob")
    with pytest.raises(OutcomeOpen):
        permit(three, "n2", "alice")

    three.spy = quiet
    permit(three, "n2", "bob")
    assert users(three, "n3") == ("alice", "bob")


def test_a_keeper_that_is_restarted_offers_its_open_proposal_again(three: FakeCluster) -> None:
    three.spy = lose("config.accept", "n3")
    with pytest.raises(OutcomeOpen):
        permit(three, "n1", "alice")
    three.spy = quiet

    three.boot("n1")
    three.look("n1")

    assert users(three, "n2") == ("alice",) and len(hashes(three)) == 1


def test_who_lost_the_answer_learns_it_from_the_document_and_makes_it_once(
    cluster: FakeCluster,
) -> None:
    cluster.answered = lose("config.propose", "n1", answer=True)

    document = permit(cluster, "n2", "alice")

    assert document.permissions.superusers == ("alice",)
    assert document.changes.count("alice.1") == 1
    cluster.answered = quiet
    assert permit(cluster, "n2", "alice").generation == document.generation


def test_an_offer_without_an_answer_is_open_and_is_not_offered_a_second_time(
    cluster: FakeCluster,
) -> None:
    offers = []

    def spy(caller: str, node: str, operation: str) -> None:
        if operation == "config.propose":
            offers.append(node)
            raise CallLost("n1 broke off.")

    cluster.spy = spy

    with pytest.raises(OutcomeOpen, match="n1 did not say"):
        permit(cluster, "n2", "alice")

    assert offers == ["n1"]


def test_changes_from_two_nodes_at_once_are_all_made_and_no_generation_is_missing(
    cluster: FakeCluster,
) -> None:
    errors: list[BaseException] = []
    first = cluster.read().generation

    def work(node: str) -> None:
        for number in range(50):
            try:
                permit(cluster, node, f"{node}-{number:02}")
            except BaseException as error:
                errors.append(error)

    threads = [threading.Thread(target=work, args=(node,)) for node in ("n1", "n2")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    assert len(users(cluster, "n1")) == 100 and len(hashes(cluster)) == 1
    generations = [one.generation for one in cluster.agreements["n2"].store.generations()]
    assert generations == list(range(first + 100, first - 1, -1))


def test_a_member_that_fell_behind_is_brought_up_to_date_with_the_history(
    three: FakeCluster,
) -> None:
    store = agreement(three, "n3").store
    behind = three.read("n3")
    for user in ("alice", "bob", "carol"):
        permit(three, "n1", user)
    store.begin(behind)

    permit(three, "n1", "dave")

    assert users(three, "n3") == ("alice", "bob", "carol", "dave")
    assert len(store.generations()) == 5


def test_a_keeper_that_fell_behind_takes_what_a_member_has_before_it_keeps(
    three: FakeCluster,
) -> None:
    behind = three.read("n1")
    permit(three, "n1", "alice")
    three.agreements["n1"].store.begin(behind)

    permit(three, "n1", "bob")

    assert users(three, "n1") == users(three, "n3") == ("alice", "bob")


def test_a_member_accepts_from_the_keeper_alone_and_only_what_follows(
    three: FakeCluster,
) -> None:
    base = three.read()
    member = agreement(three, "n3").member

    for document, sender in (
        (after(base), "n2"),
        (after(after(base)), "n1"),
    ):
        with pytest.raises(LookAgain):
            member.accept(encode(document), sender)
    first = after(base)
    member.accept(encode(first), "n1")
    member.accept(encode(first), "n1")

    with pytest.raises(LookAgain):
        member.accept(encode(after(base)), "n1")
    assert three.hosts["n3"].both() == [base, first]


def test_two_documents_of_which_neither_contains_the_other_are_shown_and_never_merged(
    cluster: FakeCluster,
) -> None:
    base = cluster.read()
    one, other = after(base, "permission.add", user="a"), after(base, "permission.add", user="b")
    cluster.agreements["n1"].store.begin(one)
    cluster.agreements["n2"].store.begin(other)

    with pytest.raises(Diverged, match="n2 holds another document than n1"):
        permit(cluster, "n1", "alice")
    cluster.look("n2")

    assert [cluster.read("n1"), cluster.read("n2")] == [one, other]
    with pytest.raises(Diverged, match="nothing new is started"):
        agreement(cluster, "n2").require_contact()
    assert not agreement(cluster, "n1").in_contact
    cluster.agreements["n2"].store.begin(one)
    cluster.look("n2")
    cluster.look("n1")
    agreement(cluster, "n1").require_contact()


def test_a_change_that_the_newest_document_refuses_is_refused_whoever_was_first(
    cluster: FakeCluster,
) -> None:
    permit(cluster, "n1", "alice")

    with pytest.raises(Refused, match="superuser already"):
        permit(cluster, "n2", "alice", id="other.1")


def test_no_answer_of_a_document_question_is_held_up_by_a_change_under_way(
    cluster: FakeCluster,
) -> None:
    entered, leave = threading.Event(), threading.Event()

    def spy(caller: str, node: str, operation: str) -> None:
        if operation == "config.accept":
            entered.set()
            leave.wait(5)

    cluster.spy = spy
    thread = threading.Thread(target=lambda: _swallow(cluster))
    thread.start()
    entered.wait(5)
    polls = [agreement(cluster, name).member.poll() for name in ("n1", "n2")]
    leave.set()
    thread.join()

    assert polls[0].proposal and not polls[1].proposal


def _swallow(cluster: FakeCluster) -> None:
    try:
        permit(cluster, "n1", "alice")
    except McvError:
        return


def test_a_cluster_of_one_is_in_touch_and_changes_by_itself(tmp_path: Path) -> None:
    alone = FakeCluster(tmp_path, ("n1",))

    assert agreement(alone, "n1").in_contact
    assert permit(alone, "n1", "alice").permissions.superusers == ("alice",)
