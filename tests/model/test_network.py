"""The model's wire ends a long call as the real one does: soon after its packets are lost."""

import random
from types import SimpleNamespace
from typing import Any

import pytest

from mcv.errors import CallLost
from mcv.rpc.peers import Address
from mcv.rpc.wire import DEAD
from tests.model.life import Life
from tests.model.network import CALM, Conditions, Network
from tests.model.scheduler import Scheduler

STEP_SECONDS = 300.0
LINK = frozenset(("n1", "n2"))


def _ignore(line: str) -> None:
    pass


def _alarm(kind: str, why: str) -> None:
    pytest.fail(f"{kind}: {why}")


class Pair:
    """A call of n1 that n2 takes some seconds to carry out."""

    def __init__(self, conditions: Conditions, seconds: float = 0.0) -> None:
        self.scheduler = Scheduler(random.Random(1))
        self.callee = Life("n2")
        self.ended: list[tuple[float, object]] = []

        def handle(*_: object) -> str:
            self.scheduler.sleep(seconds)
            return "carried out"

        calls = SimpleNamespace(trusted=lambda: {"n1": "pem of n1"}, handle=handle)
        node: Any = SimpleNamespace(
            name="n2",
            address="10.0.0.2",
            host_up=True,
            daemon=SimpleNamespace(calls=calls),
            life=self.callee,
            certificate="pem of n2",
        )
        self.network = Network(self.scheduler, random.Random(1), {"n2": node}, _ignore, _alarm)
        self.network.conditions = conditions
        self.scheduler.spawn(Life("n1"), self._call, "caller")

    def _call(self) -> None:
        address = Address("10.0.0.2", 1, "pem of n2")
        answer: object
        try:
            answer = self.network.call(
                "n1", "pem of n1", address, "n2", "vm.power_on", {}, {}, STEP_SECONDS
            )
        except CallLost:
            answer = CallLost
        self.ended.append((self.scheduler.now, answer))

    def outcome(self) -> tuple[float, object]:
        """When the call ended, and how."""
        self.scheduler.run(2 * STEP_SECONDS)
        self.scheduler.close()
        return self.ended[0]


def test_a_lost_answer_ends_a_long_call_when_the_dead_connection_is_seen() -> None:
    when, answer = Pair(Conditions(0.0, answer_lost=1.0, doubled=0.0, late=0.0)).outcome()

    assert answer is CallLost
    assert when < DEAD + 1


def test_a_link_that_is_cut_ends_a_long_call_while_the_step_goes_on() -> None:
    pair = Pair(CALM, seconds=100)
    pair.scheduler.run(1.0)
    pair.network.cut.add(LINK)

    when, answer = pair.outcome()

    assert answer is CallLost
    assert when < DEAD + 2


def test_a_daemon_that_dies_before_it_takes_a_call_ends_the_call() -> None:
    pair = Pair(Conditions(0.0, 0.0, 0.0, late=1.0))
    while not pair.callee.tasks:
        pair.scheduler.turn(1.0)
    pair.scheduler.kill(pair.callee)

    when, answer = pair.outcome()

    assert answer is CallLost
    assert when < DEAD + 1


def test_a_long_step_is_waited_for_while_the_connection_stands() -> None:
    when, answer = Pair(CALM, seconds=200).outcome()

    assert answer == "carried out"
    assert 200 <= when < 201


def test_the_kernel_of_a_hung_daemon_acknowledges_until_the_deadline() -> None:
    pair = Pair(CALM, seconds=5)
    pair.scheduler.run(1.0)
    pair.scheduler.freeze(pair.callee)

    when, answer = pair.outcome()

    assert answer is CallLost
    assert when >= STEP_SECONDS
