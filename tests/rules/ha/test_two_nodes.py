"""Two nodes without a witness, row by row: who is shot when, and what that proves."""

from typing import Any

import pytest

from mcv.rules.ha.actions import AnyAction, Declare, Distrust, Fence, GoOn, Start
from mcv.rules.ha.decide import Decision, decide
from mcv.rules.ha.snapshot import FenceSeen, NodeSeen, ServiceSeen, Snapshot
from mcv.rules.ha.status import NodeStatus, ServiceStatus
from tests.rules.ha.seen import LONG_AGO, before, done, later, service, snapshot

D = 8.0


def peer(silence: float = 0.0, **values: Any) -> NodeSeen:
    """n2, whose device is tested; silent, it answers on no path."""
    paths = ("mcvd",) if silence < D else ()
    told = {"answers": paths, "told": silence < D, "can_fence": True, "boot": "b1", **values}
    return NodeSeen(name="n2", silence=silence, **told)


def two(other: NodeSeen, *services: ServiceSeen, **values: Any) -> Snapshot:
    """What n1 sees, which is not in contact while n2 is silent."""
    changes = other.silence < D or other.status == "offline"
    nodes = [NodeSeen(name="n1"), other]
    return snapshot(nodes, list(services), **{"leases": False, "changes": changes, **values})


def decided(look: Snapshot, was: NodeStatus | None = None, **services: Any) -> Decision:
    return decide(look, before(look, of={"n2": was} if was else None, **services))


def suspect(since: float, **values: Any) -> NodeStatus:
    return NodeStatus(state="suspect", since=LONG_AGO - since, **values)


def fencing(**values: Any) -> NodeStatus:
    """n2 is being shot by the order 1.9."""
    told = {"state": "fencing", "uid": "1.9", "boot": "b1", "since": LONG_AGO - 5, **values}
    return NodeStatus(**told)


def ended(outcome: str) -> FenceSeen:
    return FenceSeen(uid="1.9", outcome=outcome, message="it hangs")  # type: ignore[arg-type]


SHOT, NOTHING = [Fence], list[type[AnyAction]]()
ROWS: list[tuple[str, NodeSeen, NodeStatus | None, list[Any]]] = [
    ("heard just now", peer(0.0), None, NOTHING),
    ("silent, not for D yet", peer(7.9), None, NOTHING),
    ("silent for D", peer(D), suspect(0.0), SHOT),
    ("its host answers a ping", peer(D, answers=("host",)), suspect(9.0), NOTHING),
    ("its host answers a ping, and nothing else for T", peer(24.0, answers=("host",)), None, SHOT),
    ("whether it answers is not known", peer(D, answers=None), suspect(9.0), NOTHING),
    ("its device was never tested", peer(D, can_fence=False), suspect(9.0), NOTHING),
    ("not this node's turn", peer(D, turn=20.0), suspect(19.9), NOTHING),
    ("now it is", peer(D, turn=20.0), suspect(20.0), SHOT),
    ("this node is being shot", peer(60.0, void="n1 is off"), suspect(60.0), NOTHING),
    ("never in contact", peer(600.0, contact=False), suspect(600.0), NOTHING),
    ("begun before this daemon", peer(D, turn=99.0), fencing(), SHOT),
    ("off, and silent since", peer(D, fence=ended("off")), fencing(), [Declare]),
    ("off, and heard meanwhile", peer(7.9, fence=ended("off")), fencing(), NOTHING),
    ("off, and booted since", peer(1.0, fence=ended("off"), boot="b2"), fencing(), NOTHING),
    ("it could not be switched off", peer(D, fence=ended("failed")), fencing(), NOTHING),
    ("it is switched off", peer(D, fence=ended("running")), fencing(), SHOT),
    ("it lives again meanwhile", peer(0.0, fence=ended("running")), fencing(), NOTHING),
]


@pytest.mark.parametrize(("story", "other", "was", "expected"), ROWS, ids=[row[0] for row in ROWS])
def test_what_is_done_about_a_node_that_is_silent(
    story: str, other: NodeSeen, was: NodeStatus | None, expected: list[Any]
) -> None:
    decision = decided(two(other), was)

    acts = [type(each) for each in decision.actions if isinstance(each, Fence | Declare | Distrust)]
    assert acts == expected, story


def test_what_said_off_and_was_heard_is_in_doubt_and_shot_again_once_it_is_silent() -> None:
    first = decided(two(peer(3.0, fence=ended("off"))), fencing())
    doubted = first.status.nodes["n2"]
    assert (doubted.state, doubted.doubt) == ("suspect", "1.9")

    heard = decide(later(two(peer(5.0)), 2.0), first.status)
    assert heard.status.nodes["n2"].doubt == "1.9" and done(heard, Distrust) == []

    silent = decide(later(two(peer(9.0)), 6.0, peer(9.0)), first.status)
    assert done(silent, Fence) != [] and done(silent, Declare) == []


def test_what_said_off_and_answers_on_is_another_nodes_plug() -> None:
    was = suspect(10.0, doubt="1.9", boot="b1")

    lingers = decided(two(peer(4.0)), was)  # heard 6 s after it was said to be off
    lives = decided(two(peer(1.0)), was)
    booted = decided(two(peer(1.0, boot="b2")), was)

    assert done(lingers, Distrust) == [] and lingers.status.nodes["n2"].doubt == "1.9"
    assert done(lives, Distrust) == [Distrust(node="n2", uid="1.9")]
    assert "answers" in lives.reasons.nodes["n2"].text and lives.reasons.nodes["n2"].attention
    assert done(booted, Distrust) == [] and booted.status.nodes["n2"].state == "online"


def test_a_node_that_waits_says_for_what() -> None:
    alone = decided(two(peer(60.0, contact=False)), suspect(60.0)).reasons.nodes["n2"]
    shot = decided(two(peer(60.0, void="pdu:1 of n1 says off")), suspect(60.0)).reasons.nodes["n2"]

    assert alone.attention and "n1 has not been in contact with n2" in alone.text
    assert "mcv fence confirm n2" in alone.text
    assert shot.attention and "pdu:1 of n1 says off" in shot.text


def test_what_could_not_be_switched_off_waits_for_a_word() -> None:
    decision = decided(two(peer(40.0, fence=ended("failed"))), fencing())

    reason = decision.reasons.nodes["n2"]
    assert decision.status.nodes["n2"].state == "fence-failed" and reason.attention
    assert "mcv fence confirm n2" in reason.text and done(decision, GoOn) == []


def test_with_continue_own_guests_go_on_once_the_others_shot_would_have_come() -> None:
    ha = {"on_fence_failure": "continue"}

    def of(silence: float) -> Decision:
        other = peer(silence, fence=ended("failed"), shot=30.0)
        return decided(two(other, service("a", "n2", runs=()), ha=ha), fencing())

    early, late = of(53.9), of(54.0)

    assert done(early, GoOn) == [] and done(late, GoOn) == [GoOn(node="n2")]
    assert done(late, Declare) == [] and done(late, Start) == []
    assert "go on" in late.reasons.nodes["n2"].text


def test_nothing_is_begun_while_it_could_not_be_written_down() -> None:
    ended_here = service("a", "n1", runs=())
    for other, starts in ((peer(9.0), 0), (peer(0.0), 1)):
        decision = decided(two(other, ended_here), a=ServiceStatus(state="started", node="n1"))

        assert len(done(decision, Start)) == starts
    assert "nothing is begun" in decided(two(peer(9.0), ended_here)).reasons.services["a"].text
