"""Switching a node off by levels of plugs, and what counts as having done so."""

from dataclasses import dataclass, field

import pytest

from mcv.ha.at_once import at_once
from mcv.ha.env import Answer, Txn
from mcv.ha.fence import (
    Action,
    Fencing,
    LeaseEnded,
    Level,
    Outcome,
    PlugAt,
    Told,
    switch_off,
    switch_on,
)
from mcv.system.lease import LeaseFile
from tests.ha.fence_devices import Devices, Mode

A, B, C = (PlugAt(device, "1", tested=True) for device in ("a", "b", "c"))
UNTESTED = PlugAt("u", "1", tested=False)


@dataclass
class Scene:
    """A node n1 that fences n3, n2 which is in contact, and devices; time goes by calls."""

    devices: Devices
    node: str = "n1"
    boot: str = "boot"
    time: float = 100.0
    lease_until: float = 1e9
    contact: tuple[str, ...] = ("n1", "n2")
    on: dict[str, bool] = field(default_factory=lambda: {"n3": True, "n4": True})
    later: list[tuple[float, str]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    async def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self._pass(seconds)

    async def txn(self, txn: Txn) -> Answer:
        raise AssertionError("whoever fences writes nothing")

    async def lease_file(self) -> LeaseFile | None:
        return LeaseFile(self.boot, self.lease_until)

    async def say(self, text: str) -> None:
        self.said.append(text)

    async def askers(self, target: str) -> tuple[str, ...]:
        return self.contact

    async def agent(self, asker: str, order: Fencing, plug: PlugAt, action: Action) -> Told:
        answer = self.devices.answer(asker, plug, action, self.on)
        self._pass(answer.seconds)
        if answer.switches is not None:
            host, done = answer.switches
            if done is Action.ON or not answer.after:
                self.on[host] = done is Action.ON
            else:
                self.later.append((self.time + answer.after, host))
        return answer.told

    def _pass(self, seconds: float) -> None:
        self.time += seconds
        for at, host in self.later:
            if at <= self.time:
                self.on[host] = False

    def order(self, *levels: Level, resumed: bool = False, untested: bool = False) -> Fencing:
        return Fencing("uid", "n3", levels, resumed=resumed, untested=untested)

    def off(self, *levels: Level, resumed: bool = False, untested: bool = False) -> Outcome:
        order = self.order(*levels, resumed=resumed, untested=untested)
        return at_once(switch_off(self, order))


@pytest.fixture
def scene() -> Scene:
    return Scene(Devices({"a:1": "n3", "b:1": "n3", "c:1": "n3", "u:1": "n3"}))


def test_off_and_then_status_are_what_switches_a_node_off(scene: Scene) -> None:
    outcome = scene.off((A,))

    assert (outcome.is_off, outcome.level, outcome.by) == (True, 1, "n1")
    assert scene.devices.calls == [("n1", "a:1", "off"), ("n1", "a:1", "status")]
    assert outcome.seconds == pytest.approx(0.6)
    assert not scene.on["n3"]


def test_an_off_that_lies_is_found_by_status_and_the_next_level_takes_its_place(
    scene: Scene,
) -> None:
    scene.devices.modes["a:1"] = Mode.LIE

    outcome = scene.off((A,), (B,))

    assert (outcome.is_off, outcome.level) == (True, 2)
    assert "a:1 was not seen off within 20 s: its status is on" in outcome.message
    assert not scene.on["n3"]


def test_a_host_that_needs_a_while_is_asked_again(scene: Scene) -> None:
    scene.devices.modes["a:1"], scene.devices.delay = Mode.SLOW, 8.0

    outcome = scene.off((A,))

    assert outcome.is_off
    assert scene.devices.calls.count(("n1", "a:1", "off")) == 1
    assert scene.devices.calls.count(("n1", "a:1", "status")) > 3


def test_a_host_that_is_off_later_than_20_s_was_not_seen_off(scene: Scene) -> None:
    scene.devices.modes["a:1"], scene.devices.delay = Mode.SLOW, 25.0
    scene.contact = ("n1",)

    assert not scene.off((A,)).is_off


def test_a_status_that_comes_too_late_is_none(scene: Scene) -> None:
    scene.devices.seconds[Action.STATUS] = 21.0
    scene.contact = ("n1",)

    assert not scene.off((A,)).is_off


@pytest.mark.parametrize("mode", [Mode.HANG, Mode.ERROR])
def test_a_device_that_does_not_answer_is_a_failure(scene: Scene, mode: Mode) -> None:
    scene.devices.modes["a:1"] = mode
    scene.contact = ("n1",)

    outcome = scene.off((A,))

    assert not outcome.is_off
    assert outcome.message.startswith("level 1, asked by n1: a:1 does not switch off: the agent")
    assert scene.on["n3"]
    assert len(scene.said) == 1


def test_every_plug_of_a_level_has_to_be_off(scene: Scene) -> None:
    assert scene.off((A, B)).is_off
    assert [call[1:] for call in scene.devices.calls] == [
        ("a:1", "off"),
        ("b:1", "off"),
        ("a:1", "status"),
        ("b:1", "status"),
    ]


@pytest.mark.parametrize("mode", [Mode.ERROR, Mode.LIE, Mode.HANG])
@pytest.mark.parametrize("ill", ["a:1", "b:1"])
def test_a_level_of_which_one_plug_fails_is_none(scene: Scene, ill: str, mode: Mode) -> None:
    scene.devices.wired[ill] = "n4"
    scene.devices.modes[ill] = mode
    scene.contact = ("n1",)

    assert not scene.off((A, B)).is_off


def test_a_plug_that_was_never_tested_is_not_touched(scene: Scene) -> None:
    outcome = scene.off((UNTESTED,), (A, UNTESTED))

    assert not outcome.is_off
    assert outcome.message == "no level of n3 has tested plugs alone"
    assert scene.devices.calls == []


def test_a_level_behind_an_untested_one_keeps_its_number(scene: Scene) -> None:
    assert scene.off((UNTESTED,), (B,)).level == 2
    assert all(call[1] == "b:1" for call in scene.devices.calls)


def test_a_test_switches_what_was_never_tested(scene: Scene) -> None:
    assert scene.off((UNTESTED,), untested=True).is_off


def test_another_node_in_contact_is_asked_where_this_one_reaches_no_device(scene: Scene) -> None:
    scene.devices.blind = {"n1"}

    outcome = scene.off((A,), (B,))

    assert (outcome.is_off, outcome.by, outcome.level) == (True, "n2", 1)
    assert [call[0] for call in scene.devices.calls] == ["n1", "n1", "n2", "n2"]


def test_a_node_never_asks_its_own_devices(scene: Scene) -> None:
    scene.contact = ("n3",)

    outcome = scene.off((A,))

    assert outcome.message == "no other node can ask n3's devices"
    assert scene.devices.calls == []


def test_a_new_manager_asks_for_the_status_first(scene: Scene) -> None:
    scene.on["n3"] = False

    outcome = scene.off((A, B), resumed=True)

    assert outcome.is_off
    assert {call[2] for call in scene.devices.calls} == {"status"}


def test_a_new_manager_goes_on_where_a_plug_is_still_on(scene: Scene) -> None:
    scene.devices.wired["b:1"] = "n4"
    scene.on["n3"] = False

    scene.off((A, B), resumed=True)

    assert ("n1", "b:1", "off") in scene.devices.calls


@pytest.mark.parametrize("seconds", [0.0, 0.2, 0.5])
def test_no_call_is_made_once_the_own_lease_has_ended(scene: Scene, seconds: float) -> None:
    scene.lease_until = scene.time + seconds
    scene.devices.modes["a:1"] = Mode.LIE

    with pytest.raises(LeaseEnded):
        scene.off((A,), (B,))

    assert len(scene.devices.calls) == (0 if not seconds else 1 if seconds < 0.3 else 2)
    assert scene.on["n3"]


def test_where_there_are_no_leases_none_is_looked_at(scene: Scene) -> None:
    scene.lease_until = 0.0

    order = Fencing("uid", "n3", ((A,),), under_lease=False)

    assert at_once(switch_off(scene, order)).is_off


def test_every_plug_is_switched_on_again_by_whoever_can(scene: Scene) -> None:
    scene.on["n3"] = False
    scene.devices.blind = {"n1"}

    outcome = at_once(switch_on(scene, scene.order((A, B), (A,))))

    assert outcome.failures == ()
    assert [call for call in scene.devices.calls if call[0] == "n2"] == [
        ("n2", "a:1", "on"),
        ("n2", "b:1", "on"),
    ]


def test_a_plug_that_does_not_come_on_is_told(scene: Scene) -> None:
    scene.devices.modes["b:1"] = Mode.ERROR

    outcome = at_once(switch_on(scene, scene.order((A,), (B,))))

    assert outcome.failures == ("b:1 does not switch on: the agent failed with 1",)
