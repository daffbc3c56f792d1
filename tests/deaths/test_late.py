"""Late calls: doubled, overtaken, or running on when their coordinator has given them up."""

import contextvars
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from mcv.api import dispatch
from mcv.cluster import members
from mcv.drbd import roles
from mcv.errors import CallLost, McvError, RepairNeeded
from mcv.host import Host
from mcv.recovery import claims
from mcv.transaction.journal import Escort
from tests.deaths.narration import act, judge
from tests.deaths.stories import PLANS, Story
from tests.fakes.cluster import FakeCluster

Serve = Callable[..., Any]  # serve(host, operation, params, context, caller)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A doubled birth may come when the other replica is gone already."""
    monkeypatch.setattr(roles, "BIRTH", 0.3)


class Served(NamedTuple):
    """A step as it came to a node."""

    host: Host
    operation: str
    params: dict[str, Any]
    context: dict[str, Any]
    caller: str

    def __str__(self) -> str:
        return f"{self.host.name}: {self.operation} #{self.context['escort']['serial']}"


class Steps:
    """Every step that is served, in order; `meet` is asked to serve each."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.served: list[Served] = []
        self.meet: Callable[[int, Served], Any] = lambda number, one: self.serve(one)
        self._perform: Serve = dispatch.perform
        self._turn = threading.Lock()
        monkeypatch.setattr(dispatch, "perform", self._met)

    def serve(self, one: Served) -> Any:
        return self._perform(*one)

    def _met(self, host: Host, operation: str, params: Any, context: Any, caller: str) -> Any:
        one = Served(host, operation, params, context, caller)
        if not dispatch.row(operation).step:
            return self.serve(one)
        with self._turn:
            number = len(self.served)
            self.served.append(one)
        return self.meet(number, one)


def count(story: Story, directory: Path, node: str) -> list[Served]:
    """The steps of a story that goes well."""
    with pytest.MonkeyPatch.context() as patch:
        cluster = FakeCluster(directory, story.names)
        story.before(cluster, node)
        steps = Steps(patch)
        act(story, cluster, node)
    assert steps.served
    return steps.served


def again(steps: Steps, calls: list[Served]) -> list[str]:
    """Deliver calls a second time; those that were served."""
    done = []
    for one in calls:
        try:
            steps.serve(one)
            done.append(str(one))
        except McvError:
            continue
    return done


@pytest.mark.parametrize("node", ["n1", "n2"])
@pytest.mark.parametrize("name", PLANS)
def test_calls_that_come_again_and_again_do_nothing_more(
    memory: Path, name: str, node: str
) -> None:
    """Whichever step fails, and all that were served before it are doubled at every step."""
    story = PLANS[name]
    found = {}
    for failing in range(-1, len(count(story, memory / "alive", node))):
        with pytest.MonkeyPatch.context() as patch:
            if wrong := tell_doubled(story, memory / str(failing), node, failing, patch):
                found[failing] = wrong

    assert found == {}


def tell_doubled(
    story: Story, directory: Path, node: str, failing: int, patch: pytest.MonkeyPatch
) -> list[str]:
    cluster = FakeCluster(directory, story.names)
    story.before(cluster, node)
    steps, late, wrong = Steps(patch), threading.Lock(), list[str]()
    answered = set[int]()

    def meet(number: int, one: Served) -> Any:
        if number == failing:
            raise McvError("no luck")
        answer = steps.serve(one)
        answered.add(number)
        serial = one.context["escort"]["serial"]
        with late:
            # A step that carries out a plan of its own is under way: its double only waits.
            over = [call for index, call in enumerate(steps.served[:number]) if index in answered]
            before = [call for call in over if is_older(call, serial)]
            here = {str(call) for call in before if call.host is one.host}
            wrong.extend(here & set(again(steps, before)))
        return answer

    steps.meet = meet
    said = act(story, cluster, node)
    wrong += [problem for problem in [judge(story, cluster, node, said)] if problem]
    picture = cluster.picture()
    wrong += again(steps, steps.served)
    return wrong + ([] if cluster.picture() == picture else ["something has changed"])


def is_older(one: Served, serial: int) -> bool:
    """Whether a call is of an earlier step; those side by side have one number."""
    return int(one.context["escort"]["serial"]) < serial


def operation_of(one: Served) -> str:
    return str(one.context["escort"]["operation"])


class Held:
    """A step that a node is at work on, under its lock, when the coordinator gives it up."""

    def __init__(self, steps: Steps, one: Served, patch: pytest.MonkeyPatch) -> None:
        self.operation = operation_of(one)
        self._under_lock, self._go = threading.Event(), threading.Event()
        # The context is handed on to the thread that serves the step.
        held = contextvars.ContextVar("held", default=False)
        context = contextvars.copy_context()
        context.run(held.set, True)
        self._thread = threading.Thread(target=context.run, args=(again, steps, [one]), daemon=True)
        judged = dispatch.require_claim

        def require_claim(host: Host, escort: Escort, caller: str) -> None:
            judged(host, escort, caller)
            if held.get():
                self._under_lock.set()
                self._go.wait(20)

        patch.setattr(dispatch, "require_claim", require_claim)
        self._thread.start()
        assert self._under_lock.wait(20)

    def release(self, after: float = 0.0) -> None:
        threading.Timer(after, self._go.set).start()

    def end(self) -> None:
        self.release()
        self._thread.join(20)
        assert not self._thread.is_alive()


WITH_PEER = [name for name in PLANS if not name.startswith("register")]


@pytest.mark.parametrize("node", ["n1", "n2"])
@pytest.mark.parametrize("name", WITH_PEER)
def test_a_step_that_runs_on_when_its_coordinator_gave_it_up_leaves_nothing(
    memory: Path, name: str, node: str
) -> None:
    story = PLANS[name]
    found = {}
    for number, one in enumerate(count(story, memory / "alive", node)):
        if one.host.name == node:
            continue
        with pytest.MonkeyPatch.context() as patch:
            wrong = tell_held(story, memory / str(number), node, str(one), patch)
        if wrong:
            found[str(one)] = wrong

    assert found == {}


def tell_held(
    story: Story, directory: Path, node: str, which: str, patch: pytest.MonkeyPatch
) -> str:
    cluster = FakeCluster(directory, story.names)
    story.before(cluster, node)
    steps, held = Steps(patch), list[Held]()

    def meet(number: int, one: Served) -> Any:
        if not held and str(one) == which:
            held.append(Held(steps, one, patch))
            raise CallLost(f"{one.host.name} does not answer in time.")
        # What the held step has done by a job of its own is no call of its coordinator.
        if not held or one.host.name == node or operation_of(one) != held[0].operation:
            return steps.serve(one)
        # Its next call comes first by a little, and has to wait for the lock.
        held[0].release(after=0.02)
        try:
            return steps.serve(one)
        finally:
            held[0].end()

    steps.meet = meet
    said = act(story, cluster, node)
    held[0].end()
    return judge(story, cluster, node, said)


def test_a_call_of_a_claim_that_was_taken_over_is_refused(
    memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    story = PLANS["migrate"]
    cluster = FakeCluster(memory, story.names)
    story.before(cluster, "n1")
    steps = Steps(monkeypatch)

    def die(number: int, one: Served) -> Any:
        if one.host.name == "n1":
            cluster.down.add("n1")
            raise SystemExit
        return steps.serve(one)

    steps.meet = die
    assert act(story, cluster, "n1") == "died"
    late = [one for one in steps.served if one.host.name == "n2"]
    cluster.domains["n2"].broken.add("undefine")
    cluster.run("n2", members.offline, names=["n1"], confirm_dead=True)
    with pytest.raises(RepairNeeded, match="taken over, and is not over yet"):
        cluster.run("n2", claims.clear_lock, name="web1")
    claim = cluster.read("n2").vm("web1").claim
    assert claim is not None and claim.node == "n2"

    assert [one.operation for one in late] == ["vm.define"] and again(steps, late) == []
