"""Grants: given, taken away, listed and explained."""

from typing import Any

import pytest
from msgspec.structs import astuple

from mcv.cluster import permissions
from mcv.errors import McvError, NotFound, Refused
from mcv.rules.rights import Person
from mcv.system import users
from mcv.vm import create
from tests.fakes.cluster import FakeCluster

ALICE = Person(name="alice")
SHELL = Person(name="root", root_shell=True)
KNOWN = ("alice", "bob", "%ops", "%staff")


@pytest.fixture(autouse=True)
def system(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system with alice and bob, of whom bob is in ops."""
    monkeypatch.setattr(users, "exists", KNOWN.__contains__)
    members = {"bob": ("ops",)}
    monkeypatch.setattr(
        users, "groups_of", lambda user, among: tuple(set(members.get(user, ())) & set(among))
    )


def grant(cluster: FakeCluster, words: str, person: Person = SHELL) -> Any:
    who, right, vm = (*words.split(), None)[:3]
    return cluster.run("n1", permissions.grant, who=who, right=right, vm=vm, person=person)


def revoke(cluster: FakeCluster, words: str, person: Person = SHELL) -> Any:
    who, right, vm = (*words.split(), None)[:3]
    return cluster.run("n1", permissions.revoke, who=who, right=right, vm=vm, person=person)


def told(cluster: FakeCluster) -> list[tuple[str, ...]]:
    return [astuple(one) for one in permissions.list_(cluster.hosts["n2"]).grants]


def test_a_grant_is_given_and_taken_away_in_the_same_words(cluster: FakeCluster) -> None:
    cluster.run("n1", create.create, name="web1", memory="64MiB")

    assert grant(cluster, "%ops power web*").vms == ["web1"]
    grant(cluster, "alice view")

    assert told(cluster) == [("%ops", "power", "web*"), ("alice", "view", "")]
    assert cluster.read("n2").change.why == "permission grant alice view"
    with pytest.raises(Refused, match="already"):
        grant(cluster, "alice view")
    for other in ("alice view web*", "alice power", "bob view"):
        with pytest.raises(NotFound, match="No grant says"):
            revoke(cluster, other)
    revoke(cluster, "%ops power web*")
    assert told(cluster) == [("alice", "view", "")]


def test_all_that_is_wrong_with_a_grant_is_said_at_once(cluster: FakeCluster) -> None:
    before = cluster.picture()

    with pytest.raises(Refused) as refused:
        cluster.run("n1", permissions.grant, who="a b", right="fly", vm="Web 1", person=SHELL)

    assert [problem for problem, _ in refused.value.problems] == [
        "'a b' is no user and no %group.",
        "'fly' is no right.",
        "'Web 1' is no pattern of names of VMs.",
    ]
    with pytest.raises(Refused, match="empty pattern"):
        cluster.run("n1", permissions.grant, who="alice", right="view", vm="", person=SHELL)
    assert cluster.picture() == before


@pytest.mark.parametrize(("who", "kind"), [("alyce", "user alyce"), ("%opps", "group opps")])
def test_whom_the_system_does_not_know_is_granted_nothing(
    cluster: FakeCluster, who: str, kind: str
) -> None:
    with pytest.raises(Refused, match=f"n1 knows no {kind}") as refused:
        grant(cluster, f"{who} view")

    assert "Where other nodes know it" in refused.value.hint


def test_a_user_who_is_gone_from_the_system_can_be_taken_a_right_away(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    grant(cluster, "bob view")
    monkeypatch.setattr(users, "exists", lambda who: False)

    revoke(cluster, "bob view")

    assert told(cluster) == []


LOCKED_OUT: list[tuple[str, list[str], str]] = [
    ("the first right is nobody's admin", [], "grant bob power"),
    ("the first right is an admin's of some VMs", [], "grant bob admin web*"),
    ("the last admin's", ["alice admin", "bob view"], "revoke alice admin"),
    ("the last group's", ["%ops admin", "bob view"], "revoke %ops admin"),
]


@pytest.mark.parametrize(("story", "held", "words"), LOCKED_OUT)
def test_nobody_locks_all_admins_out_but_a_root_shell(
    cluster: FakeCluster, story: str, held: list[str], words: str
) -> None:
    for line in held:
        grant(cluster, line)
    verb, _, line = words.partition(" ")
    deed = {"grant": grant, "revoke": revoke}[verb]

    with pytest.raises(Refused, match="Nobody would have the right admin") as refused:
        deed(cluster, line, ALICE)

    assert "mcv permission grant WHO admin" in refused.value.hint, story
    deed(cluster, line, SHELL)


def test_the_last_superuser_is_an_admin_too(cluster: FakeCluster) -> None:
    cluster.run("n1", permissions.add, user="alice")
    grant(cluster, "bob view", ALICE)

    with pytest.raises(Refused, match="Nobody would have the right admin"):
        cluster.run("n1", permissions.remove, user="alice", person=ALICE)
    with pytest.raises(Refused, match="Nobody would have the right admin"):
        revoke(cluster, "alice admin", ALICE)

    grant(cluster, "bob admin", ALICE)
    revoke(cluster, "alice admin", ALICE)
    assert cluster.read().permissions.superusers == ()


def test_the_very_last_right_may_go_since_everybody_has_all_then(cluster: FakeCluster) -> None:
    grant(cluster, "alice admin", ALICE)

    revoke(cluster, "alice admin", ALICE)

    assert permissions.check(cluster.hosts["n1"], "bob").open


def test_what_somebody_may_do_is_told_with_what_gives_it(cluster: FakeCluster) -> None:
    cluster.run("n1", permissions.add, user="alice")
    for line in ("%ops power web*", "bob view", "%staff admin"):
        grant(cluster, line)
    host = cluster.hosts["n1"]

    of_bob = permissions.check(host, "bob")

    assert [(one.right, one.vm, one.by) for one in of_bob.rights] == [
        ("power", "web*", "%ops"),
        ("view", "", "bob"),
    ]
    assert of_bob.known and not of_bob.open and of_bob.groups == ["ops"]
    assert [one.by for one in permissions.check(host, "%staff").rights] == ["%staff"]
    assert permissions.check(host, "alice").rights[0].by == "alice, a superuser"
    stranger = permissions.check(host, "carol")
    assert stranger.rights == [] and not stranger.known
    with pytest.raises(McvError, match="no user and no %group"):
        permissions.check(host, "a b")
