"""All hosts were off, and come back: everything starts where it was."""

from typing import Any

import pytest
from msgspec.structs import replace

from mcv.document.ha_entries import HaEntry
from mcv.rules.ha.actions import Declare, GiveUp, Relocate, Start, TakeOver
from mcv.rules.ha.decide import Decision, decide
from mcv.rules.ha.snapshot import NodeSeen, ServiceSeen, Snapshot
from mcv.rules.ha.status import NodeStatus, Status
from tests.rules.ha.seen import before, decided, done, later, lease, node, offline, snapshot

HOME = {"a": "n1", "b": "n2", "c": "n3"}
OF_BEFORE = {name: NodeStatus(last_boot="b1") for name in HOME.values()}
RECOVERIES = ("restart", "relocate", "disable")


def booted(name: str, boot: str = "b2", **values: Any) -> NodeSeen:
    """A node that is there, with a lease of its newest boot."""
    there = {"lease": replace(lease(revision=9), boot=boot), "boot": boot, "is_empty": True}
    return node(name, **{**there, **values})


def gone(name: str) -> NodeSeen:
    """A node that has not booted: its lease is as it was when the power went."""
    return node(name, boot="b1", renewed=False, told=False, answers=())


def in_order(name: str, **values: Any) -> NodeSeen:
    """A node that went offline in good order, before the manager's process began."""
    left = {"evidence": None, "lease": None, "told": False, "renewed": False}
    return offline(name, **{**left, **values})


def ended(name: str, recovery: str = "restart") -> ServiceSeen:
    """A service that ran when the power went, and does not now."""
    entry = HaEntry(recovery=recovery)  # type: ignore[arg-type]
    return ServiceSeen(name=name, node=HOME[name], home=HOME[name], entry=entry)


def cluster(*nodes: NodeSeen, recovery: str = "restart", watched: float = 2.0) -> Snapshot:
    """What the first manager sees."""
    services = [ended(name, recovery) for name in HOME]
    return snapshot(list(nodes), services, watched=watched, term=2)


def ran_before(look: Snapshot) -> Status:
    """What was kept: all ran, each node in the boot that has ended."""
    quiet = before(look, of=OF_BEFORE)
    started = {name: replace(each, state="started") for name, each in quiet.services.items()}
    return replace(quiet, term=1, services=started)


def first_round(look: Snapshot) -> Decision:
    return decide(look, ran_before(look))


def starts(decision: Decision) -> dict[str, str]:
    return {each.service: each.node for each in done(decision, Start)}


@pytest.mark.parametrize("recovery", RECOVERIES)
def test_what_ended_with_its_host_is_started_there_and_counts_as_no_failure(recovery: str) -> None:
    look = cluster(booted("n1"), booted("n2"), booted("n3"), recovery=recovery)

    decision = first_round(look)

    assert starts(decision) == HOME
    assert done(decision, Relocate) == [] and done(decision, GiveUp) == []
    assert all(each.restarts == () for each in decision.status.services.values())
    assert {each.last_boot for each in decision.status.nodes.values()} == {"b2"}


@pytest.mark.parametrize("recovery", RECOVERIES)
def test_what_ended_in_the_same_boot_has_failed(recovery: str) -> None:
    look = cluster(*(booted(name, "b1") for name in HOME.values()), recovery=recovery)

    decision = first_round(look)

    if recovery == "restart":
        assert all(each.restarts for each in decision.status.services.values())
    else:
        assert starts(decision) == {}


def test_it_is_no_failure_either_where_the_node_tells_late_what_runs_there() -> None:
    look = cluster(booted("n1"), booted("n2", told=False), booted("n3"), recovery="relocate")

    first = first_round(look)
    second = decide(later(look, 2.0, booted("n2")), first.status)

    assert "b" not in starts(first)
    assert starts(second)["b"] == "n2" and done(second, Relocate) == []


def test_a_boot_counts_once() -> None:
    look = cluster(booted("n1"), booted("n2"), booted("n3"))
    status = replace(first_round(look).status, services=ran_before(look).services)

    decision = decide(later(look), status)

    assert all(each.restarts for each in decision.status.services.values())


def test_a_host_that_is_missing_is_waited_for_and_then_its_guests_alone_go_elsewhere() -> None:
    missing = replace(gone("n3"), lease=lease(2.0, proves=True))
    look = cluster(booted("n1"), booted("n2"), missing)

    first = first_round(look)
    assert starts(first) == {"a": "n1", "b": "n2"} and done(first, Declare) == []

    silent = replace(missing, lease=lease(118.0, proves=True))
    running = [replace(ended(name), runs=(HOME[name],)) for name in ("a", "b")]
    waits = decide(later(look, 117.0, silent, *running), first.status)
    assert done(waits, Declare) == [] and "are left to it" in waits.reasons.nodes["n3"].text

    over = replace(missing, lease=lease(120.0, proves=True))
    declared = decide(later(look, 119.0, over, *running), waits.status)
    assert done(declared, Declare) == [Declare(node="n3", evidence="lease", lease=5)]
    taken = decide(later(look, 121.0, offline("n3", evidence="lease"), *running), declared.status)
    assert done(taken, TakeOver) == [TakeOver(node="n3", takers={"c": "n1"})]


# Hosts that were shut down in good order are offline in the document


def test_a_host_that_left_in_good_order_is_waited_for_too() -> None:
    look = cluster(booted("n1"), booted("n2"), in_order("n3"))

    first = first_round(look)
    waits = decide(later(look, 117.9), first.status)
    taken = decide(later(look, 118.0), waits.status)

    for decision in (first, waits):
        assert done(decision, TakeOver) == []
        assert decision.status.services["c"].state == "stopped"
    said = waits.reasons.services["c"].text
    assert said.startswith("n3 was shut down in good order. n3 was not seen since n1 looks for it")
    assert said.endswith("; 0 s are left to it. At once: mcv evacuate n3")
    assert done(taken, TakeOver) == [TakeOver(node="n3", takers={"c": "n1"})]


def test_nobody_is_told_again_that_it_is_blocked_because_a_manager_has_begun() -> None:
    look = cluster(booted("n1"), booted("n2"), in_order("n3"))
    was = ran_before(look)
    blocked = {**was.services, "c": replace(was.services["c"], state="blocked")}

    decision = decide(look, replace(was, services=blocked))

    assert decision.status.services["c"].state == "blocked"
    assert done(decide(later(look, 60.0, booted("n3")), decision.status), Start)[-1].service == "c"


@pytest.mark.parametrize("recovery", RECOVERIES)
def test_it_comes_back_in_time_and_has_its_guests(recovery: str) -> None:
    look = cluster(booted("n1"), booted("n2"), in_order("n3"), recovery=recovery)

    first = first_round(look)
    back = decide(later(look, 60.0, booted("n3")), first.status)

    assert starts(back)["c"] == "n3"
    assert back.status.services["c"].restarts == () and done(back, GiveUp) == []


@pytest.mark.parametrize(
    "known",
    [{"evidence": "off"}, {"evidence": "word"}, {"renewed": True}, {"maintenance": True}],
    ids=["fenced before", "called dead before", "left under these eyes", "maintenance"],
)
def test_what_is_known_of_it_is_not_waited_for(known: dict[str, Any]) -> None:
    look = cluster(booted("n1"), booted("n2"), in_order("n3", **known))

    assert done(first_round(look), TakeOver) == [TakeOver(node="n3", takers={"c": "n1"})]


def test_what_is_wanted_stopped_waits_with_it() -> None:
    stopped = replace(ended("c"), entry=HaEntry(wanted="stopped"))
    look = cluster(booted("n1"), booted("n2"), in_order("n3"))

    assert done(decided(later(look, 0.0, stopped)), TakeOver) == []
