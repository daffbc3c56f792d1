"""Histories in which silent nodes are switched off: a guest runs once, whatever a device does."""

import os
from collections.abc import Callable

import pytest

from mcv.ha import fence
from mcv.ha.fence import Fencing, Level, PlugAt
from tests.ha.fence_devices import Devices, Mode
from tests.ha.shooting import OUTSIDE, with_plugs
from tests.ha.sim import play
from tests.ha.test_histories import told
from tests.ha.world import NODES, World

FIRST = int(os.environ.get("HA_SEED", "1"))
HISTORIES = 1_000 if os.environ.get("MCV_SOAK") else 40
EACH = 10
SEARCHED = 60  # histories in which a clause that is left out is to be found

Levels = Callable[[str], tuple[Level, ...]]


def plug(device: str, node: str, tested: bool = True) -> PlugAt:
    return PlugAt(device, node, tested)


def one_level(node: str) -> tuple[Level, ...]:
    return ((plug("a", node),),)


def two_levels(node: str) -> tuple[Level, ...]:
    return ((plug("a", node), plug("b", node)), (plug("c", node),))


def untested(node: str) -> tuple[Level, ...]:
    return ((plug("a", node, tested=False),),)


def devices(mode: Mode = Mode.WELL, wired_to: str = "") -> Devices:
    """Three devices with a plug for each node; those of the first are in this mode."""
    wired = {f"{device}:{node}": wired_to or node for device in "abc" for node in NODES}
    return Devices(wired, {f"a:{node}": mode for node in NODES})


def shot(seed: int, levels: Levels, given: Devices) -> World:
    return play(seed, programs=with_plugs(given, levels))


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("part", range(HISTORIES // EACH))
def test_whatever_a_device_does_a_guest_runs_once(part: int, mode: Mode) -> None:
    for number in range(EACH):
        seed = FIRST + part * EACH + number
        levels = (one_level, two_levels)[seed % 2]
        given = devices(mode)
        given.delay = 5.0 * (seed % 3)

        world = shot(seed, levels, given)

        assert not world.violation, told(world)


@pytest.mark.parametrize("part", range(HISTORIES // EACH))
def test_a_plug_of_another_machine_that_was_never_tested_starts_nothing(part: int) -> None:
    for number in range(EACH):
        world = shot(FIRST + part * EACH + number, untested, devices(wired_to=OUTSIDE))

        assert not world.violation, told(world)
        assert world.takeovers == 0


def test_nodes_are_shot_and_taken_in_these_histories() -> None:
    worlds = [shot(FIRST + number, two_levels, devices()) for number in range(20)]
    lines = [line for world in worlds for line in world.log]

    assert sum(world.takeovers for world in worlds) > 5
    assert sum("is switched off by its fence device" in line for line in lines) > 5
    hung = [shot(FIRST + number, two_levels, devices(Mode.HANG)) for number in range(20)]
    assert any("off by level 2" in line for world in hung for line in world.log)


def found(levels: Levels, given: Callable[[], Devices]) -> bool:
    return any(shot(FIRST + number, levels, given()).violation for number in range(SEARCHED))


def test_an_untested_plug_that_counts_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def all_of_them(order: Fencing) -> list[tuple[int, Level]]:
        return list(enumerate(order.levels, start=1))

    monkeypatch.setattr(fence, "_that_count", all_of_them)

    assert found(untested, lambda: devices(wired_to=OUTSIDE))


def test_an_off_that_is_not_asked_about_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    async def believed(*_: object) -> None:
        return None

    monkeypatch.setattr(fence, "_confirm", believed)

    assert found(one_level, lambda: devices(Mode.LIE))
