"""Random histories of a cluster of 2 to 5 nodes: the promises hold after every step of each."""

import os

import pytest

from tests.model import play as playing
from tests.model.bugs import PLANTED
from tests.model.play import play

STEPS = 10_000  # of all walks together
EACH = 20  # walks of one test
WALKS = STEPS // playing.STEPS // EACH + 1
BUDGET = 150  # walks in which a planted bug is to be found
FIRST = int(os.environ.get("MODEL_SEED", "1"))


@pytest.mark.parametrize("part", range(WALKS))
def test_whatever_happens_the_promises_hold_and_all_nodes_converge(part: int) -> None:
    for number in range(EACH):
        history = play(str(FIRST + part * EACH + number))

        assert history.violation is None, history.told()


def test_a_seed_tells_a_history() -> None:
    first, again = play("7"), play("7")

    assert first.log == again.log
    assert first.turns == again.turns


@pytest.mark.parametrize("part", range(3))
def test_a_lie_about_the_dead_is_found_out_and_nothing_is_destroyed(part: int) -> None:
    for number in range(EACH):
        history = play(f"lie {part * EACH + number}", lies=True)

        assert history.violation is None, history.told()


@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_is_found(bug: str) -> None:
    plant, first, lies = PLANTED[bug]

    found = (play(str(first + number), plant, lies=lies) for number in range(BUDGET))
    history = next((one for one in found if one.violation is not None), None)

    assert history is not None, f"not in {BUDGET} walks from seed {first} on"
    assert play(history.seed, lies=lies).violation is None
