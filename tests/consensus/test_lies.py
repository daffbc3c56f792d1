"""A member that lies about the document: nobody takes what no member may make of its parent."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from mcv.cluster import members
from mcv.document import changes
from mcv.document.generation import ChangeMade
from mcv.document.model import Cluster, decode, digest, encode
from mcv.document.rights import Permissions
from mcv.errors import LookAgain, McvError, OutcomeOpen, PeerUnreachable, Refused
from mcv.vm import create
from tests.consensus.test_agreement import agreement, hashes, lose, permit, proposals, quiet, users
from tests.documents import after, by
from tests.fakes.cluster import FakeCluster
from tests.fakes.keys import FakeKeys

Lie = Callable[[Cluster], Cluster]

CLAIM = {"name": "web1", "why": "mine"}


@pytest.fixture(autouse=True)
def hosts_that_are_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host whose daemon is down answers in no other way."""
    monkeypatch.setattr(members, "answers_at_all", lambda *_: False)


@pytest.fixture
def owned(three: FakeCluster) -> FakeCluster:
    """Three members; web1 belongs to n2, n1 coordinates."""
    three.run("n2", create.create, name="web1", memory="64MiB")
    for name in three.hosts:
        three.look(name)
    assert len(hashes(three)) == 1
    return three


def claims_a_foreign_vm(base: Cluster) -> Cluster:
    return by("n1", base, "vm.claim", CLAIM)


def signs_for_another(base: Cluster) -> Cluster:
    """The author is the VM's owner, and the key is the liar's."""
    made = ChangeMade(id="evil.1", who="root", when="2026-01-01T00:00:00Z", why="x", node="n2")
    return changes.apply(base, "vm.claim", CLAIM, made, FakeKeys("certificate of n1").sign)


def signs_nothing(base: Cluster) -> Cluster:
    made = ChangeMade(id="evil.1", who="root", when="2026-01-01T00:00:00Z", why="x", node="n2")
    return changes.apply(base, "vm.claim", CLAIM, made)


def slips_a_second_change_in(base: Cluster) -> Cluster:
    return replace(after(base), permissions=Permissions(superusers=("mallory",)))


def names_no_change(base: Cluster) -> Cluster:
    new = after(base)
    return replace(new, change=replace(new.change, name="vm.steal"))


def calls_no_change_rightly(base: Cluster) -> Cluster:
    new = after(base)
    return replace(new, change=replace(new.change, name="node.add", params={"node": 7}))


def goes_back_to_schema_1(base: Cluster) -> Cluster:
    """Documents of schema 1 record no change; none holds pools, or disks that lie in one."""
    return replace(slips_a_second_change_in(base), schema=1, pools={}, vms={})


def forges_a_line(base: Cluster) -> Cluster:
    """Everything is right but the author's name, which is two lines in a log."""
    made = ChangeMade(id="evil.1", who="bob\nroot", when="2026-01-01T00:00:00Z", why="x", node="n1")
    sign = FakeKeys("certificate of n1").sign
    return changes.apply(base, "permission.add", {"user": "bob"}, made, sign)


LIES = [
    claims_a_foreign_vm,
    signs_for_another,
    signs_nothing,
    slips_a_second_change_in,
    names_no_change,
    calls_no_change_rightly,
    goes_back_to_schema_1,
    forges_a_line,
]


def picture(cluster: FakeCluster) -> set[tuple[str, str | None]]:
    return {
        (one.store.hash(), digest(held[0]) if (held := one.store.proposal()) else None)
        for one in cluster.agreements.values()
    }


@pytest.mark.parametrize("lie", LIES)
def test_the_coordinator_takes_no_lie(owned: FakeCluster, lie: Lie) -> None:
    before, new = picture(owned), lie(owned.read())

    with pytest.raises(Refused):
        agreement(owned, "n1").coordinator.propose(encode(new), "an attempt", new.change.node)

    assert picture(owned) == before


def test_a_change_is_proposed_by_its_author_alone(owned: FakeCluster) -> None:
    before, new = picture(owned), by("n2", owned.read(), "vm.claim", CLAIM)

    with pytest.raises(Refused, match="n3 proposed a change of n2"):
        owned.hosts["n3"].call("n1", "config.propose", document=encode(new), attempt="a")

    assert picture(owned) == before


@pytest.mark.parametrize("lie", LIES)
def test_no_member_accepts_a_lie_of_the_coordinator(owned: FakeCluster, lie: Lie) -> None:
    before, new = picture(owned), lie(owned.read())

    for member in ("n2", "n3"):
        with pytest.raises(Refused):
            owned.hosts["n1"].call(member, "config.accept", document=encode(new))

    assert picture(owned) == before


@pytest.mark.parametrize("lie", LIES)
def test_no_member_accepts_a_declaration_over_a_lie(owned: FakeCluster, lie: Lie) -> None:
    before, under = picture(owned), lie(owned.read())
    dead = {"names": ["n3"], "survivor": "n1", "epoch": "e2"}
    new = by("n1", under, "node.dead", dead)

    for between in ([encode(under)], []):
        with pytest.raises((Refused, LookAgain)):
            owned.hosts["n1"].call("n2", "config.accept", document=encode(new), between=between)

    assert picture(owned) == before


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("later", [0, 2])
def test_a_lie_that_is_brought_is_not_taken(owned: FakeCluster, lie: Lie, later: int) -> None:
    before, forged = picture(owned), [lie(owned.read())]
    for _ in range(later):
        forged.append(after(forged[-1]))
    *between, new = map(encode, forged)

    with pytest.raises(Refused):
        owned.hosts["n1"].call("n3", "config.install", document=new, between=between)

    assert picture(owned) == before


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_that_is_shown_is_not_taken(owned: FakeCluster, lie: Lie) -> None:
    before, forged = picture(owned), lie(owned.read())
    owned.bend = shows("n1", after(forged), forged)

    owned.look("n3")
    owned.look("n3")

    assert picture(owned) == before


def shows(liar: str, document: Cluster, *between: Cluster) -> Callable[[str, str, Any], Any]:
    """What a liar answers to questions about the document."""

    def bend(node: str, operation: str, answer: Any) -> Any:
        if node == liar and operation == "config.poll":
            epoch = {"epoch": document.epoch.number, "epoch_id": document.epoch.id}
            shown = {"generation": document.generation, "hash": digest(document)}
            return {**answer, **epoch, **shown}
        if node == liar and operation == "config.fetch":
            return {
                **answer,
                "document": encode(document),
                "between": [encode(each) for each in between],
            }
        return answer

    return bend


@pytest.mark.parametrize("dead", [["n1"], ["n2"]])
def test_an_epoch_is_no_change_that_a_member_proposes(owned: FakeCluster, dead: list[str]) -> None:
    before = picture(owned)
    params = {"names": dead, "survivor": "n3", "epoch": "e2"}
    new = encode(by("n3", owned.read(), "node.dead", params))

    with pytest.raises(Refused, match="declaration"):
        owned.hosts["n3"].call("n1", "config.propose", document=new, attempt="a")

    assert picture(owned) == before


def test_a_member_accepts_no_declaration_of_its_own_death(owned: FakeCluster) -> None:
    before = picture(owned)
    params = {"names": ["n3"], "survivor": "n1", "epoch": "e2"}
    new = encode(by("n1", owned.read(), "node.dead", params))

    with pytest.raises(LookAgain):
        owned.hosts["n1"].call("n3", "config.accept", document=new)

    assert picture(owned) == before


# Over a gap, and into another epoch


def test_over_a_gap_a_document_is_taken_where_all_show_it(owned: FakeCluster) -> None:
    fall_behind(owned, "n3")
    owned.bend = without_history

    owned.look("n3")

    assert users(owned, "n3") == ("alice", "bob") and len(hashes(owned)) == 1


def fall_behind(cluster: FakeCluster, node: str) -> None:
    cluster.run(node, members.offline, names=[node])
    cluster.down.add(node)
    permit(cluster, "n1", "alice")
    permit(cluster, "n1", "bob")
    cluster.down.clear()


def without_history(node: str, operation: str, answer: Any) -> Any:
    return {**answer, "between": []} if operation == "config.fetch" else answer


def test_over_a_gap_a_document_that_one_shows_alone_is_not_taken(owned: FakeCluster) -> None:
    fall_behind(owned, "n3")
    before = picture(owned)
    forged = after(replace(owned.read(), permissions=Permissions(superusers=("mallory",))))
    owned.bend = shows("n1", forged)

    for name in ("n3", "n2", "n3"):
        agreement(owned, name).member.catch_up("n1")

    assert picture(owned) == before


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("dead", [["n2"], ["n3"]])
def test_an_epoch_that_one_member_shows_alone_is_not_taken(
    owned: FakeCluster, dead: list[str], restarted: bool
) -> None:
    before = picture(owned)
    params = {"names": dead, "survivor": "n1", "epoch": "e2"}
    owned.bend = shows("n1", by("n1", owned.read(), "node.dead", params))
    if restarted:
        owned.boot("n3")

    for name in ("n3", "n2", "n3", "n2"):
        agreement(owned, name).member.catch_up("n1")

    assert picture(owned) == before


def test_members_that_were_called_dead_take_the_epoch_when_they_come_back_at_once(
    owned: FakeCluster,
) -> None:
    owned.down |= {"n2", "n3"}
    owned.run("n1", members.offline, names=["n2", "n3"], confirm_dead=True)
    owned.down.clear()

    for name in ("n2", "n3", "n2"):
        owned.look(name)

    assert len(hashes(owned)) == 1 and owned.read("n3").online == ["n1"]


# A proposal that a survivor shows, a commit that nobody may tell


def test_a_declaration_is_not_made_over_a_lie_that_a_survivor_shows(owned: FakeCluster) -> None:
    before = picture(owned)
    forged = by("n3", owned.read(), "vm.claim", CLAIM)
    owned.down.add("n2")

    def bend(node: str, operation: str, answer: Any) -> Any:
        is_fetch = (node, operation) == ("n3", "config.fetch")
        return {**answer, "proposal": encode(forged)} if is_fetch else answer

    owned.bend = bend
    with pytest.raises(Refused, match="may not"):
        owned.run("n1", members.offline, names=["n2"], confirm_dead=True)

    assert picture(owned) == before


def test_a_declaration_is_made_over_a_proposal_and_a_third_member_computes_both(
    owned: FakeCluster,
) -> None:
    owned.spy = lose("config.accept", "n2")
    with pytest.raises(OutcomeOpen):
        permit(owned, "n1", "alice")
    owned.spy = quiet
    owned.agreements["n3"].store.drop_proposal()
    owned.down.add("n2")

    owned.run("n1", members.offline, names=["n2"], confirm_dead=True)

    assert users(owned, "n3") == ("alice",) and owned.read("n3").online == ["n1", "n3"]
    chain = owned.agreements["n3"].generations()
    assert [one.change.name for one in chain[:2]] == ["node.dead", "permission.add"]


def test_only_who_may_write_a_proposal_tells_that_it_is_committed(owned: FakeCluster) -> None:
    owned.spy = lose("config.accept", "n2")
    with pytest.raises(OutcomeOpen):
        permit(owned, "n1", "alice")
    assert "n3" in proposals(owned)
    held = owned.agreements["n3"].store.proposal()
    assert held is not None

    owned.hosts["n2"].call("n3", "config.commit", hash=held[1])

    assert users(owned, "n3") == () and "n3" in proposals(owned)


# What honest members need


def test_a_change_that_a_member_does_not_know_is_refused_before_anything_is_written(
    owned: FakeCluster,
) -> None:
    before = picture(owned)

    def bend(node: str, operation: str, answer: Any) -> Any:
        older = (node, operation) == ("n3", "config.poll")
        known = [one for one in answer["changes"] if one != "permission.add"] if older else []
        return {**answer, "changes": known} if older else answer

    owned.bend = bend
    with pytest.raises(Refused, match="n3 does not know this change"):
        permit(owned, "n2", "alice")

    assert picture(owned) == before


def test_a_cluster_of_schema_1_changes_as_before_and_is_judged_from_schema_2_on(
    three: FakeCluster,
) -> None:
    first = replace(three.read(), schema=1)
    for one in three.agreements.values():
        one.begin(first)
    for name in three.hosts:
        three.look(name)

    permit(three, "n2", "alice")

    old = three.read("n3")
    assert (old.schema, old.change.name) == (1, "") and users(three, "n3") == ("alice",)
    agreement(three, "n1").propose("document.schema", {"schema": 2}, id="s", who="", why="")
    new = three.read("n3")
    assert (new.schema, new.change.name) == (2, "document.schema")
    with pytest.raises(McvError):
        three.hosts["n1"].call("n3", "config.accept", document=encode(signs_nothing_at_all(new)))


def signs_nothing_at_all(base: Cluster) -> Cluster:
    return replace(decode(encode(after(base))), change=replace(base.change, node="n1"))


def test_a_member_that_lies_stops_no_change_of_others_for_good(owned: FakeCluster) -> None:
    owned.bend = shows("n3", claims_a_foreign_vm(owned.read()))
    with pytest.raises(Refused):
        permit(owned, "n2", "alice")
    owned.bend = lambda node, operation, answer: answer

    permit(owned, "n2", "bob")

    assert users(owned, "n1") == ("bob",)
    with pytest.raises(PeerUnreachable):
        owned.down.add("n3")
        permit(owned, "n2", "carol")
