"""Histories in which a manager decides: nothing runs twice, whatever the fence device does."""

import os
from collections.abc import Callable
from typing import NamedTuple

import pytest

from mcv.ha import manager
from mcv.ha.env import NothingNewer
from tests.ha import deciding
from tests.ha.aims import Aim, LastFeeding
from tests.ha.deciding import MODES, with_device
from tests.ha.deciding_aims import HeldUp
from tests.ha.sim import play
from tests.ha.test_histories import told
from tests.ha.world import World

FIRST = int(os.environ.get("HA_SEED", "1"))
HISTORIES = 2_400 if os.environ.get("MCV_SOAK") else 60
EACH = 10


def decided(seed: int, mode: str = "", aim: type[Aim] | None = None) -> World:
    return play(seed, aim, programs=with_device(mode or MODES[seed % len(MODES)]))


@pytest.mark.parametrize("part", range(HISTORIES // EACH))
def test_whatever_is_decided_a_guest_runs_once_and_loses_nothing(part: int) -> None:
    for number in range(EACH):
        world = decided(FIRST + part * EACH + number)

        assert not world.violation, told(world)


def test_guests_start_are_fenced_and_taken_over_in_these_histories() -> None:
    worlds = [decided(FIRST + number, "works") for number in range(15)]
    lines = [line for world in worlds for line in world.log]

    assert sum(world.starts for world in worlds) > 20
    assert sum(world.takeovers for world in worlds) > 5
    assert sum("is switched off by its fence device" in line for line in lines) > 5
    assert any("declares" in line and "by off" in line for line in lines)


class Clause(NamedTuple):
    leave_out: Callable[[pytest.MonkeyPatch], None]
    mode: str
    aim: type[Aim] | None
    seeds: tuple[int, ...]


def an_untested_plug_counts(patch: pytest.MonkeyPatch) -> None:
    """Whoever has a device may fence by it."""
    patch.setattr(deciding.Device, "is_tested", True)


def off_is_not_asked_again(patch: pytest.MonkeyPatch) -> None:
    """What a device answers to `off` counts."""
    patch.setattr(deciding, "verified_off", lambda *_: True)


def the_office_is_not_compared(patch: pytest.MonkeyPatch) -> None:
    """A deposed manager writes on."""
    anything = NothingNewer("no such key/", 10**9)
    patch.setattr(manager.Office, "compare", anything)


def what_was_read_is_never_old(patch: pytest.MonkeyPatch) -> None:
    """A manager that was held up goes on with what it had decided."""

    async def may_act(*_: object) -> bool:
        return True

    patch.setattr(manager.Manager, "_may_act", may_act)


CLAUSES: dict[str, Clause] = {
    "an untested plug counts": Clause(
        an_untested_plug_counts, "wrong plug", LastFeeding, (1, 2, 3, 4)
    ),
    "off is not asked again": Clause(off_is_not_asked_again, "lies", LastFeeding, (1, 2, 3, 4)),
    "the office is not compared": Clause(the_office_is_not_compared, "works", None, (1, 2, 5, 6)),
    "what was read is never old": Clause(what_was_read_is_never_old, "works", HeldUp, (1, 5, 8, 9)),
}


@pytest.mark.parametrize("name", CLAUSES)
def test_a_clause_left_out_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    clause = CLAUSES[name]
    clause.leave_out(monkeypatch)

    assert any(decided(seed, clause.mode, clause.aim).violation for seed in clause.seeds)


@pytest.mark.parametrize("name", CLAUSES)
def test_with_the_clause_the_same_histories_are_good_ones(name: str) -> None:
    clause = CLAUSES[name]

    for seed in clause.seeds:
        world = decided(seed, clause.mode, clause.aim)
        assert not world.violation, told(world)
