"""What an operator reads of decisions: why, and what to do where it is an operator's turn."""

import pytest
from msgspec.structs import replace

from mcv.rules.ha.actions import GiveUp, Start
from mcv.rules.ha.decide import decide
from mcv.rules.ha.explain import what_if
from mcv.rules.ha.snapshot import Result
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
    silent,
    snapshot,
)

NO_LUCK = Result(uid="1.1", outcome="failed", message="Could not start a:\n no such image.")


def test_why_an_action_failed_is_said_for_as_long_as_that_matters() -> None:
    """In a line, since the last one goes into the document."""
    start = Start(uid="1.1", service="a", node="n1")
    ended = service("a", "n1", runs=(), result=NO_LUCK, places={"n1": "", "n2": ""})
    look = snapshot([node("n1"), node("n2")], [ended])
    was = ServiceStatus(state="starting", node="n1", pending=start, since=LONG_AGO)

    again = decide(look, before(look, a=was))
    moved = decide(look, before(look, a=replace(was, restarts=(LONG_AGO,))))
    given_up = decide(
        look, before(look, a=replace(was, restarts=(LONG_AGO,), relocates=(LONG_AGO,)))
    )
    well = replace(ended, runs=("n1",), result=replace(NO_LUCK, outcome="done"))
    runs = decide(later(look, 2.0, well), before(look, a=was))

    because = "(Could not start a:\\n no such image)"
    assert again.reasons.services["a"].text == f"it does not run on n1 {because}: restart 1 of 1"
    assert moved.reasons.services["a"].text == f"it does not run on n1 {because}: relocated to n2"
    [failed] = done(given_up, GiveUp)
    tries = "after 1 restart and 1 relocation in 3600 s"
    assert failed.why == f"it does not run on n1, {tries} {because}"
    assert runs.status.services["a"].trouble == ""


def test_a_failure_is_not_said_of_what_ended_by_itself_later() -> None:
    look = snapshot([node("n1")], [service("a", "n1", runs=())])

    decision = decided(look, before(look, a=ServiceStatus(state="started", node="n1")))

    assert decision.reasons.services["a"].text == "it ended on n1: restart 1 of 1"


def test_what_waits_for_a_node_that_waits_for_an_operator_waits_for_one_too() -> None:
    gone = silent("n2", 60.0, answers=())
    look = snapshot([node("n1"), gone, node("n3")], [service("a", "n2", runs=())])

    reason = decided(look, before(look, of={"n2": NodeStatus(state="suspect", lease=5)})).reasons

    assert reason.services["a"].attention
    assert reason.services["a"].text.endswith("If it is dead: mcv fence confirm n2")


def test_the_way_without_the_newest_data_is_said_where_it_is_an_operators_turn() -> None:
    places = {"n1": "its replica of disk 1 is Outdated", "n2": ""}
    gone = snapshot(
        [node("n1"), offline("n2")], [service("a", "n2", runs=(), places=places, newest="n2")]
    )
    there = snapshot([node("n1"), node("n2")], [service("a", "n2", places=places, newest="n2")])

    blocked = decided(gone).reasons.services["a"]
    [would] = what_if(there, before(there), frozenset({"n2"}))

    assert blocked.whole.endswith(
        "is Outdated. Once you have looked: mcv register a --accept-stale"
    )
    assert "accept-stale" not in would.why


def test_several_are_still_there() -> None:
    draining = node("n2", draining=True, is_empty=False)
    look = snapshot(
        [node("n1"), draining], [service("a", "n2", live=False), service("b", "n2", live=False)]
    )

    assert decided(look).reasons.nodes["n2"].text == "n2 is draining: a and b are still there"


@pytest.mark.parametrize(
    ("proves", "said"), [(True, "; after 22 s it counts as dead"), (False, "")]
)
def test_how_long_a_lease_is_waited_for_is_said_where_that_is_a_proof(
    proves: bool, said: str
) -> None:
    look = snapshot([node("n1"), silent("n2", 9.0, proves=proves)])

    assert decided(look).reasons.nodes["n2"].text == f"n2's lease has not moved for 9 s{said}"
