"""mcv ha what-if, asked on any node of an armed cluster."""

import pytest

from mcv.cluster import ha_rounds, ha_what_if
from mcv.errors import NotFound, Refused
from tests.fakes.armed import add_vm, renew
from tests.fakes.armed import armed as armed
from tests.fakes.cluster import FakeCluster


@pytest.fixture
def managed(armed: FakeCluster) -> FakeCluster:
    """web1 is managed, on n1 and n2; web2 on n1 and n3 is not."""
    add_vm(armed, "web2", "n1", "n3")
    armed.run("n1", _managed)
    for name in armed.hosts:
        armed.look(name)
    for sequence in (2, 3):
        for name in armed.hosts:
            renew(armed, name, sequence)
        for name in armed.hosts:
            armed.run(name, ha_rounds.decide)
    return armed


def _managed(host):  # type: ignore[no-untyped-def]
    host.update("ha.add", "manage", name="web1", entry={})


def test_the_death_of_a_node_is_asked_and_nothing_is_done(managed: FakeCluster) -> None:
    before = managed.read("n3").generation

    told = managed.run("n3", ha_what_if.what_if, dead=["n1"])

    assert [(each.name, each.from_node, each.to) for each in told] == [("web1", "n1", "n2")]
    assert managed.run("n3", ha_what_if.what_if, dead=["n1", "n2"])[0].to == ""
    assert managed.run("n3", ha_what_if.what_if, dead=["n2"]) == []
    assert managed.read("n3").generation == before


def test_a_death_of_all_is_refused(managed: FakeCluster) -> None:
    with pytest.raises(Refused, match="No node would be left"):
        managed.run("n1", ha_what_if.what_if, dead=["n1", "n2", "n3"])
    with pytest.raises(NotFound):
        managed.run("n1", ha_what_if.what_if, dead=["n7"])
