"""The table of nodes, row by row."""

from typing import Any

import pytest
from msgspec.structs import replace

from mcv.rules.ha.actions import (
    Admit,
    Ask,
    Declare,
    Distrust,
    Fence,
    Maintain,
    SwitchOn,
    TakeOver,
    Tell,
)
from mcv.rules.ha.decide import Decision, decide
from mcv.rules.ha.snapshot import ClaimSeen, FenceSeen, NodeSeen
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

SUSPECT = NodeStatus(state="suspect", since=LONG_AGO - 5, lease=5, boot="b1")
FENCING = NodeStatus(state="fencing", since=LONG_AGO - 2, lease=5, boot="b1", uid="1.7")


def of_n2(seen: NodeSeen, was: NodeStatus | None = None, **values: Any) -> Decision:
    """What is decided of n2."""
    look = snapshot([node("n1"), seen, node("n3")], **values)
    return decided(look, before(look, of={"n2": was} if was else None))


def state(decision: Decision, name: str = "n2") -> str:
    return decision.status.nodes[name].state


def test_a_node_whose_lease_moves_is_online() -> None:
    decision = of_n2(node("n2"))

    assert state(decision) == "online" and decision.actions == ()


def test_a_lease_that_is_unchanged_for_d_makes_suspect_and_all_paths_are_asked() -> None:
    assert state(of_n2(silent("n2", 7.9))) == "online"

    decision = of_n2(silent("n2", 8.0))

    assert state(decision) == "suspect"
    assert decision.actions == (Ask(node="n2"),)
    assert "has not moved for 8 s" in decision.reasons.nodes["n2"].text


def test_at_a_slower_pace_it_takes_as_much_longer() -> None:
    assert state(of_n2(silent("n2", 15.9), suspicion=16.0)) == "online"


def test_a_manager_whose_own_writes_do_not_work_decides_nothing() -> None:
    look = snapshot([node("n1"), silent("n2", 60.0, proves=True)], writes=False)

    decision = decided(look)

    assert decision.actions == () and decision.status == before(look)
    assert "cannot write" in decision.reasons.nodes["n2"].text


def test_a_suspect_node_whose_lease_moves_is_online() -> None:
    decision = of_n2(node("n2", lease=lease(0.5, revision=6)), SUSPECT)

    assert state(decision) == "online" and done(decision, Ask) == []


def test_a_suspect_node_is_no_better_for_being_looked_at_by_another_manager() -> None:
    """Its age is counted anew, but its lease has the revision that it had."""
    unmoved = node("n2", lease=lease(1.0, revision=5), renewed=False)

    assert state(of_n2(unmoved, SUSPECT)) == "suspect"


def test_a_suspect_node_is_fenced_where_no_path_answers_and_a_device_is_tested() -> None:
    decision = of_n2(silent("n2", answers=(), can_fence=True), SUSPECT)

    assert state(decision) == "fencing"
    assert done(decision, Fence) == [Fence(uid="1.1", node="n2")]
    assert decision.status.nodes["n2"].uid == "1.1"


@pytest.mark.parametrize(
    "values",
    [
        {"answers": None, "can_fence": True},
        {"answers": ("DRBD",), "can_fence": True},
        {"answers": (), "can_fence": False},
    ],
    ids=["not asked yet", "a path answers", "no tested device"],
)
def test_a_suspect_node_is_not_fenced_before(values: dict[str, Any]) -> None:
    decision = of_n2(silent("n2", **values), SUSPECT)

    assert state(decision) == "suspect" and done(decision, Fence) == []


def test_a_fencing_is_one_and_is_asked_for_until_its_outcome_is_known() -> None:
    goes_on = silent(
        "n2", answers=(), can_fence=True, fence=FenceSeen(uid="1.7", outcome="running")
    )

    assert done(of_n2(goes_on, FENCING), Fence) == [Fence(uid="1.7", node="n2")]


def test_verified_off_while_the_lease_is_still_the_same_declares_it() -> None:
    off = silent("n2", answers=(), can_fence=True, fence=FenceSeen(uid="1.7", outcome="off"))

    decision = of_n2(off, FENCING)

    assert done(decision, Declare) == [Declare(node="n2", evidence="off", lease=5)]
    assert done(decision, Fence) == []


def test_off_of_another_fencing_declares_nothing() -> None:
    off = silent("n2", fence=FenceSeen(uid="1.3", outcome="off"))

    assert done(of_n2(off, FENCING), Declare) == []


def test_off_waits_for_the_lease_where_the_settings_trust_nothing_else() -> None:
    ha = {"fence_trust": "after-lease"}
    off = FenceSeen(uid="1.7", outcome="off")

    early = of_n2(silent("n2", 21.9, fence=off), FENCING, ha=ha)
    late = of_n2(silent("n2", 22.0, fence=off), FENCING, ha=ha)

    assert done(early, Declare) == []
    assert done(late, Declare) == [Declare(node="n2", evidence="off", lease=5)]


@pytest.mark.parametrize("was", [SUSPECT, FENCING], ids=["suspect", "fencing"])
def test_a_lease_that_is_over_under_a_hardware_watchdog_declares_it(was: NodeStatus) -> None:
    assert done(of_n2(silent("n2", 21.9, proves=True), was), Declare) == []

    decision = of_n2(silent("n2", 22.0, proves=True), was)

    assert done(decision, Declare) == [Declare(node="n2", evidence="lease", lease=5)]


def test_a_lease_that_is_over_proves_nothing_without_a_hardware_watchdog() -> None:
    assert done(of_n2(silent("n2", 500.0), SUSPECT), Declare) == []


def test_a_lease_of_another_revision_is_not_over() -> None:
    """It has moved since it was suspect, and is suspect anew."""
    moved = node("n2", lease=lease(30.0, revision=6, proves=True), told=False)

    first = of_n2(moved, SUSPECT)

    assert first.status.nodes["n2"].lease == 6
    assert done(first, Declare) == [Declare(node="n2", evidence="lease", lease=6)]


def test_after_t_a_node_is_fenced_though_a_path_answers() -> None:
    """mcvd without its lease process."""
    there = silent("n2", 22.0, answers=("mcvd",), can_fence=True)

    assert state(of_n2(there, SUSPECT)) == "fencing"


def test_after_t_without_device_and_watchdog_an_operator_is_needed() -> None:
    decision = of_n2(silent("n2", 22.0, answers=()), SUSPECT)

    assert state(decision) == "fence-failed"
    said = decision.reasons.nodes["n2"]
    assert said.attention and "mcv fence confirm n2" in said.text
    assert len(done(decision, Tell)) == 1
    again = decide(later(snapshot([node("n1"), silent("n2", 24.0, answers=())])), decision.status)
    assert done(again, Tell) == []


def test_a_fencing_that_failed_is_tried_again_after_5_then_10_and_never_60_seconds() -> None:
    failed = FenceSeen(uid="1.7", outcome="failed", message="no route to host")
    look = snapshot([node("n1"), silent("n2", 10.0, answers=(), can_fence=True, fence=failed)])

    decision = decide(look, before(look, of={"n2": FENCING}))

    status = decision.status.nodes["n2"]
    assert (status.state, status.tries, status.again) == ("fence-failed", 1, LONG_AGO + 5)
    assert "no route to host" in decision.reasons.nodes["n2"].text
    early, late = later(look, 4.9), later(look, 5.0)
    assert done(decide(early, decision.status), Fence) == []
    assert [each.uid for each in done(decide(late, decision.status), Fence)] == ["1.1"]
    tried = replace(FENCING, tries=9)
    pause = decide(look, before(look, of={"n2": tried})).status.nodes["n2"].again - LONG_AGO
    assert pause == 60.0


def test_a_fencing_that_failed_costs_seconds_only_where_the_lease_proves_something() -> None:
    failed = FenceSeen(uid="1.7", outcome="failed")
    seen = silent("n2", 10.0, answers=(), can_fence=True, fence=failed, proves=True)

    decision = of_n2(seen, FENCING)

    assert state(decision) == "fencing" and not decision.reasons.nodes["n2"].attention


def test_an_operators_setting_stands_for_his_word_where_fencing_failed() -> None:
    dead = silent("n2", 22.0, answers=())

    decision = of_n2(dead, SUSPECT, ha={"on_fence_failure": "continue"})
    answers = of_n2(replace(dead, answers=("DRBD",)), SUSPECT, ha={"on_fence_failure": "continue"})

    assert done(decision, Declare) == [Declare(node="n2", evidence="word", lease=5)]
    assert done(answers, Declare) == []


def test_off_of_a_node_that_renews_its_lease_is_a_wrong_plug() -> None:
    off = FenceSeen(uid="1.7", outcome="off")
    look = snapshot([node("n1"), node("n2", lease=lease(1.0, revision=6), fence=off)])

    doubt = decide(look, before(look, of={"n2": FENCING}))
    still = decide(later(look), doubt.status)
    wrong = decide(
        later(look, 2.0, node("n2", lease=lease(0.5, revision=7), fence=off)), doubt.status
    )

    assert state(doubt) == "suspect" and done(doubt, Declare) == []
    assert done(still, Distrust) == [] and done(still, Declare) == []
    assert done(wrong, Distrust) == [Distrust(node="n2", uid="1.7")]
    assert done(wrong, Declare) == [] and state(wrong) == "online"
    assert wrong.reasons.nodes["n2"].attention


def test_a_node_that_was_off_and_has_started_again_is_no_wrong_plug() -> None:
    off = FenceSeen(uid="1.7", outcome="off")
    back = node("n2", lease=replace(lease(0.5, revision=9), boot="b2"), fence=off)

    decision = of_n2(back, FENCING)

    assert state(decision) == "online"
    assert done(decision, Distrust) == [] and done(decision, Declare) == []


def test_a_node_that_lives_is_not_shot_again_though_its_fencing_may_still_come() -> None:
    running = FenceSeen(uid="1.7", outcome="running")
    back = node("n2", lease=lease(0.5, revision=6), fence=running)

    decision = of_n2(back, FENCING)

    assert state(decision) == "fencing" and done(decision, Fence) == []


def test_a_node_offline_by_evidence_that_runs_nothing_comes_back() -> None:
    decision = of_n2(offline("n2", asks=True, is_empty=True))

    assert done(decision, Admit) == [Admit(node="n2")]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"is_empty": False}, "it has to end first"),
        ({"is_empty": None}, "does not tell"),
        ({"is_empty": True, "fence": FenceSeen(uid="1.7", outcome="running")}, "goes on"),
    ],
    ids=["something runs there", "it does not tell", "its fencing goes on"],
)
def test_a_node_does_not_come_back_before(values: dict[str, Any], said: str) -> None:
    decision = of_n2(offline("n2", asks=True, **values))

    assert done(decision, Admit) == []
    assert said in decision.reasons.nodes["n2"].text


def test_a_node_that_the_document_calls_online_again_is_online() -> None:
    decision = of_n2(node("n2"), NodeStatus(state="offline", lease=5))

    assert state(decision) == "online"


def test_a_fenced_node_is_switched_on_once_what_it_ran_is_recovered() -> None:
    gone = offline("n2")
    look = snapshot([node("n1"), gone], [service("a", "n2", runs=())])

    declared = decide(look, before(look, of={"n2": FENCING}))
    waits = decide(later(look), declared.status)
    taken = later(look, 2.0, service("a", "n1"))
    moved = decide(taken, waits.status)
    switched = decide(taken, moved.status)

    assert done(declared, SwitchOn) == [] and done(declared, TakeOver) != []
    assert done(waits, SwitchOn) == []
    on = done(moved, SwitchOn) or done(switched, SwitchOn)
    assert [each.node for each in on] == ["n2"]
    told = replace(gone, fence=FenceSeen(uid=on[0].uid, outcome="on"))
    assert done(decide(later(taken, 2.0, told), switched.status), SwitchOn) == []


@pytest.mark.parametrize(
    ("ha", "evidence"), [({"after_fence": "off"}, "off"), ({}, "lease")], ids=["off", "by lease"]
)
def test_no_other_node_is_switched_on(ha: dict[str, Any], evidence: str) -> None:
    look = snapshot([node("n1"), offline("n2", evidence=evidence)], ha=ha)

    first = decide(look, before(look, of={"n2": FENCING}))
    second = decide(later(look), first.status)

    assert done(first, SwitchOn) + done(second, SwitchOn) == []


def test_a_drained_node_is_draining_until_it_is_empty_and_then_in_maintenance() -> None:
    drains = node("n2", draining=True, is_empty=False)
    empty = replace(drains, is_empty=True)
    full = snapshot([node("n1"), empty], [service("a", "n2")])

    assert state(of_n2(drains)) == "draining" and done(of_n2(drains), Maintain) == []
    assert done(decided(full), Maintain) == []
    assert done(of_n2(empty), Maintain) == [Maintain(node="n2")]
    rests = of_n2(offline("n2", maintenance=True, evidence=None))
    assert state(rests) == "maintenance"
    assert "mcv node restore n2" in rests.reasons.nodes["n2"].text


def test_a_shutdown_that_migrates_drains_too() -> None:
    leaves = node("n2", leaving="migrate", is_empty=True)

    assert state(of_n2(leaves)) == "draining"
    # It comes back by itself once it has started again.
    assert done(of_n2(leaves), Maintain) == []


def test_the_operation_that_drains_says_itself_when_the_node_is_in_maintenance() -> None:
    claim = ClaimSeen(operation="op1", node="n1", why="drain node n2")
    drains = node("n2", draining=True, is_empty=True, claim=claim)

    decision = of_n2(drains)

    assert done(decision, Maintain) == []
    assert "drain node n2" in decision.reasons.nodes["n2"].text


def test_a_node_that_was_never_seen_has_the_start_grace() -> None:
    never = silent("n2", 119.0, proves=True, answers=(), renewed=False)
    early = snapshot([node("n1"), never], watched=119.0)

    decision = decided(early)

    assert done(decision, Declare) + done(decision, Ask) == []
    assert "was not seen" in decision.reasons.nodes["n2"].text
    late = decide(later(early, 1.0), decision.status)
    assert done(late, Declare) == [Declare(node="n2", evidence="lease", lease=5)]


def test_a_node_that_was_seen_has_no_grace() -> None:
    look = snapshot([node("n1"), silent("n2", 22.0, proves=True)], watched=30.0)

    assert done(decided(look), Declare) != []


def test_what_a_shut_down_node_runs_waits_for_it_where_the_settings_say_freeze() -> None:
    leaves = snapshot([node("n1"), node("n2", leaving="freeze")], [service("a", "n2")])

    going = decided(leaves)
    gone = later(leaves, 600.0, node("n2", lease=None, told=False), service("a", "n2", runs=()))
    away = decide(gone, going.status)
    back = decide(later(gone, 2.0, node("n2")), away.status)

    assert going.status.services["a"].state == "frozen"
    assert state(away) == "offline" and done(away, Declare) == []
    assert away.status.services["a"].state == "frozen"
    assert state(back) == "online" and back.status.services["a"].state == "starting"


def test_a_daemon_that_ended_in_the_shutdown_forgets_nothing_of_it() -> None:
    """mcv-lease goes on renewing until the guests have ended."""
    leaves = snapshot([node("n1"), node("n2", leaving="freeze")], [service("a", "n2")])
    silent_daemon = later(leaves, 2.0, node("n2", told=False), service("a", "n2", runs=()))
    gone = later(leaves, 4.0, offline("n2", evidence=None), service("a", "n2", runs=()))

    ended = decide(silent_daemon, decided(leaves).status)

    assert decide(gone, ended.status).status.services["a"].state == "frozen"


def test_a_node_that_went_offline_in_good_order_is_waited_for_as_long() -> None:
    """Unless somebody calls it dead meanwhile: then it is no more than that."""
    leaves = snapshot([node("n1"), node("n2", leaving="freeze")], [service("a", "n2")])
    left = offline("n2", evidence=None)
    gone = later(leaves, 10.0, left, service("a", "n2", runs=()))

    waits = decide(gone, decided(leaves).status)
    still = decide(later(gone, 600.0), waits.status)
    called_dead = decide(later(gone, 2.0, offline("n2", evidence="word")), waits.status)
    back = decide(later(gone, 2.0, node("n2")), waits.status)

    for decision in (waits, still):
        assert decision.status.services["a"].state == "frozen"
        assert done(decision, TakeOver) == []
    assert done(called_dead, TakeOver) != []
    assert back.status.services["a"].state == "starting"


def test_a_node_that_dies_while_it_shuts_down_is_not_waited_for() -> None:
    """Its lease was not given back."""
    was = NodeStatus(state="online", left="freeze")

    assert done(of_n2(silent("n2", 22.0, proves=True), was), Declare) != []


def test_a_lease_that_was_given_back_is_evidence_at_once() -> None:
    left = node("n2", lease=None, told=False)
    runs = node("n2", lease=None, is_empty=False)

    assert done(of_n2(left), Declare) == [Declare(node="n2", evidence="lease", lease=0)]
    assert done(of_n2(runs), Declare) == [] and of_n2(runs).reasons.nodes["n2"].attention


def test_a_lease_that_was_given_back_before_all_started_is_waited_for() -> None:
    decision = of_n2(node("n2", lease=None, told=False, renewed=False), watched=119.0)

    assert done(decision, Declare) == [] and state(decision) == "suspect"
    assert "1 s are left" in decision.reasons.nodes["n2"].text


def test_a_host_on_which_something_does_not_stop_is_fenced_where_the_settings_say_so() -> None:
    stuck = ServiceStatus(state="error", node="n2")
    look = snapshot([node("n1"), node("n2", can_fence=True)], [service("a", "n2")])
    fences = replace(look, ha=replace(look.ha, on_stop_failure="fence"))

    assert done(decide(look, before(look, a=stuck)), Fence) == []
    shot = decide(fences, before(fences, a=stuck))
    assert done(shot, Fence) == [Fence(uid="1.1", node="n2")]
    # It renewed its lease until the power went: off counts once the lease has not moved again.
    off = node("n2", can_fence=True, lease=lease(1.0, 6), fence=FenceSeen(uid="1.1", outcome="off"))
    doubted = decide(later(fences, 2.0, off), shot.status)
    quiet = replace(off, lease=lease(9.0, 6), answers=(), told=False)
    second = decide(later(fences, 10.0, quiet), doubted.status)
    assert done(doubted, Declare) == []
    uid = done(second, Fence)[0].uid
    gone = replace(quiet, fence=FenceSeen(uid=uid, outcome="off"))
    assert done(decide(later(fences, 12.0, gone), second.status), Declare) != []


def test_of_two_without_leases_one_shoots_after_its_turn_and_only_where_they_were_in_contact() -> (
    None
):
    def two(silence: float, **values: Any) -> Decision:
        other = NodeSeen(name="n2", silence=silence, can_fence=True, told=False, **values)
        look = snapshot([node("n1", lease=None), other], leases=False)
        return decide(
            look, before(look, of={"n2": NodeStatus(state="suspect", since=LONG_AGO - 3)})
        )

    assert state(two(7.9)) == "online"
    assert done(two(8.0, answers=()), Fence) != []
    assert done(two(8.0, answers=(), turn=4.0), Fence) == []
    assert done(two(200.0, answers=(), contact=False), Fence) == []
    assert done(two(200.0), Declare) == []


def test_the_manager_suspects_everybody_but_itself() -> None:
    look = snapshot([silent("n1", 60.0, proves=True), node("n2")])

    assert state(decided(look), "n1") == "online"


def test_unarmed_nothing_is_done_about_nodes() -> None:
    decision = of_n2(silent("n2", 60.0, proves=True, can_fence=True), ha={"armed": False})

    assert decision.actions == () and "not armed" in decision.reasons.nodes["n2"].text
