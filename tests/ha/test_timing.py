"""The inequality between an owner's end and a taker's beginning."""

import json

import pytest

from mcv.ha import timing, values
from mcv.ha.timing import DRIFT, at_pace, is_calm, is_safe, wait
from mcv.ha.values import Held


def test_a_taker_waits_22_seconds_at_the_usual_pace() -> None:
    assert at_pace(1).wait == 22
    assert at_pace(1).suspicion == 8


@pytest.mark.parametrize("pace", timing.PACES)
def test_each_pace_is_safe_and_calm(pace: int) -> None:
    periods = at_pace(pace)

    assert is_safe(periods, periods.wait)
    assert not is_safe(periods, periods.validity + periods.watchdog)
    assert is_calm(periods, dead_endpoints=2, leader_gap=timing.LEADER_GAP)


@pytest.mark.parametrize("owner", [1 - DRIFT, 1, 1 + DRIFT])
@pytest.mark.parametrize("taker", [1 - DRIFT, 1, 1 + DRIFT])
def test_clocks_that_run_wrong_by_a_hundredth_keep_the_order(owner: float, taker: float) -> None:
    validity, watchdog, grain = 12.0, 8.0, 1.0

    ended = (validity + watchdog) / owner + grain
    acts = wait(validity, watchdog, grain) / taker

    assert ended <= acts


def test_a_slow_leader_is_calm_no_more() -> None:
    assert not is_calm(at_pace(1), dead_endpoints=1, leader_gap=9.5)


def test_no_other_pace_is_one() -> None:
    with pytest.raises(ValueError, match="11 is no pace"):
        at_pace(11)


@pytest.mark.parametrize(
    "wrong",
    [
        {"validity": float("inf")},
        {"watchdog": -1},
        {"grain": float("nan")},
        {"sequence": "7"},
        {"boot": None},
        {"more": 1},
    ],
)
def test_what_has_no_periods_is_no_lease(wrong: dict[str, object]) -> None:
    known = {"boot": "b", "sequence": 7, "validity": 12, "watchdog": 8, "grain": 1, "proves": True}
    assert values.decode(json.dumps(known)) == Held("b", 7, 12, 8, 1, True)

    with pytest.raises(ValueError, match="lease"):
        values.decode(json.dumps({**known, **wrong}))
