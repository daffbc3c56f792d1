"""A fence device that hangs, lies, is deaf, or is wired to another host, on a managed cluster."""

import pytest

from tests.lab import reality, wait_until
from tests.lab.cluster import mcv
from tests.lab.ha.managed import (
    BY_LEASE,
    DEVICE,
    FENCED,
    Managed,
    await_soon,
    await_takeover,
    evidence,
    have_manager_elsewhere,
)
from tests.lab.ha.test_daemons import goes_on
from tests.lab.ha.trio import VM, owner
from tests.lab.power import LabMachine, Mode

pytestmark = pytest.mark.row

NOTICED = 30.0  # s in which a silent host is asked to be switched off
MOVES = 8.0  # s from the request to its answer: in them a host that is back has renewed its lease


@pytest.mark.parametrize("mode", [Mode.HANG, Mode.DEAF])
def test_without_an_answer_of_its_device_a_dead_host_is_taken_by_its_lease(
    managed: Managed, mode: Mode
) -> None:
    one, two, _ = managed.trio.in_roles()
    managed.power.mode(str(one.number), mode)
    with managed.trio.observed() as seen:
        seen.wait_for_writes(one)
        one.kill()
        took = await_takeover(seen, one, two, BY_LEASE)
        assert evidence(two, one) == "lease"
        print(f"{VM} ran after {took:.1f} s")
        managed.power.mode(str(one.number), Mode.WELL)
        managed.back(one)


def test_a_device_that_only_says_off_is_not_believed(managed: Managed) -> None:
    """Its `status` tells the truth: the host, which is cut off, counts by its lease alone."""
    one, two, _ = managed.trio.in_roles()
    managed.power.requests.clear()
    managed.power.mode(str(one.number), Mode.LIE)
    with managed.trio.observed() as seen:
        seen.wait_for_writes(one)
        one.cut()
        await_takeover(seen, one, two, BY_LEASE)
        assert managed.offs(one) and evidence(two, one) == "lease"
        assert seen.watcher.ran_last(one) < seen.watcher.ran_last(two)
        managed.power.mode(str(one.number), Mode.WELL)
        managed.back(one)
        assert reality.domain(one, VM) in ("absent", "shut off")


@pytest.mark.parametrize("mode", [Mode.LIE_IN_BOTH, Mode.WRONG_PLUG])
def test_a_plug_whose_host_renews_its_lease_is_trusted_no_more(
    managed: Managed, mode: Mode
) -> None:
    """The host was silent for as long as it takes to be shot at, and is back before the answer."""
    trio, power = managed.trio, managed.power
    one, two, _ = trio.in_roles()
    have_manager_elsewhere(managed, one)
    plug = str(one.number)
    power.requests.clear()
    power.mode(plug, mode, wired=str(trio.witness.number))
    power.delays[plug] = MOVES
    with trio.observed() as seen:
        seen.wait_for_writes(one)
        one.cut()
        await_soon(lambda: managed.offs(one), NOTICED, "the host to be shot at")
        one.heal()
        distrusted = [(DEVICE, False)]
        wait_until(lambda: managed.plugs(one) == distrusted, 60, "the plug to be distrusted")
        assert reality.document(two)["nodes"][one.name]["status"] == "online"
        assert owner(two) == one.name and reality.domain(two, VM) != "running"
        power.mode(plug, Mode.WELL)
        trio.come_back(one)
        # Its lease may have ended meanwhile, and its guest with it: then it was started again here.
        seen.wait_for_writes(one, number=5)
        goes_on(seen, 30)
        seen.require_nothing_lost(one)
    if not trio.witness.is_running:
        trio.witness.boot()


def test_where_the_first_level_fails_the_second_one_switches_off(managed: Managed) -> None:
    trio, power = managed.trio, managed.power
    one, two, three = trio.in_roles()
    second = f"second-{one.number}"
    power.machines[second] = LabMachine(one)
    mcv(three, f"ha remove {VM}")
    mcv(three, f"stop {VM}")
    mcv(three, f"fence set {one.name} --level 2 {DEVICE}:{second}")
    managed.try_plugs(one)
    mcv(one, f"start {VM}", timeout=180)
    mcv(three, f"ha add {VM} --state started")
    power.requests.clear()
    power.mode(str(one.number), Mode.DEAF)
    with trio.observed() as seen:
        seen.wait_for_writes(one)
        one.kill()
        await_takeover(seen, one, two, FENCED)
        assert evidence(two, one) == "off"
        assert managed.offs(one) and "off" in power.actions(second)
        power.mode(str(one.number), Mode.WELL)
        managed.back(one)
    mcv(three, f"fence unset {one.name} --level 2")
