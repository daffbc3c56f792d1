"""Two nodes in the simulator: of two that cut each other off one survives, and nothing is lost."""

import os
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from mcv.ha import pair_loss
from mcv.ha.peer_loss import ALONE
from mcv.rules.ha import fencing
from tests.ha.fence_devices import Devices, Mode
from tests.ha.shooting import OUTSIDE
from tests.ha.two_daemon import DELAY, daemon
from tests.ha.two_world import NODES, TwoWorld, plugs
from tests.ha.world import Violation

FIRST = int(os.environ.get("HA_SEED", "1"))
HISTORIES = 400 if os.environ.get("MCV_SOAK") else 20
EACH = 10
SEARCHED = 80  # histories in which a clause that is left out is to be found


def begun(seed: int, devices: Devices | None = None, **values: object) -> TwoWorld:
    """Both are up, and n1 runs the guest."""
    world = TwoWorld(seed, daemon, devices or plugs(), **values)  # type: ignore[arg-type]
    world.run(15.0)
    assert world.nodes["n1"].runs and world.acknowledged > 10, world.log
    return world


def running(world: TwoWorld) -> list[str]:
    """Where the guest runs, and writes."""
    return [name for name, node in world.nodes.items() if node.runs and not node.suspended]


def faults(world: TwoWorld, until: float) -> None:
    """What befalls by chance."""
    while world.time < until:
        world.run(world.time + world.random.choice((2.0, 10.0, 40.0, 90.0)))
        node = world.nodes[world.random.choice(NODES)]
        what = world.random.randrange(5)
        if what == 0:
            world.cut()
        elif what == 1:
            world.heal()
        elif what == 2:
            world.power_off(node, "dies")
        elif what == 3:
            world.power_on(node)
        else:
            world.restart(node)
    world.run(until + 1.0)


def played(seed: int, mode: Mode, **values: object) -> TwoWorld:
    """A history; a violation ends it, and is kept with what led to it."""
    devices = plugs(mode)
    devices.delay = 5.0 * (seed % 3)
    world = begun(seed, devices, deaths=(0.0, 0.003, 0.01)[seed % 3], **values)
    try:
        faults(world, 900.0)
    except Violation as violation:
        world.violation = "\n".join([*world.log[-60:], f"{mode}, seed {seed}: {violation}"])
    world.close()
    return world


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("part", range(HISTORIES // EACH))
def test_whatever_a_device_does_a_guest_runs_once_and_nothing_is_lost(
    part: int, mode: Mode
) -> None:
    for number in range(EACH):
        world = played(FIRST + part * EACH + number, mode)

        assert not world.violation, world.violation


@pytest.mark.parametrize("seed", range(FIRST, FIRST + 20))
def test_of_two_that_cut_each_other_off_one_survives(seed: int) -> None:
    """The one that was shot is switched on again, alone, and shoots nobody."""
    world = begun(seed)
    world.cut()
    before = world.acknowledged

    world.run(200.0)

    assert world.shots == [("n1", "n2")], world.log
    assert running(world) == ["n1"] and world.acknowledged > before + 100
    assert world.nodes["n2"].is_up and not world.nodes["n2"].runs


@pytest.mark.parametrize("seed", range(FIRST, FIRST + 20))
def test_where_the_first_cannot_shoot_the_second_survives_and_has_every_write(seed: int) -> None:
    devices = plugs()
    devices.blind.add("n1")
    world = begun(seed, devices)
    world.cut()
    at_the_cut = world.acknowledged

    world.run(15.0 + DELAY)
    assert not world.shots and world.acknowledged == at_the_cut

    world.run(250.0)
    assert world.shots == [("n2", "n1")], world.log
    assert running(world) == ["n2"] and world.acknowledged > at_the_cut


@pytest.mark.parametrize("seed", range(FIRST, FIRST + 10))
def test_a_dead_host_is_switched_off_all_the_same_and_its_guest_runs_on_the_other(
    seed: int,
) -> None:
    world = begun(seed)
    world.power_off(world.nodes["n1"], "dies")

    world.run(150.0)

    assert ("n2", "pdu:n1", "off") in world.devices.calls
    assert world.nodes["n2"].document.owner == "n2" and running(world) == ["n2"]


@pytest.mark.parametrize("seed", range(FIRST, FIRST + 10))
def test_a_node_that_comes_up_alone_shoots_nobody_and_waits(seed: int) -> None:
    world = begun(seed)
    world.cut()
    for node in world.nodes.values():
        world.power_off(node, "loses its power")
    world.power_on(world.nodes["n1"])

    world.run(700.0)
    assert not world.shots and not running(world)

    world.heal()
    world.power_on(world.nodes["n2"])
    world.run(760.0)
    assert len(running(world)) == 1 and not world.shots


@pytest.mark.parametrize("mode", [Mode.HANG, Mode.ERROR])
def test_where_no_device_answers_nothing_moves(mode: Mode) -> None:
    world = begun(1, plugs(mode))
    world.cut()
    before = world.acknowledged

    world.run(600.0)
    assert not world.shots and world.acknowledged == before
    assert all(not node.document.offline for node in world.nodes.values())

    world.heal()
    world.run(640.0)
    assert running(world) == ["n1"] and world.acknowledged > before


def test_with_continue_own_guests_go_on_where_no_device_answers() -> None:
    world = begun(1, plugs(Mode.ERROR), on_fence_failure="continue")
    world.cut()
    before = world.acknowledged

    world.run(20.0 + DELAY)
    assert world.acknowledged == before

    world.run(400.0)
    assert running(world) == ["n1"] and world.acknowledged > before
    assert not world.nodes["n1"].document.offline


def test_a_plug_of_another_machine_that_was_never_tested_starts_nothing() -> None:
    devices = plugs()
    devices.wired = dict.fromkeys(devices.wired, OUTSIDE)
    world = begun(1, devices)
    world.untested |= set(NODES)
    world.cut()

    world.run(600.0)

    assert "off" not in {action for _, _, action in world.devices.calls}
    assert all(not node.document.offline for node in world.nodes.values())


def test_daemons_that_are_killed_go_on_and_ask_first() -> None:
    asked_first = 0
    for seed in range(FIRST, FIRST + 40):
        world = begun(seed, deaths=0.02)
        world.power_off(world.nodes["n1"], "dies")
        world.run(400.0)

        assert running(world), world.log
        calls = [action for asker, plug, action in world.devices.calls if plug == "pdu:n1"]
        asked_first += calls[:1] == ["off"] and calls.count("off") == 1 and len(calls) > 2
    assert asked_first


# Clauses left out


def found(play: Callable[[int], TwoWorld], is_bad: Callable[[TwoWorld], object]) -> bool:
    return any(is_bad(play(seed)) for seed in range(FIRST, FIRST + SEARCHED))


def cut_for_long(seed: int) -> TwoWorld:
    """The power goes some seconds after the device has said so."""
    devices = plugs(Mode.SLOW)
    devices.delay = 5.0
    world = begun(seed, devices)
    world.cut()
    try:
        world.run(300.0)
    except Violation as violation:
        world.violation = str(violation)
    world.close()
    return world


def test_one_shot_is_enough_where_the_power_goes_late() -> None:
    for seed in range(FIRST, FIRST + 20):
        world = cut_for_long(seed)

        assert world.shots == [("n1", "n2")] and not world.violation, world.log


def test_a_node_that_shoots_without_contact_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    real = fencing.about

    def in_contact(this, seen, was):  # type: ignore[no-untyped-def]
        return real(this, replace(seen, contact=True), was)

    monkeypatch.setattr(fencing, "about", in_contact)

    assert found(cut_for_long, lambda world: len(world.shots) > 1)


def test_two_that_do_not_wait_for_each_other_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.ha.two_daemon.DELAY", 0.0)

    assert found(cut_for_long, lambda world: len(world.shots) > 1)


def test_a_handler_that_does_not_wait_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once(*_: object) -> int:
        return ALONE

    monkeypatch.setattr(pair_loss, "decide", at_once)

    devices = plugs()
    devices.blind.add("n1")
    world = begun(FIRST, devices)
    world.cut()
    with pytest.raises(Violation, match="writes are lost"):
        world.run(250.0)


def test_an_off_that_was_not_seen_and_counts_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    async def believed(*_: object) -> None:
        return None

    monkeypatch.setattr("mcv.ha.fence._confirm", believed)

    assert found(lambda seed: played(seed, Mode.LIE), lambda world: world.violation)
