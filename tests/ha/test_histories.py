"""Histories of a cluster under faults: one running copy, no lost write, no guest past its lease."""

import os

import pytest

from tests.ha.mutations import MUTATIONS
from tests.ha.sim import play

FIRST = int(os.environ.get("HA_SEED", "1"))
HISTORIES = 10_000 if os.environ.get("MCV_SOAK") else 300
EACH = 50


@pytest.mark.parametrize("part", range(HISTORIES // EACH))
def test_whatever_happens_a_guest_runs_once_and_loses_nothing(part: int) -> None:
    for number in range(EACH):
        world = play(FIRST + part * EACH + number)

        assert not world.violation, "\n".join([f"HA_SEED={world.seed}", *world.log[-60:]])


def test_guests_start_and_are_taken_over_in_these_histories() -> None:
    worlds = [play(FIRST + number) for number in range(40)]

    assert sum(world.starts for world in worlds) > 40
    assert sum(world.takeovers for world in worlds) > 5


def test_a_seed_tells_a_history() -> None:
    assert play(7).log == play(7).log


@pytest.mark.parametrize("clause", MUTATIONS)
def test_a_clause_left_out_is_found(clause: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mutation = MUTATIONS[clause]
    mutation.leave_out(monkeypatch)

    world = play(mutation.seed, keeps_descriptor=mutation.keeps_descriptor)

    assert world.violation, clause


@pytest.mark.parametrize("clause", MUTATIONS)
def test_with_the_clause_the_same_history_is_a_good_one(clause: str) -> None:
    mutation = MUTATIONS[clause]

    assert not play(mutation.seed, keeps_descriptor=mutation.keeps_descriptor).violation
