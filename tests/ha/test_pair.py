"""Who of two nodes decides, and what the other one keeps meanwhile."""

from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from mcv.document.availability import Ha
from mcv.ha.at_once import at_once
from mcv.ha.pair import NEVER, PATIENCE, Pair, term_of
from mcv.rules.ha.actions import AnyAction
from mcv.rules.ha.decide import Decision
from mcv.rules.ha.snapshot import NodeSeen, Snapshot
from mcv.rules.ha.status import NodeStatus, Status


@dataclass
class Env:
    """n2, which sees n1."""

    node: str = "n2"
    time: float = 100.0
    peer: NodeSeen = NodeSeen(name="n1", answers=("mcvd",))  # noqa: RUF009
    status: Status = field(default_factory=Status)
    written: int = 0
    begun: list[AnyAction] = field(default_factory=list)

    async def now(self) -> float:
        return self.time

    async def look(self) -> Snapshot:
        nodes = {each.name: each for each in (self.peer, NodeSeen(name=self.node))}
        ha = Ha(armed=True, start_grace=0)
        return Snapshot(now=0.0, term=0, manager="", ha=ha, nodes=nodes)

    async def term(self, above: int) -> int:
        return term_of(7, 1, above)

    async def kept(self) -> Status:
        return self.status

    async def keep(self, status: Status) -> None:
        self.status = status
        self.written += 1

    async def begin(self, action: AnyAction, term: int) -> None:
        assert self.status.term == term, "it is kept before it is begun"
        self.begun.append(action)


def step(env: Env, pair: Pair, seconds: float = 2.0, **peer: Any) -> Decision | None:
    env.time += seconds
    env.peer = replace(env.peer, **peer)
    return at_once(pair.step())


def test_in_contact_the_first_by_name_decides_and_the_other_one_once_it_is_silent() -> None:
    env = Env()
    pair = Pair(env)

    assert step(env, pair) is None
    assert step(env, pair, silence=7.9) is None
    silent = step(env, pair, silence=8.0, answers=(), told=False)
    assert silent is not None and silent.status.nodes["n1"].state == "suspect"

    back = step(env, pair, silence=0.0, answers=("mcvd",), told=True)
    assert back is None and env.status.nodes == {}


def test_the_only_one_that_is_online_decides() -> None:
    env = Env()

    assert step(env, Pair(env), status="offline") is not None


def test_a_node_that_is_offline_itself_decides_nothing() -> None:
    env = Env()
    look = env.look

    async def offline() -> Snapshot:
        seen = await look()
        me = replace(seen.nodes["n2"], status="offline")
        return replace(seen, nodes={**seen.nodes, "n2": me})

    env.look = offline  # type: ignore[method-assign]

    assert step(env, Pair(env), silence=60.0, answers=()) is None


def test_a_reign_has_a_term_that_was_never_had() -> None:
    env = Env()
    pair = Pair(env)
    step(env, pair, silence=8.0)
    first = env.status.term
    step(env, pair, silence=0.0)
    step(env, pair, silence=8.0)

    assert first == 15 and env.status.term == 17


def test_one_that_was_not_heard_since_a_start_is_given_some_seconds() -> None:
    env = Env()
    pair = Pair(env)

    assert step(env, pair, silence=NEVER, answers=()) is None
    assert step(env, pair, PATIENCE - 0.1) is None
    assert step(env, pair, 0.2) is None  # it is as silent as this daemon has looked
    assert step(env, pair, 8.0) is not None


def test_one_that_was_suspect_before_a_start_is_so_after_it() -> None:
    env = Env(status=Status(nodes={"n1": NodeStatus(state="fencing", uid="3.1")}))
    pair = Pair(env)
    assert step(env, pair, silence=NEVER, answers=()) is None, "it may answer yet"

    decision = step(env, pair, PATIENCE)

    assert decision is not None and decision.status.nodes["n1"].uid == "3.1"


def test_who_follows_remembers_that_the_other_went_down_to_come_back() -> None:
    env = Env()
    pair = Pair(env)
    step(env, pair, leaving="freeze")
    step(env, pair, leaving="", told=False)

    decision = step(env, pair, status="offline")

    assert decision is not None and decision.status.nodes["n1"].left == "freeze"

    step(env, pair, status="online", told=True)
    assert env.status.nodes == {}


def test_the_time_that_a_silent_node_is_waited_for_is_kept_and_nothing_else_for_no_reason() -> None:
    env = Env(node="n0")
    pair = Pair(env)
    for _ in range(10):
        step(env, pair)
    assert env.written == 1

    step(env, pair, silence=9.0, answers=(), turn=99.0, can_fence=True, told=False)
    before = env.written
    for _ in range(10):
        step(env, pair)
    assert 3 <= env.written - before <= 5
