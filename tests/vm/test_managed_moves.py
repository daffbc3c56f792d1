"""An operator's move that high availability would undo is refused at once, with every reason."""

import pytest
from msgspec.structs import replace

from mcv.cluster import ha_domains, ha_entries
from mcv.errors import Refused
from mcv.rules import managed
from mcv.vm import live, migrate, power
from tests.fakes.armed import add_vm
from tests.fakes.armed import armed as armed
from tests.fakes.cluster import FakeCluster

OUTSIDE = "n2 is not in the failover domain of web1, which is restricted"
APART = "web1 is kept apart from web2, on n2"


@pytest.fixture
def managed_vms(armed: FakeCluster) -> FakeCluster:
    """web1 of n1 in a restricted domain of n1 alone, apart from web2 of n2."""
    add_vm(armed, "web2", "n2", "n3")
    armed.run("n1", ha_domains.create_domain, name="d", nodes={"n1": 1}, restricted=True)
    armed.run("n1", ha_entries.add, name="web1", domain="d")
    armed.run("n1", ha_entries.add, name="web2")
    armed.run("n1", ha_domains.tie, kind="apart", names=["web1", "web2"])
    return armed


def test_a_move_out_of_its_domain_or_to_what_it_is_apart_from_is_refused(
    managed_vms: FakeCluster,
) -> None:
    with pytest.raises(Refused) as stopped:
        managed_vms.run("n1", migrate.migrate, name="web1", to="n2")
    managed_vms.run("n1", power.start, name="web1")
    with pytest.raises(Refused) as running:
        managed_vms.run("n1", live.migrate, name="web1", to="n2")

    for told in (stopped, running):
        said = " ".join(message for message, _ in told.value.problems)
        assert OUTSIDE in said and APART in said
    assert managed_vms.read("n1").vm("web1").node == "n1"


def test_a_move_that_keeps_the_home_is_not_asked(managed_vms: FakeCluster) -> None:
    managed_vms.run("n1", migrate.migrate, name="web1", to="n2", keeps_home=True)

    assert managed_vms.read("n1").vm("web1").node == "n2"


def test_nothing_is_forbidden_while_high_availability_does_not_look_after_it(
    managed_vms: FakeCluster,
) -> None:
    cluster = managed_vms.read("n1")
    ignored = replace(cluster.ha_vms["web1"], wanted="ignored")

    assert len(managed.why_not_put(cluster, "web1", "n2")) == 2
    assert managed.why_not_put(cluster, "web1", "n1") == []
    for other in (
        replace(cluster, ha=replace(cluster.ha, armed=False)),
        replace(cluster, ha_vms={**cluster.ha_vms, "web1": ignored}),
        replace(cluster, ha_vms={}),
    ):
        assert managed.why_not_put(other, "web1", "n2") == []


def test_what_is_wanted_stopped_is_in_nobodys_way(managed_vms: FakeCluster) -> None:
    cluster = managed_vms.read("n1")
    stopped = replace(cluster.ha_vms["web2"], wanted="stopped")
    others = replace(cluster, ha_vms={**cluster.ha_vms, "web2": stopped})

    assert [problem.message for problem in managed.why_not_put(others, "web1", "n2")] == [
        OUTSIDE + "."
    ]
