"""What leaves a node that drains, and what goes back to a better one."""

from typing import Any

import pytest
from msgspec.structs import replace

from mcv.document.ha_entries import FailoverDomain, Tie, TieKind
from mcv.rules.ha.actions import Migrate, Relocate, Start
from mcv.rules.ha.decide import Decision, decide
from mcv.rules.ha.snapshot import ClaimSeen, Result, ServiceSeen
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

DRAINS = node("n2", draining=True)
ORDERED = {"d": FailoverDomain(nodes={"n1": 1, "n2": 2}, ordered=True)}
IN_D = {"domain": "d"}


def _of_a(was: ServiceStatus | None) -> dict[str, Any]:
    return {"a": was} if was else {}


def draining(seen: ServiceSeen, was: ServiceStatus | None = None, **drain: Any) -> Decision:
    look = snapshot([node("n1"), replace(DRAINS, **drain), node("n3")], [seen])
    return decide(look, before(look, **_of_a(was)))


def test_a_running_guest_leaves_a_draining_node_live() -> None:
    decision = draining(service("a", "n2"))

    assert decision.actions == (Migrate(uid="1.1", service="a", node="n2", target="n1"),)
    assert decision.status.services["a"].state == "migrating"
    assert decision.status.services["a"].relocates == ()


def test_what_does_not_go_live_is_stopped_only_where_the_drain_may() -> None:
    fixed = service("a", "n2", live=False)

    stays = draining(fixed)

    assert stays.actions == () and stays.reasons.services["a"].attention
    assert "mcv node drain n2 --shutdown" in stays.reasons.services["a"].text
    for values in ({"shuts_down": True}, {"draining": False, "leaving": "migrate"}):
        assert [each.target for each in done(draining(fixed, **values), Relocate)] == ["n1"]


def test_a_service_with_an_address_goes_by_stop_and_start() -> None:
    assert done(draining(service("a", "n2", kind="service", live=False)), Relocate) != []


def test_a_migration_that_fails_is_tried_again_and_counts_nothing() -> None:
    move = Migrate(uid="1.9", service="a", node="n2", target="n1")
    was = ServiceStatus(state="migrating", node="n2", pending=move)
    failed = service("a", "n2", result=Result(uid="1.9", outcome="failed"))

    decision = draining(failed, was)

    assert decision.actions == () and decision.reasons.services["a"].attention
    status = decision.status.services["a"]
    assert (status.state, status.tried, status.relocates) == ("started", {}, ())
    look = snapshot([node("n1"), DRAINS, node("n3")], [failed])
    assert done(decide(later(look, 9.0), decision.status), Migrate) == []
    assert done(decide(later(look, 10.0), decision.status), Migrate) != []


def test_without_another_node_it_stays_and_says_so() -> None:
    look = snapshot([DRAINS], [service("a", "n2")], manager="n2")

    decision = decided(look)

    assert decision.actions == () and decision.reasons.services["a"].attention


def test_what_ended_on_a_draining_node_is_not_started_there() -> None:
    decision = draining(service("a", "n2", runs=()))

    assert done(decision, Start) == [] and done(decision, Relocate) != []


def test_a_node_that_shuts_down_and_fails_over_keeps_nothing_from_ending() -> None:
    decision = draining(service("a", "n2", runs=()), draining=False, leaving="failover")

    assert decision.actions == ()


def test_an_operator_that_drains_the_node_moves_its_guests_himself() -> None:
    claim = ClaimSeen(operation="op1", node="n1", why="drain node n2")

    for runs in (("n2",), ()):
        assert done(draining(service("a", "n2", runs=runs), claim=claim), Migrate) == []
        assert done(draining(service("a", "n2", runs=runs), claim=claim), Relocate) == []


def test_what_a_drain_moved_goes_back_once_its_node_is_restored() -> None:
    look = snapshot([node("n1"), node("n2"), node("n3")], [service("a", "n1", home="n2")])
    was = ServiceStatus(state="started", node="n1", drained_from="n2")

    back = decide(look, before(look, a=was))
    rests = replace(look, nodes={**look.nodes, "n2": offline("n2", maintenance=True)})
    elsewhere = later(look, 2.0, service("a", "n1", home="n3"))

    assert [each.target for each in done(back, Migrate)] == ["n2"]
    assert decide(rests, before(rests, a=was)).actions == ()
    assert decide(elsewhere, before(elsewhere, a=was)).actions == ()


def test_what_is_there_again_has_no_way_back() -> None:
    look = snapshot([node("n1"), node("n2")], [service("a", "n2")])
    was = ServiceStatus(state="started", node="n2", drained_from="n2")

    assert decide(look, before(look, a=was)).status.services["a"].drained_from == ""


def better(online_for: float = 60.0, **values: Any) -> Decision:
    """A service of n2, whose domain prefers n1, which has been online for a while."""
    seen = service("a", "n2", **{"entry": IN_D, **values})
    look = snapshot([node("n1"), node("n2")], [seen], domains=ORDERED)
    of = {"n1": NodeStatus(state="online", since=LONG_AGO - online_for)}
    return decide(look, before(look, of=of))


def test_a_better_class_of_its_domain_that_is_stable_for_a_minute_takes_it_back() -> None:
    assert better(59.0).actions == ()
    assert better().actions == (Migrate(uid="1.1", service="a", node="n2", target="n1"),)


@pytest.mark.parametrize(
    "values",
    [
        {"entry": {**IN_D, "failback": False}},
        {"places": {"n1": "its replica is Inconsistent", "n2": ""}},
        {"live": False},
        {"entry": {}},
    ],
    ids=["no failback", "not clean", "not live", "no domain"],
)
def test_it_does_not_go_back_otherwise(values: dict[str, Any]) -> None:
    assert better(**values).actions == ()


def test_it_does_not_go_back_where_its_domain_has_no_failback() -> None:
    domain = replace(ORDERED["d"], failback=False)
    look = snapshot(
        [node("n1"), node("n2")], [service("a", "n2", entry=IN_D)], domains={"d": domain}
    )

    assert decided(look).actions == ()


def test_it_does_not_go_back_to_where_it_would_not_run() -> None:
    look = snapshot([node("n1"), node("n2")], [service("a", "n2", entry=IN_D)], domains=ORDERED)
    was = ServiceStatus(state="started", node="n2", tried={"n1": LONG_AGO - 100})

    assert decide(look, before(look, a=was)).actions == ()


def test_a_move_to_a_better_place_that_failed_waits_longer_each_time() -> None:
    move = Migrate(uid="1.9", service="a", node="n2", target="n1")
    failed = service("a", "n2", entry=IN_D, result=Result(uid="1.9", outcome="failed"))
    look = snapshot([node("n1"), node("n2")], [failed], domains=ORDERED)
    once = ServiceStatus(state="migrating", node="n2", pending=move)
    twice = replace(once, returns=(LONG_AGO - 30,))

    for was, pause in ((once, 20.0), (twice, 40.0)):
        after = decide(look, before(look, a=was))
        assert after.actions == ()
        assert done(decide(later(look, pause - 1), after.status), Migrate) == []
        assert done(decide(later(look, pause), after.status), Migrate) != []


def test_members_of_one_class_are_equally_good() -> None:
    domain = FailoverDomain(nodes={"n1": 1, "n2": 2})
    look = snapshot(
        [node("n1"), node("n2")], [service("a", "n2", entry=IN_D)], domains={"d": domain}
    )

    assert decided(look).actions == ()


def test_a_stranger_to_its_domain_gives_it_back() -> None:
    domain = FailoverDomain(nodes={"n1": 1})
    look = snapshot(
        [node("n1"), node("n2")], [service("a", "n2", entry=IN_D)], domains={"d": domain}
    )

    assert done(decided(look), Migrate) != []


def test_a_restricted_domain_is_gone_to_without_failback_as_well() -> None:
    domain = FailoverDomain(nodes={"n1": 1}, restricted=True, failback=False)
    look = snapshot(
        [node("n1"), node("n2")], [service("a", "n2", entry=IN_D)], domains={"d": domain}
    )

    assert done(decided(look), Migrate) != []


def test_what_is_apart_parts_again_and_what_is_together_meets_again() -> None:
    cases: list[tuple[TieKind, str, str]] = [("apart", "n1", "n2"), ("together", "n2", "n2")]
    for kind, b, target in cases:
        look = snapshot(
            [node("n1"), node("n2")],
            [service("a", "n1"), service("b", b)],
            ties=(Tie(kind=kind, names=("a", "b")),),
        )

        decision = decided(look)

        moves = done(decision, Migrate)
        assert [(each.service, each.target) for each in moves] == [("a", target)], kind


def test_a_set_that_is_together_follows_who_had_to_leave() -> None:
    look = snapshot(
        [node("n1"), node("n2")],
        [service("a", "n1"), service("b", "n2"), service("c", "n2")],
        ties=(Tie(kind="together", names=("a", "b", "c")),),
    )
    left = ServiceStatus(state="started", node="n1", tried={"n2": LONG_AGO - 100})

    decision = decide(look, before(look, a=left))

    assert {each.service: each.target for each in done(decision, Migrate)} == {"b": "n1", "c": "n1"}
