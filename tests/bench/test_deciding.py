"""A round of decisions costs in proportion to what is managed: its steps are counted, not timed."""

import sys
from types import FrameType
from typing import Any

import pytest

from mcv.rules.ha.decide import decide
from mcv.rules.ha.snapshot import Snapshot
from mcv.rules.ha.status import Status
from tests.bench import deciding

FEW, MANY = 50, 200
SLACK = 1.2  # what grows by this much more than the services do is not in proportion


def steps(look: Snapshot, status: Status) -> int:
    """How many of Python's instructions one round takes."""
    counted = 0

    def count(frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal counted
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        counted += event == "opcode"
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        decide(look, status)
    finally:
        sys.settrace(before)
    return counted


ROUNDS = [
    pytest.param(few[1:], many[1:], id=few[0])
    for few, many in zip(deciding.looks(FEW), deciding.looks(MANY), strict=True)
]


@pytest.mark.parametrize(("few", "many"), ROUNDS)
def test_a_round_grows_as_the_services_do(
    few: tuple[Snapshot, Status], many: tuple[Snapshot, Status]
) -> None:
    small, large = steps(*few), steps(*many)

    assert len(decide(*many).status.services) == MANY
    assert large / small < SLACK * MANY / FEW, (small, large)
