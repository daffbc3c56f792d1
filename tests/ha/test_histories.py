"""Histories of a cluster under faults: one running copy, no lost write, no guest past its lease."""

import os

import pytest

from tests.ha.aims import AIMS
from tests.ha.mutations import MUTATIONS
from tests.ha.sim import play
from tests.ha.world import World

FIRST = int(os.environ.get("HA_SEED", "1"))
HISTORIES = 10_000 if os.environ.get("MCV_SOAK") else 300
EACH = 50


def told(world: World) -> str:
    """What to read, and to say to have the same history again."""
    return "\n".join([f"HA_SEED={world.seed}", *world.log[-60:]])


@pytest.mark.parametrize("part", range(HISTORIES // EACH))
def test_whatever_happens_a_guest_runs_once_and_loses_nothing(part: int) -> None:
    for number in range(EACH):
        world = play(FIRST + part * EACH + number)

        assert not world.violation, told(world)


def test_guests_start_and_are_taken_over_in_these_histories() -> None:
    worlds = [play(FIRST + number) for number in range(40)]

    assert sum(world.starts for world in worlds) > 80
    assert sum(world.takeovers for world in worlds) > 20


@pytest.mark.parametrize("aim", [aim for aim in AIMS if aim != "chance"])
def test_an_aimed_fault_strikes(aim: str) -> None:
    assert any("aimed at" in line for seed in (1, 2, 3) for line in play(seed, aim).log)


def test_a_seed_tells_a_history() -> None:
    assert play(7).log == play(7).log


@pytest.mark.parametrize("clause", MUTATIONS)
def test_a_clause_left_out_is_found(clause: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of the recorded seeds is enough: another call of the code makes it another history."""
    mutation = MUTATIONS[clause]
    mutation.leave_out(monkeypatch)

    assert any(
        play(seed, mutation.aim, keeps_descriptor=mutation.keeps_descriptor).violation
        for seed in mutation.seeds
    )


@pytest.mark.parametrize("clause", MUTATIONS)
def test_with_the_clause_the_same_histories_are_good_ones(clause: str) -> None:
    mutation = MUTATIONS[clause]

    for seed in mutation.seeds:
        world = play(seed, mutation.aim, keeps_descriptor=mutation.keeps_descriptor)
        assert not world.violation, told(world)
