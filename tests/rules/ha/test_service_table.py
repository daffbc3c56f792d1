"""The table of services, row by row: what runs, ends, or has to wait."""

from typing import Any

import pytest
from msgspec.structs import replace

from mcv.document.ha_entries import HaEntry
from mcv.rules.ha.actions import GiveUp, Migrate, Relocate, Resume, Start, Stop, Tell
from mcv.rules.ha.decide import Decision, decide
from mcv.rules.ha.snapshot import ClaimSeen, Outcome, Result, ServiceSeen
from mcv.rules.ha.status import ServiceStatus
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

NODES = [node("n1"), node("n2"), node("n3")]
ENDED = service("a", "n2", runs=())
RAN = ServiceStatus(state="started", node="n2")
RESTARTED = ServiceStatus(state="started", node="n2", restarts=(LONG_AGO - 100,))
START = Start(uid="1.9", service="a", node="n2")
STOP = Stop(uid="1.9", service="a", node="n2")


def _of_a(was: ServiceStatus | None) -> dict[str, Any]:
    return {"a": was} if was else {}


def of_a(seen: ServiceSeen, was: ServiceStatus | None = None, **values: Any) -> Decision:
    look = snapshot(NODES, [seen], **values)
    return decide(look, before(look, **_of_a(was)))


def state(decision: Decision, name: str = "a") -> str:
    return decision.status.services[name].state


def ended(**entry: Any) -> ServiceSeen:
    return service("a", "n2", runs=(), entry=entry)


def with_result(seen: ServiceSeen, outcome: Outcome, uid: str = "1.9") -> ServiceSeen:
    return replace(seen, result=Result(uid=uid, outcome=outcome))


def test_what_runs_where_it_belongs_is_let_be() -> None:
    decision = of_a(service("a", "n2"))

    assert decision.actions == () and state(decision) == "started"
    assert decision.reasons.services["a"].text == "it runs on n2"


def test_what_is_wanted_and_never_ran_is_started_and_that_counts_as_no_restart() -> None:
    decision = of_a(ENDED, ServiceStatus(state="stopped", node="n2"))

    assert decision.actions == (Start(uid="1.1", service="a", node="n2"),)
    assert state(decision) == "starting" and decision.status.services["a"].restarts == ()


def test_what_ended_is_started_again_on_its_healthy_owner_and_that_counts() -> None:
    decision = of_a(ENDED, RAN)

    assert done(decision, Start) == [Start(uid="1.1", service="a", node="n2")]
    assert decision.status.services["a"].restarts == (LONG_AGO,)


def test_a_restart_out_of_the_window_counts_no_more() -> None:
    was = ServiceStatus(state="started", node="n2", restarts=(LONG_AGO - 3600,))

    assert done(of_a(ENDED, was), Start) != []
    assert done(of_a(ended(window=3601), was), Start) == []


def test_an_action_is_asked_for_until_its_result_is_seen() -> None:
    was = ServiceStatus(state="starting", node="n2", pending=START)

    assert of_a(ENDED, was).actions == (START,)
    assert of_a(with_result(ENDED, "done", "1.8"), was).actions == (START,)
    after = of_a(with_result(service("a", "n2"), "done"), was)
    assert after.actions == () and after.status.services["a"].pending is None


def test_after_its_restarts_it_is_relocated_to_the_next_candidate() -> None:
    decision = of_a(ENDED, RESTARTED)

    assert done(decision, Relocate) == [Relocate(uid="1.1", service="a", node="n2", target="n1")]
    assert decision.status.services["a"].relocates == (LONG_AGO,)


def test_it_is_relocated_at_once_where_its_recovery_says_so() -> None:
    assert done(of_a(ended(recovery="relocate"), RAN), Relocate) != []


def test_a_first_start_that_fails_is_tried_again_as_a_restart() -> None:
    was = ServiceStatus(state="starting", node="n2", since=LONG_AGO - 5, pending=START)

    decision = of_a(with_result(ENDED, "failed"), was)

    assert [each.node for each in done(decision, Start)] == ["n2"]
    assert decision.status.services["a"].restarts == (LONG_AGO,)


def test_it_is_relocated_where_its_restart_failed() -> None:
    begun = LONG_AGO - 5
    was = ServiceStatus(state="starting", node="n2", since=begun, pending=START, restarts=(begun,))

    decision = of_a(with_result(ended(max_restarts=3), "failed"), was)

    assert [each.target for each in done(decision, Relocate)] == ["n1"]
    assert "n2" in decision.status.services["a"].tried


def test_a_candidate_that_was_tried_is_tried_no_more() -> None:
    tried = {"n1": LONG_AGO - 50, "n2": LONG_AGO - 10}
    was = ServiceStatus(state="started", node="n2", tried=tried, relocates=(LONG_AGO - 50,))

    decision = of_a(ended(max_relocates=3), was)
    last = of_a(ended(max_relocates=3), replace(was, tried={**tried, "n3": LONG_AGO}))

    assert [each.target for each in done(decision, Relocate)] == ["n3"]
    assert done(last, Relocate) == [] and state(last) == "failed"


def test_a_relocated_one_starts_on_its_new_owner() -> None:
    move = Relocate(uid="1.9", service="a", node="n2", target="n1")
    was = ServiceStatus(state="recovery", node="n2", pending=move, tried={"n2": LONG_AGO})

    decision = of_a(with_result(service("a", "n1", runs=()), "done"), was)

    assert decision.actions == (Start(uid="1.1", service="a", node="n1"),)


def test_without_a_node_that_can_run_it_a_relocation_waits_and_is_no_failure() -> None:
    full = service("a", "n2", runs=(), places={"n2": ""})

    decision = of_a(full, RESTARTED)
    again = decide(later(snapshot(NODES, [replace(full, places=None)])), decision.status)

    assert state(decision) == "blocked" and decision.reasons.services["a"].attention
    assert done(decision, GiveUp) == []
    assert done(again, Relocate) != []


@pytest.mark.parametrize(
    ("entry", "was"),
    [
        ({}, replace(RESTARTED, relocates=(LONG_AGO - 50,))),
        ({"recovery": "disable"}, RAN),
        ({"max_restarts": 0, "max_relocates": 0}, RAN),
    ],
    ids=["relocations used up", "disable", "neither is allowed"],
)
def test_it_has_failed_and_is_left_alone_until_an_operator_says_otherwise(
    entry: dict[str, Any], was: ServiceStatus
) -> None:
    decision = of_a(ended(**entry), was)

    assert state(decision) == "failed"
    given_up = done(decision, GiveUp)
    assert [each.service for each in given_up] == ["a"]
    said = decision.reasons.services["a"]
    assert said.attention and "mcv ha set a --state started" in said.text
    assert len(done(decision, Tell)) == 1

    later_on = later(snapshot(NODES, [ended(**entry)]), 7200.0)
    again = decide(later_on, decision.status)
    assert done(again, GiveUp) == given_up and again.actions == tuple(given_up)

    written = ended(**entry, failed=given_up[0].why)
    assert decide(later(later_on, 2.0, written), again.status).actions == ()

    word = later(later_on, 4.0, ended(**entry, asked=7))
    after = decide(word, again.status)
    assert done(after, Start) == [Start(uid="1.1", service="a", node="n2")]
    assert after.status.services["a"].restarts == ()


def test_what_failed_stays_so_for_a_manager_that_knows_nothing() -> None:
    decision = decide(snapshot(NODES, [ended(failed="it ended")]), before(snapshot(NODES)))

    assert decision.actions == () and state(decision) == "failed"


def test_what_is_wanted_stopped_is_shut_down_and_after_its_time_stopped() -> None:
    running = service("a", "n2", entry={"wanted": "stopped"})

    first = of_a(running)
    assert first.actions == (Stop(uid="1.1", service="a", node="n2"),)
    assert state(first) == "stopping"
    second = decide(
        later(snapshot(NODES, [running]), 2.0, with_result(running, "failed", "1.1")), first.status
    )
    assert second.actions == (Stop(uid="1.2", service="a", node="n2", force=True),)
    gone = with_result(replace(running, runs=()), "done", "1.2")
    third = decide(later(snapshot(NODES, [gone]), 4.0), second.status)
    assert third.actions == () and state(third) == "stopped"


def test_what_does_not_stop_is_in_error_and_an_operator_is_told() -> None:
    hard = replace(STOP, force=True)
    was = ServiceStatus(state="stopping", node="n2", pending=hard)
    running = with_result(service("a", "n2", entry={"wanted": "stopped"}), "stop-failed")

    decision = of_a(running, was)

    assert state(decision) == "error"
    assert [type(each) for each in decision.actions] == [Tell]
    assert decision.reasons.services["a"].attention
    assert "mcv stop a" in decision.reasons.services["a"].text
    again = decide(later(snapshot(NODES, [running])), decision.status)
    assert again.actions == () and state(again) == "error"
    ended = decide(later(snapshot(NODES, [replace(running, runs=())])), again.status)
    assert state(ended) == "stopped"


def test_a_relocation_whose_stop_fails_starts_nothing_elsewhere() -> None:
    move = Relocate(uid="1.9", service="a", node="n2", target="n1")
    was = ServiceStatus(state="recovery", node="n2", pending=move, tried={"n2": LONG_AGO})

    decision = of_a(with_result(service("a", "n2"), "stop-failed"), was)

    assert state(decision) == "error" and done(decision, Start) == []


def test_a_relocation_that_fails_goes_to_the_next_node() -> None:
    move = Relocate(uid="1.9", service="a", node="n2", target="n1")
    was = ServiceStatus(state="recovery", node="n2", pending=move, tried={"n2": LONG_AGO})

    decision = of_a(with_result(ENDED, "failed"), was)

    assert [each.target for each in done(decision, Relocate)] == ["n3"]


@pytest.mark.parametrize(
    ("entry", "ha"),
    [({"wanted": "ignored"}, {}), ({}, {"armed": False})],
    ids=["ignored", "disarmed"],
)
def test_what_is_frozen_is_let_be_and_a_move_by_hand_is_adopted(
    entry: dict[str, Any], ha: dict[str, Any]
) -> None:
    seen = service("a", "n2", runs=(), entry=entry)
    was = ServiceStatus(state="starting", node="n2", pending=START)

    decision = of_a(seen, was, ha=ha)

    assert decision.actions == () and state(decision) == "frozen"
    assert decision.status.services["a"].pending is None
    moved = later(snapshot(NODES, [service("a", "n3")]))
    adopted = decide(moved, decision.status)
    assert adopted.actions == () and adopted.status.services["a"].node == "n3"


def test_on_a_dead_node_what_is_frozen_is_let_be() -> None:
    look = snapshot([node("n1"), offline("n2")], [service("a", "n2", entry={"wanted": "ignored"})])

    assert decided(look).actions == ()


def test_an_operators_claim_is_waited_for() -> None:
    claim = ClaimSeen(operation="op1", node="n3", why="migrate to n3")
    lost = replace(ENDED, claim=claim)
    look = snapshot([node("n1"), offline("n2"), node("n3")], [lost])

    for decision in (of_a(lost, RAN), decided(look)):
        assert decision.actions == ()
        assert "migrate to n3" in decision.reasons.services["a"].text


def test_an_operators_claim_is_waited_for_by_what_was_ordered_before() -> None:
    claim = ClaimSeen(operation="op1", node="n3")
    was = ServiceStatus(state="starting", node="n2", pending=START)

    assert of_a(replace(ENDED, claim=claim), was).actions == ()
    assert of_a(replace(ENDED, claim=replace(claim, mine=True)), was).actions == (START,)


def test_an_operation_of_a_dead_node_is_resumed_before_anything_else() -> None:
    claim = ClaimSeen(operation="op1", node="n2", why="migrate to n3")
    look = snapshot(
        [node("n1"), offline("n2"), node("n3")], [service("a", "n2", runs=(), claim=claim)]
    )

    decision = decided(look)

    assert decision.actions == (Resume(service="a", operation="op1", node="n2"),)


def test_a_start_on_a_node_that_died_is_forgotten() -> None:
    look = snapshot([node("n1"), offline("n2"), node("n3")], [ENDED])
    was = ServiceStatus(state="starting", node="n2", pending=START)

    decision = decide(look, before(look, a=was))

    assert decision.status.services["a"].pending is None and state(decision) == "recovery"


def test_a_migration_whose_target_died_is_forgotten() -> None:
    look = snapshot([node("n1"), node("n2"), offline("n3")], [service("a", "n2")])
    move = Migrate(uid="1.9", service="a", node="n2", target="n3")
    was = ServiceStatus(state="migrating", node="n2", pending=move)

    decision = decide(look, before(look, a=was))

    assert decision.actions == () and state(decision) == "started"


def test_what_was_ordered_is_forgotten_where_it_was_moved_by_hand() -> None:
    was = ServiceStatus(state="starting", node="n2", pending=START)

    decision = of_a(service("a", "n3"), was)

    assert decision.actions == () and state(decision) == "started"


def test_nothing_is_ordered_of_a_node_that_is_suspect() -> None:
    was = ServiceStatus(state="starting", node="n2", pending=START)
    look = snapshot([node("n1"), silent("n2")], [ENDED])

    for status in (before(look, a=RAN), before(look, a=was)):
        assert done(decide(look, status), Start) == []


def test_nothing_is_done_about_what_nobody_tells_of() -> None:
    look = snapshot([node("n1"), node("n2", told=False)], [ENDED])

    decision = decided(look, before(look, a=RAN))

    assert decision.actions == ()
    assert "does not tell" in decision.reasons.services["a"].text


def test_what_runs_elsewhere_too_is_no_reason_to_start_it() -> None:
    strange = replace(ENDED, runs=("n3",))

    decision = of_a(strange, RAN)

    assert decision.actions == () and decision.reasons.services["a"].attention


def test_an_operators_word_makes_counters_void() -> None:
    look = snapshot(NODES, [ended(asked=3)])
    used = replace(RESTARTED, relocates=(LONG_AGO - 5,), tried={"n2": LONG_AGO}, asked=2)

    decision = decide(look, before(look, a=used))

    assert done(decision, Start) != []


def test_an_operators_word_ends_an_error() -> None:
    stuck = ServiceStatus(state="error", node="n2", asked=2)
    running = service("a", "n2", entry={"wanted": "stopped", "asked": 3})

    assert done(of_a(running, stuck), Stop) != []


def test_a_node_that_is_no_member_is_said() -> None:
    decision = of_a(service("a", "n9", runs=()))

    assert decision.actions == () and decision.reasons.services["a"].attention


def test_what_is_managed_no_more_is_forgotten() -> None:
    look = snapshot(NODES, [])

    assert decide(look, before(snapshot(NODES, [ENDED]))).status.services == {}


def test_whoever_is_named_is_told_once_of_a_restart() -> None:
    first = of_a(ENDED, RAN)
    second = decide(later(snapshot(NODES, [ENDED])), first.status)

    assert len(done(first, Tell)) == 1 and done(second, Tell) == []


def test_higher_priority_is_recovered_first() -> None:
    entry = HaEntry(priority=5)
    look = snapshot(
        [node("n1", memory=10), offline("n2")],
        [
            service("a", "n2", runs=(), memory=10),
            replace(service("b", "n2", runs=(), memory=10), entry=entry),
        ],
    )

    decision = decided(look)

    assert state(decision, "b") == "recovery" and state(decision, "a") == "blocked"
