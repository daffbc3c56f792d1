"""What becomes of services whose node is offline."""

from msgspec.structs import replace

from mcv.document.ha_entries import FailoverDomain
from mcv.rules.ha.actions import Start, TakeOver, Tell
from mcv.rules.ha.decide import decide
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


def test_all_services_of_a_dead_node_go_to_the_best_nodes_in_one_change() -> None:
    look = snapshot(
        [node("n1"), node("n2"), offline("n3")],
        [service("a", "n3", runs=()), service("b", "n3", runs=()), service("c", "n1")],
    )

    decision = decided(look)

    # n2 has none at first, and then as many as n1: equal ones go by name.
    assert done(decision, TakeOver) == [TakeOver(node="n3", takers={"a": "n2", "b": "n1"})]
    assert done(decision, Start) == []
    assert decision.status.services["a"].state == "recovery"


def test_what_was_taken_over_is_started_and_counts_as_no_restart() -> None:
    look = snapshot([node("n1"), node("n2"), offline("n3")], [service("a", "n2", runs=())])

    decision = decided(look, before(look, a=ServiceStatus(state="recovery", node="n3")))

    assert [(each.service, each.node) for each in done(decision, Start)] == [("a", "n2")]
    assert decision.status.services["a"].state == "starting"
    assert decision.status.services["a"].restarts == ()


def test_without_a_candidate_it_is_blocked_with_what_each_node_lacks() -> None:
    look = snapshot(
        [node("n1"), node("n2"), offline("n3")],
        [
            service(
                "a",
                "n3",
                runs=(),
                entry={"domain": "d"},
                places={"n2": "its replica is Outdated", "n3": ""},
                newest="n3",
            )
        ],
        domains={"d": FailoverDomain(nodes={"n2": 1, "n3": 1}, restricted=True)},
    )

    decision = decided(look)

    assert decision.status.services["a"].state == "blocked"
    said = decision.reasons.services["a"]
    assert said.attention and said.text.startswith("newest data is on n3")
    assert "n1: it is not in the domain d" in said.text
    assert "n2: its replica is Outdated" in said.text


def test_what_is_wanted_stopped_goes_along_and_is_not_started() -> None:
    stopped = service("a", "n3", runs=(), entry={"wanted": "stopped"})
    look = snapshot([node("n1"), node("n2"), offline("n3")], [stopped])

    decision = decided(look)

    assert done(decision, TakeOver) == [TakeOver(node="n3", takers={"a": "n1"})]
    assert decision.status.services["a"].state == "stopped"


def test_what_is_wanted_stopped_stays_where_no_other_node_can_have_it() -> None:
    stopped = service("a", "n3", runs=(), entry={"wanted": "stopped"}, places={"n3": ""})
    look = snapshot([node("n1"), node("n2"), offline("n3")], [stopped])

    decision = decided(look)

    assert decision.actions == () and decision.status.services["a"].state == "stopped"


def test_a_service_with_a_sleeptime_is_taken_over_once_that_has_passed() -> None:
    """It counts from when its node was seen offline; its place is kept meanwhile."""
    look = snapshot(
        [node("n1"), node("n2", memory=4), offline("n3")],
        [
            service("a", "n3", runs=(), sleeptime=7.0, memory=4, entry={"priority": 9}),
            service("b", "n3", runs=(), memory=4, places={"n2": "", "n3": ""}),
        ],
    )
    look = replace(look, nodes={**look.nodes, "n1": node("n1", memory=0)})

    first = decided(look, before(look, of={"n3": NodeStatus(state="offline", since=LONG_AGO)}))
    early = decide(later(look, 6.9), first.status)
    due = decide(later(look, 7.0), early.status)

    assert done(first, TakeOver) == done(early, TakeOver) == []
    assert (
        first.reasons.services["a"].text == "n3 is offline: n2 takes it over in 7 s (its sleeptime)"
    )
    assert first.status.services["b"].state == "blocked"
    assert done(due, TakeOver) == [TakeOver(node="n3", takers={"a": "n2"})]
    told = [each.text for each in (*done(first, Tell), *done(early, Tell), *done(due, Tell))]
    assert [text for text in told if "a goes" in text] == ["n3 is offline: a goes to n2."]
