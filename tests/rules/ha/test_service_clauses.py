"""Clauses of the table of services that strike seldom: each is the difference in one case."""

from msgspec.structs import replace

from mcv.document.ha_entries import FailoverDomain
from mcv.rules.ha.actions import Migrate, Relocate, Resume, Tell
from mcv.rules.ha.decide import decide
from mcv.rules.ha.snapshot import ClaimSeen
from mcv.rules.ha.status import NodeStatus, ServiceStatus
from tests.rules.ha.seen import (
    LONG_AGO,
    before,
    decided,
    done,
    later,
    node,
    offline,
    service,
    snapshot,
)

NODES = [node("n1"), node("n2"), node("n3")]
ENDED = service("a", "n2", runs=())


def test_what_runs_when_it_is_seen_first_has_ended_when_it_does_not_run_later() -> None:
    look = snapshot(NODES, [service("a", "n2")])
    first = decide(look, replace(before(look), services={}))

    ended = decide(later(look, 2.0, ENDED), first.status)

    assert first.status.services["a"].state == "started"
    assert len(ended.status.services["a"].restarts) == 1


def test_a_claim_of_a_node_that_is_no_member_any_more_is_brought_to_its_end() -> None:
    claim = ClaimSeen(operation="op1", node="n9")

    decision = decided(snapshot(NODES, [replace(ENDED, claim=claim)]))

    assert decision.actions == (Resume(service="a", operation="op1", node="n9"),)


def test_an_order_that_nobody_remembers_is_waited_for_while_it_has_its_claim() -> None:
    claim = ClaimSeen(operation="op1", node="n2", mine=True)

    assert decided(snapshot(NODES, [replace(ENDED, claim=claim)])).actions == ()


def test_whoever_is_named_is_told_once_of_a_takeover_and_of_a_block() -> None:
    for places in (None, {"n2": ""}):
        look = snapshot([node("n1"), offline("n2")], [replace(ENDED, places=places)])

        first = decided(look)
        second = decide(later(look), first.status)

        assert len(done(first, Tell)) == 1 and done(second, Tell) == []


def test_a_drain_that_the_manager_has_ordered_is_no_operators() -> None:
    claim = ClaimSeen(operation="op1", node="n1", mine=True)
    drains = node("n2", draining=True, claim=claim)

    running = decided(snapshot([node("n1"), drains], [service("a", "n2")]))
    ended = decided(snapshot([node("n1"), drains], [ENDED]))

    assert done(running, Migrate) != [] and done(ended, Relocate) != []


def test_a_service_with_an_address_goes_back_to_a_better_node_by_a_stop() -> None:
    domain = FailoverDomain(nodes={"n1": 1, "n2": 2}, ordered=True)
    seen = service("a", "n2", kind="service", live=False, entry={"domain": "d"})
    look = snapshot([node("n1"), node("n2")], [seen], domains={"d": domain})
    was = ServiceStatus(state="started", node="n2")

    decision = decide(
        look, before(look, of={"n1": NodeStatus(state="online", since=LONG_AGO - 60)}, a=was)
    )

    assert [each.target for each in done(decision, Relocate)] == ["n1"]
