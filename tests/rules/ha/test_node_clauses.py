"""Clauses of the table of nodes that strike seldom: each is the difference in one case."""

from typing import Any

import pytest
from msgspec.structs import replace

from mcv.rules.ha.actions import Declare, Distrust, Fence, Maintain, SwitchOn, TakeOver
from mcv.rules.ha.decide import Decision, decide
from mcv.rules.ha.snapshot import ClaimSeen, FenceSeen
from mcv.rules.ha.status import NodeStatus, ServiceStatus
from tests.rules.ha.seen import (
    LONG_AGO,
    before,
    decided,
    done,
    later,
    lease,
    node,
    offline,
    service,
    silent,
    snapshot,
)
from tests.rules.ha.test_node_table import FENCING, SUSPECT, of_n2, state


@pytest.mark.parametrize(
    ("seen", "shown"),
    [
        (offline("n2"), "offline"),
        (offline("n2", maintenance=True), "maintenance"),
        (node("n2", draining=True), "draining"),
        (node("n2"), "online"),
    ],
    ids=["offline", "maintenance", "draining", "online"],
)
def test_unarmed_a_node_is_what_the_document_says(seen, shown: str) -> None:  # type: ignore[no-untyped-def]
    assert state(of_n2(seen, NodeStatus(state="suspect"), ha={"armed": False})) == shown


def test_a_node_that_was_never_judged_is_told_of_no_change() -> None:
    look = snapshot([node("n1"), offline("n2")])

    decision = decide(look, replace(before(look), nodes={}))

    assert decision.actions == () and state(decision) == "offline"


def test_a_node_whose_lease_moves_is_online_though_it_was_suspect_at_that_revision_once() -> None:
    was = NodeStatus(state="online", lease=5)

    assert state(of_n2(node("n2", lease=lease(1.0, revision=5)), was)) == "online"


def test_a_node_that_fails_over_says_that_it_shuts_down() -> None:
    assert of_n2(node("n2", leaving="failover")).reasons.nodes["n2"].text == "n2 is shutting down"


def test_an_operation_of_the_managers_own_keeps_no_node_from_maintenance() -> None:
    claim = ClaimSeen(operation="op1", node="n1", mine=True)

    decision = of_n2(node("n2", draining=True, is_empty=True, claim=claim))

    assert done(decision, Maintain) == [Maintain(node="n2")]


def test_a_suspicion_is_as_old_as_its_first_round() -> None:
    assert of_n2(silent("n2"), SUSPECT).status.nodes["n2"].since == SUSPECT.since


def test_a_lease_that_moved_while_its_node_was_switched_off_is_not_forgotten() -> None:
    """Off would count for the new revision else, which nobody has seen for long."""
    moved = node("n2", lease=lease(9.0, revision=6), told=False, answers=(), can_fence=True)
    running = replace(moved, fence=FenceSeen(uid="1.7", outcome="running"))
    look = snapshot([node("n1"), running])

    waits = decide(look, before(look, of={"n2": FENCING}))
    off = later(look, 2.0, replace(moved, fence=FenceSeen(uid="1.7", outcome="off")))
    doubt = decide(off, waits.status)

    assert waits.status.nodes["n2"].lease == 5
    assert done(doubt, Declare) == [] and doubt.status.nodes["n2"].doubt == "1.7"


def test_after_a_failure_a_lease_that_has_moved_counts_by_its_new_revision() -> None:
    """And T is not waited for in vain."""
    tried = replace(FENCING, uid="", tries=1, again=LONG_AGO + 60)
    moved = node("n2", lease=lease(22.0, revision=6, proves=True), told=False, answers=())

    decision = of_n2(moved, tried)

    assert done(decision, Declare) == [Declare(node="n2", evidence="lease", lease=6)]


@pytest.mark.parametrize(
    "fence",
    [None, FenceSeen(uid="1.3", outcome="running"), FenceSeen(uid="1.7", outcome="failed")],
    ids=["nobody knows of it", "another one", "it failed"],
)
def test_of_a_fencing_that_does_not_go_on_nothing_is_left_once_the_node_lives(
    fence: FenceSeen | None,
) -> None:
    decision = of_n2(node("n2", lease=lease(0.5, revision=6), fence=fence), FENCING)

    assert state(decision) == "online" and decision.status.nodes["n2"].uid == ""


def stuck(**values: object) -> Decision:
    """n2 lives, and something there is said not to stop."""
    was = ServiceStatus(state="error", node="n2")
    runs = values.pop("runs", ("n2",))
    changed = {name: values.pop(name) for name in ("state", "node") if name in values}
    look = snapshot(
        [node("n1"), node("n2", **{"can_fence": True, **values}), node("n3")],
        [service("a", "n2", runs=runs)],
        ha={"on_stop_failure": "fence"},
    )
    return decide(look, before(look, a=replace(was, **changed)))


def test_what_does_not_stop_has_its_host_fenced_in_no_other_case() -> None:
    assert done(stuck(), Fence) != []
    assert done(stuck(can_fence=False), Fence) == []
    assert done(stuck(runs=()), Fence) == []
    assert done(stuck(state="started"), Fence) == []
    assert done(stuck(node="n3"), Fence) == []


def test_a_fencing_that_was_demanded_is_one() -> None:
    look = snapshot(
        [node("n1"), node("n2", can_fence=True)],
        [service("a", "n2")],
        ha={"on_stop_failure": "fence"},
    )
    error = ServiceStatus(state="error", node="n2")

    first = decide(look, before(look, a=error))
    second = decide(later(look), first.status)
    moved = node("n2", can_fence=True, lease=lease(1.0, revision=6))
    third = decide(later(look, 4.0, moved), second.status)

    assert (
        done(first, Fence)
        == done(second, Fence)
        == done(third, Fence)
        == [Fence(uid="1.1", node="n2")]
    )


def test_a_fencing_goes_on_by_the_next_manager_whatever_answers_meanwhile() -> None:
    for answers in (None, ("DRBD",)):
        decision = of_n2(silent("n2", answers=answers, can_fence=True), FENCING)

        assert done(decision, Fence) == [Fence(uid="1.7", node="n2")]


def test_a_failure_of_another_fencing_is_none_of_this_one() -> None:
    failed = FenceSeen(uid="1.3", outcome="failed")

    decision = of_n2(silent("n2", answers=(), can_fence=True, fence=failed), FENCING)

    assert (decision.status.nodes["n2"].uid, decision.status.nodes["n2"].tries) == ("1.7", 0)


def test_with_leases_nobody_asks_for_contact_before_a_fencing() -> None:
    decision = of_n2(silent("n2", answers=(), can_fence=True, contact=False), SUSPECT)

    assert done(decision, Fence) != []


def test_an_operators_setting_counts_after_t_alone() -> None:
    tried = replace(FENCING, uid="", tries=1, again=LONG_AGO + 60)

    decision = of_n2(
        silent("n2", 21.0, answers=(), can_fence=True), tried, ha={"on_fence_failure": "continue"}
    )

    assert done(decision, Declare) == [] and state(decision) == "fence-failed"


def test_a_retry_is_no_failure_where_the_lease_proves_something() -> None:
    tried = replace(FENCING, uid="", tries=1, again=LONG_AGO - 1)
    values: dict[str, Any] = {"answers": (), "can_fence": True}

    assert state(of_n2(silent("n2", 10.0, proves=True, **values), tried)) == "fencing"
    assert state(of_n2(silent("n2", 10.0, **values), tried)) == "fence-failed"


def test_a_node_that_boots_after_a_doubt_is_no_wrong_plug() -> None:
    doubted = replace(SUSPECT, lease=6, doubt="1.7")
    back = node("n2", lease=replace(lease(0.5, revision=9), boot="b2"))

    decision = of_n2(back, doubted)

    assert done(decision, Distrust) == [] and state(decision) == "online"


def test_a_node_that_an_operator_has_switched_off_is_not_switched_on() -> None:
    look = snapshot([node("n1"), offline("n2")])

    first = decided(look, before(look, of={"n2": NodeStatus(state="suspect")}))
    second = decide(later(look), first.status)

    assert done(first, SwitchOn) + done(second, SwitchOn) == []


# What an operator switches


TEST = "mcv fence test n2 --off"


@pytest.mark.parametrize("was", [None, SUSPECT, replace(SUSPECT, state="fence-failed", tries=1)])
def test_a_node_whose_power_an_operator_switches_is_let_be(was: NodeStatus | None) -> None:
    """Though its lease has ended, and a device could prove as much."""
    gone = silent("n2", 60.0, proves=True, answers=(), can_fence=True, switched=TEST)

    decision = of_n2(gone, was)

    assert decision.actions == ()
    assert decision.reasons.nodes["n2"].text == (
        f"n2 is let be while an operator switches its power: {TEST}"
    )


def test_it_is_judged_as_any_other_once_that_is_over() -> None:
    gone = silent("n2", 60.0, answers=(), can_fence=True, switched=TEST)
    look = snapshot([node("n1"), gone, node("n3")])
    first = decided(look)

    over = decide(later(look, 2.0, replace(gone, switched="")), first.status)
    back = decide(
        later(look, 2.0, node("n2", lease=lease(1.0, revision=9), switched=TEST)), first.status
    )

    assert state(first) == "suspect" and [each.node for each in done(over, Fence)] == ["n2"]
    assert state(back) == "online" and back.actions == ()


def test_nothing_goes_to_it_and_it_is_not_fenced_for_what_does_not_stop_there() -> None:
    there = node("n2", can_fence=True, switched=TEST)
    look = snapshot(
        [node("n1"), there, offline("n3")],
        [service("a", "n3", runs=(), places={"n2": "", "n3": ""}), service("b", "n2")],
        ha={"on_stop_failure": "fence"},
    )

    decision = decide(look, before(look, b=ServiceStatus(state="error", node="n2", since=LONG_AGO)))

    assert not done(decision, TakeOver) and not done(decision, Fence)
    assert f"n2: an operator switches its power: {TEST}" in decision.reasons.services["a"].text


def test_what_an_operator_has_switched_off_is_not_switched_on_again() -> None:
    """The manager has asked its devices too, and has declared it."""
    off = offline("n2", kept_off=True)

    declared = of_n2(off, FENCING)
    later_on = of_n2(off, NodeStatus(state="offline", since=LONG_AGO - 9, uid="1.8"))

    for decision in (declared, later_on):
        assert done(decision, SwitchOn) == [] and decision.status.nodes["n2"].uid == ""
    assert later_on.reasons.nodes["n2"].text.endswith("and stays off: mcv fence on n2")
