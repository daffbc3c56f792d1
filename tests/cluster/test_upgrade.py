"""The document's schema rises when every online member reads a later one, and not before."""

import pytest
from msgspec.structs import replace

from mcv.cluster import members, upgrade
from mcv.consensus.unanimous import member
from mcv.document.schema import SCHEMA
from tests.fakes.cluster import FakeCluster


@pytest.fixture
def old(cluster: FakeCluster) -> FakeCluster:
    """Two members that hold a document of schema 1."""
    first = replace(cluster.read(), schema=1)
    for host in cluster.hosts.values():
        host.consensus.begin(first)
    return cluster


def round_of(cluster: FakeCluster, name: str) -> None:
    cluster.look(name)
    upgrade.raise_schema(cluster.hosts[name])


def test_the_schema_rises_once_all_members_read_it(
    old: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(member, "SCHEMA", 1)  # what each node tells of itself
    before = old.read().generation

    for name in ("n1", "n2", "n1"):
        round_of(old, name)
    unchanged = (old.read().schema, old.read().generation)
    monkeypatch.undo()
    for name in ("n2", "n1", "n2"):
        round_of(old, name)
    old.look("n2")

    assert unchanged == (1, before)
    assert {host.read().schema for host in old.hosts.values()} == {SCHEMA}
    assert old.read().generation == before + 1


def test_an_offline_member_holds_nothing_back(
    old: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(members, "answers_at_all", lambda *_: False)
    old.down.add("n2")
    old.run("n1", members.offline, names=["n2"], confirm_dead=True)

    round_of(old, "n1")

    assert old.hosts["n1"].read().schema == SCHEMA
