"""What the manager has decided is told by its node to all, and why."""

import pytest
from msgspec.structs import replace

from mcv.cluster import ha_entries, ha_list, ha_rounds, ha_status, ha_told
from mcv.errors import NotFound
from mcv.network import verbs as network
from mcv.rules.ha.actions import Reason, Reasons
from mcv.rules.ha.status import NodeState, NodeStatus
from mcv.status import cluster as status_cluster
from mcv.vm import power
from tests.fakes.armed import add_vm
from tests.fakes.armed import armed as armed
from tests.fakes.cluster import FakeCluster
from tests.fakes.fixtures import three as three


@pytest.fixture
def decided(armed: FakeCluster) -> FakeCluster:
    """web1 is managed and runs on n1; n1 has taken the office and decided."""
    armed.run("n1", ha_entries.add, name="web1")
    armed.run("n1", power.start, name="web1")
    for name in armed.hosts:
        armed.look(name)
    ha_rounds.decide(armed.hosts["n1"])
    assert armed.hosts["n1"].managing.decision is not None
    return armed


def test_every_node_tells_who_decides_and_what(decided: FakeCluster) -> None:
    for name in decided.hosts:
        shown = ha_status.status(decided.hosts[name])
        assert (shown.manager, shown.term) == ("n1", 1)
        (row,) = ha_list.list_(decided.hosts[name])
        assert (row.name, row.state, row.restarts, row.relocates) == ("web1", "started", 0, 0)
        assert row == shown.services[0]


def test_what_the_manager_says_counts_before_what_is_seen(decided: FakeCluster) -> None:
    managing = decided.hosts["n1"].managing
    assert managing.decision is not None
    kept = replace(
        managing.decision.status.services["web1"],
        state="recovery",
        restarts=(1.0,),
        relocates=(2.0,),
    )
    status = replace(managing.decision.status, services={"web1": kept})
    why = Reason("no node has memory for it", attention=True)
    reasons = Reasons({"web1": why}, {})
    managing.decision = managing.decision._replace(status=status, reasons=reasons)

    (row,) = ha_list.list_(decided.hosts["n2"])

    assert (row.state, row.restarts, row.relocates) == ("recovery", 1, 1)
    assert row.reason == row.attention == "no node has memory for it"


def test_the_explanation_is_of_what_the_manager_has_seen(decided: FakeCluster) -> None:
    manager = decided.hosts["n1"].managing.manager
    assert manager is not None and manager.looked is not None
    seen = manager.looked.services["web1"]
    ignored = replace(seen, entry=replace(seen.entry, wanted="ignored"))
    manager.looked = replace(manager.looked, services={"web1": ignored})

    assert "ignored" in ha_told.explain_(decided.hosts["n2"], "web1").reason


def test_the_manager_explains_wherever_it_is_asked(decided: FakeCluster) -> None:
    explained = ha_told.explain_(decided.hosts["n3"], "web1")

    assert (explained.name, explained.node) == ("web1", "n1")
    assert {each.node for each in explained.candidates} == {"n1", "n2", "n3"}
    lacks = {each.node: each.lacks for each in explained.candidates if not each.ok}
    assert lacks["n3"]


def test_where_nobody_decides_the_node_that_is_asked_looks_itself(three: FakeCluster) -> None:
    three.run("n1", network.create, name="lan", bridge="br-lan")
    add_vm(three, "web1")
    three.run("n1", ha_entries.add, name="web1")

    explained = ha_told.explain_(three.hosts["n2"], "web1")

    assert "not armed" in explained.reason and explained.node == "n1"
    shown = ha_status.status(three.hosts["n1"])
    assert (shown.manager, shown.term) == (None, None)


def test_a_node_that_is_fenced_is_told_so_on_every_node(decided: FakeCluster) -> None:
    """Where it waits for an operator, that too."""
    managing = decided.hosts["n1"].managing
    assert managing.decision is not None

    def decide(state: NodeState, why: Reason) -> None:
        assert managing.decision is not None
        status = managing.decision.status
        nodes = {**status.nodes, "n3": NodeStatus(state=state)}
        reasons = Reasons(managing.decision.reasons.services, {"n3": why})
        status = replace(status, nodes=nodes)
        managing.decision = managing.decision._replace(status=status, reasons=reasons)

    def seen(name: str) -> tuple[str, str, list[str]]:
        info = status_cluster.info(decided.hosts[name])
        states = {node.node: node.state for node in ha_status.status(decided.hosts[name]).nodes}
        waits = [line for line in info.attention if "n3 is silent" in line]
        return {node.name: node.status for node in info.nodes}["n3"], states["n3"], waits

    decide("fencing", Reason("n3 is silent: its power is switched off"))
    assert [seen(name) for name in ("n1", "n2")] == [("fencing", "fencing", [])] * 2
    decided.down.add("n3")
    silent = Reason("n3 is silent", attention=True, way="If it is dead: mcv fence confirm n3")
    decide("fence-failed", silent)

    told = ["n3 is silent. If it is dead: mcv fence confirm n3"]
    assert [seen(name) for name in ("n1", "n2")] == [("unreachable", "fence-failed", told)] * 2


def test_without_a_manager_an_armed_node_looks_itself_and_says_so(armed: FakeCluster) -> None:
    """It has watched no leases: whoever tells what runs there is there."""
    armed.run("n1", ha_entries.add, name="web1")
    armed.hosts["n2"].leases.forget()

    explained = ha_told.explain_(armed.hosts["n2"], "web1")

    assert explained.reason.startswith("nobody decides now (mcv ha status); ")
    assert "lease" not in explained.reason
    assert {each.node: each.ok for each in explained.candidates} == {
        "n1": True,
        "n2": True,
        "n3": False,
    }


def test_what_nobody_manages_is_not_explained(decided: FakeCluster) -> None:
    with pytest.raises(NotFound):
        ha_told.explain_(decided.hosts["n1"], "web9")


def test_a_silent_manager_leaves_what_the_nodes_tell(decided: FakeCluster) -> None:
    decided.down.add("n1")

    (row,) = ha_list.list_(decided.hosts["n2"])

    assert (row.restarts, row.state) == (None, "unknown")
