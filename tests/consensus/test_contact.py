"""Being in contact, an operator's word about the dead, and coming back."""

from collections.abc import Callable, Iterator

import pytest
from msgspec.structs import replace

from mcv.cluster import members
from mcv.document.model import Cluster, Node
from mcv.errors import Diverged, OutcomeOpen, PeerUnreachable, Refused
from mcv.recovery import journal_recovery
from mcv.vm import create, power
from tests.consensus.test_agreement import agreement, hashes, lose, permit, proposals, quiet, users
from tests.deaths import stories
from tests.documents import after, in_epoch
from tests.fakes.cluster import FakeCluster


def declare(
    cluster: FakeCluster,
    node: str,
    *dead: str,
    alive: Callable[[], list[str]] = list,
) -> Cluster:
    return agreement(cluster, node).declare(
        list(dead), id=f"dead-{'-'.join(dead)}.1", who="alice", why="dead", alive=alive
    )


@pytest.fixture(autouse=True)
def buried(monkeypatch: pytest.MonkeyPatch) -> None:
    """No address of a fake cluster answers."""
    monkeypatch.setattr(members, "answers_at_all", lambda *_: False)


def test_a_restarted_node_starts_nothing_until_all_who_are_online_have_answered(
    three: FakeCluster,
) -> None:
    three.run("n2", create.create, name="web1", memory="64MiB", nodes=["n2"])
    three.down.add("n3")
    three.boot("n2")

    three.look("n2")

    assert not agreement(three, "n2").in_contact
    with pytest.raises(Refused, match=r"has not heard from n3") as error:
        three.run("n2", power.start, name="web1")
    assert "mcv node offline n3 --confirm-dead" in error.value.hint
    assert journal_recovery.resume_all(three.hosts["n2"]) == []
    three.down.clear()
    three.look("n2")
    three.run("n2", power.start, name="web1")


def test_a_restarted_keeper_takes_no_offer_until_it_is_in_touch(three: FakeCluster) -> None:
    three.boot("n1")
    three.spy = lose("config.poll", "n3")

    with pytest.raises(Refused, match="n1 has not heard from n3 since it started"):
        permit(three, "n2", "alice")

    three.spy = quiet
    permit(three, "n2", "alice")
    assert agreement(three, "n1").in_contact


def test_nothing_is_changed_at_the_word_of_a_node_that_was_called_dead(
    three: FakeCluster,
) -> None:
    three.down.add("n3")
    declare(three, "n1", "n3")
    three.down.clear()
    three.look("n3")

    with pytest.raises(Refused, match="n3 is offline in the document"):
        permit(three, "n3", "alice")

    three.run("n3", members.come_back)
    permit(three, "n3", "alice")


def test_who_was_heard_but_could_not_hand_its_newer_document_over_does_not_count(
    cluster: FakeCluster,
) -> None:
    behind = cluster.read("n2")
    permit(cluster, "n1", "alice")
    cluster.boot("n2")
    agreement(cluster, "n2").store.begin(behind)
    cluster.spy = lose("config.fetch", "n1")

    cluster.look("n2")

    assert not agreement(cluster, "n2").in_contact
    cluster.spy = quiet
    cluster.look("n2")
    assert agreement(cluster, "n2").in_contact and users(cluster, "n2") == ("alice",)


def test_a_proposal_that_it_was_shown_comes_before_being_in_touch(three: FakeCluster) -> None:
    three.agreements["n2"].store.propose(in_epoch(three.read(), "e2"))
    three.boot("n3")

    three.look("n3")

    assert not agreement(three, "n3").in_contact
    three.agreements["n2"].store.drop_proposal()
    three.look("n3")
    assert agreement(three, "n3").in_contact


def test_once_in_touch_a_node_goes_on_with_its_own_while_a_peer_is_away(
    three: FakeCluster,
) -> None:
    three.run("n1", create.create, name="web1", memory="64MiB", nodes=["n1"])
    three.down.add("n2")

    three.look("n1")

    three.run("n1", power.start, name="web1")


def test_the_dead_are_declared_on_any_member_and_the_first_survivor_keeps(
    three: FakeCluster,
) -> None:
    permit(three, "n1", "alice")
    epoch = three.read("n2").epoch
    three.down.add("n1")

    document = declare(three, "n3", "n1")

    assert document.online == ["n2", "n3"] and document.change.node == "n2"
    assert document.epoch.number == epoch.number + 1
    assert three.agreements["n2"].store.hash() == three.agreements["n3"].store.hash()
    permit(three, "n3", "bob")
    assert users(three, "n2") == ("alice", "bob")


def test_several_dead_are_declared_in_one_word(three: FakeCluster) -> None:
    three.down.update({"n1", "n2"})
    with pytest.raises(PeerUnreachable, match="n2"):
        declare(three, "n3", "n1")

    document = declare(three, "n3", "n1", "n2")

    assert document.online == ["n3"] and agreement(three, "n3").in_contact
    permit(three, "n3", "alice")


def test_a_declaration_is_made_over_a_proposal_that_may_have_been_acknowledged(
    three: FakeCluster,
) -> None:
    three.spy = lose("config.accept", "n3")
    with pytest.raises(OutcomeOpen):
        permit(three, "n1", "alice")
    three.spy = quiet
    three.down.add("n1")
    assert proposals(three) == {"n1", "n2"}

    document = declare(three, "n3", "n1")

    assert document.permissions.superusers == ("alice",) and document.online == ["n2", "n3"]
    assert users(three, "n3") == ("alice",) and proposals(three) == {"n1"}
    three.down.clear()
    three.boot("n1")
    three.look("n1")
    assert hashes(three) == {three.agreements["n2"].store.hash()} and proposals(three) == set()


def test_a_host_that_answers_is_not_dead_and_the_proposal_is_withdrawn(
    three: FakeCluster,
) -> None:
    before = hashes(three)

    with pytest.raises(Refused, match="n3 answers now"):
        declare(three, "n1", "n3", alive=lambda: ["n3"])

    assert hashes(three) == before and proposals(three) == set()


def test_a_host_that_answers_at_once_is_refused_before_anything(
    three: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(members, "answers_at_all", lambda *_: True)
    three.down.add("n3")
    before = three.picture()

    with pytest.raises(Refused, match="n3 answers, so it is not dead"):
        three.run("n1", members.offline, names=["n3"], confirm_dead=True)

    assert three.picture() == before


def test_a_survivor_that_is_silent_stops_the_declaration_before_anything_is_written(
    three: FakeCluster,
) -> None:
    three.down.update({"n2", "n3"})
    before = hashes(three)

    with pytest.raises(PeerUnreachable, match="n2"):
        declare(three, "n1", "n3")

    assert hashes(three) == before and proposals(three) == set()


def test_a_declaration_that_a_survivor_did_not_accept_is_open_and_settles_later(
    three: FakeCluster,
) -> None:
    three.down.add("n1")
    three.spy = lose("config.accept", "n3")
    with pytest.raises(OutcomeOpen, match="n3"):
        declare(three, "n2", "n1")
    three.spy = quiet

    three.look("n2")

    assert three.read("n3").online == ["n2", "n3"]


def test_who_was_called_dead_takes_the_new_document_and_comes_back(three: FakeCluster) -> None:
    three.down.add("n1")
    declare(three, "n2", "n1")
    permit(three, "n2", "alice")
    three.down.clear()
    three.boot("n1")

    three.look("n1")
    assert three.read("n1").online == ["n2", "n3"] and not agreement(three, "n1").in_contact
    members.come_back(three.hosts["n1"])

    assert three.read("n2").online == ["n1", "n2", "n3"] and len(hashes(three)) == 1
    three.look("n1")
    assert agreement(three, "n1").in_contact
    permit(three, "n3", "bob")


def test_an_excluded_proposal_gives_way_and_is_kept_in_history(three: FakeCluster) -> None:
    lost = after(three.read(), "permission.add", user="lost")
    three.agreements["n1"].store.propose(lost)
    three.down.add("n1")
    declare(three, "n2", "n1")
    three.down.clear()
    three.boot("n1")

    three.look("n1")

    assert proposals(three) == set() and len(hashes(three)) == 1
    history = three.hosts["n1"].settings.state / "history"
    assert any("lost" in path.read_text() for path in history.iterdir())


def test_a_proposal_left_beside_a_document_that_excludes_it_holds_nobody_up(
    three: FakeCluster,
) -> None:
    lost = after(three.read(), "permission.add", user="lost")
    for user in ("alice", "bob"):
        permit(three, "n1", user)
    three.agreements["n1"].store.propose(lost)

    permit(three, "n2", "carol")

    assert users(three, "n1") == ("alice", "bob", "carol") and proposals(three) == set()


def test_maintenance_lasts_until_its_end_is_asked_for(three: FakeCluster) -> None:
    three.run("n3", members.offline, names=["n3"])
    members.come_back(three.hosts["n3"])
    assert three.read("n1").online == ["n1", "n2"]

    three.run("n3", members.online, name="n3")

    assert three.read("n3").online == ["n1", "n2", "n3"]


def test_a_node_that_is_offline_takes_no_part_and_hears_of_it_when_it_looks(
    three: FakeCluster,
) -> None:
    three.run("n3", members.offline, names=["n3"])
    three.down.add("n3")

    permit(three, "n2", "alice")

    assert users(three, "n3") == ()
    three.down.clear()
    three.look("n3")
    assert users(three, "n3") == ("alice",)


def test_the_last_one_online_does_not_leave(cluster: FakeCluster) -> None:
    cluster.run("n2", members.offline, names=["n2"])

    with pytest.raises(Refused, match="last node online"):
        cluster.run("n1", members.offline, names=["n1"])


def test_touch_is_lost_with_membership(cluster: FakeCluster) -> None:
    node = agreement(cluster, "n2")
    assert node.in_contact

    node.begin(cluster.read("n2"))

    assert not node.in_contact


def test_a_new_member_that_is_the_keeper_at_once_takes_the_next_offer(
    cluster: FakeCluster,
) -> None:
    stories.blank(cluster, "n2")

    stories.add(cluster, "n2")

    assert cluster.read("n2").coordinator == "n1"
    assert cluster.read("n1") == cluster.read("n2") and cluster.read().nodes["n1"].claim is None


def test_a_divergence_that_is_noted_while_members_are_looked_through_is_kept(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several threads poll: a divergence that is forgotten lets a node start what it must not."""
    contact = agreement(cluster, "n1").contact
    contact.diverged["gone"] = "abc"
    read = contact.store.read

    class Nodes(dict[str, Node]):
        def __contains__(self, name: object) -> bool:
            contact.note_divergence("n2", "def")
            return super().__contains__(name)

        def __iter__(self) -> Iterator[str]:
            contact.note_divergence("n2", "def")
            return super().__iter__()

    monkeypatch.setattr(contact.store, "read", lambda: replace(read(), nodes=Nodes(read().nodes)))

    contact.keep_members()

    assert contact.diverged == {"n2": "def"}


def test_two_nodes_are_told_of_in_the_plural(three: FakeCluster) -> None:
    contact = agreement(three, "n1").contact
    contact.note_divergence("n2", "abc")
    with pytest.raises(Diverged, match="n2 holds another document than n1"):
        contact.require()
    contact.note_divergence("n3", "abc")
    with pytest.raises(Diverged, match="n2 and n3 hold another document than n1"):
        contact.require()

    with pytest.raises(Refused, match="n2 and n3 answer, so they are not dead"):
        members.offline(three.hosts["n1"], ["n2", "n3"], confirm_dead=True)
