"""High availability from end to end, once: a host is drained, one is killed, one is cut off."""

import time
from collections.abc import Iterator

import pytest

from tests.lab import Lab, reality, wait_until
from tests.lab.cluster import in_contact, mcv, wait_for_contact
from tests.lab.ha import fenced
from tests.lab.ha.fenced import WWW, await_state, holders, state
from tests.lab.ha.trio import (
    GRAIN,
    LATE,
    RESOURCE,
    VALIDITY,
    VM,
    WATCHDOG,
    Observed,
    Trio,
    holds,
    owner,
    store,
)
from tests.lab.power import Power

BOUND = VALIDITY + WATCHDOG + GRAIN
FENCED = 20.0  # s from a host's death to the start of its guest elsewhere
BY_LEASE = 30.0
START = 30.0  # s of a guest's start in a busy lab


@pytest.fixture
def power(ha_lab: Lab, trio: Trio) -> Iterator[Power]:
    """A plug of node1, and on all nodes what the service www needs."""
    fenced.with_front([*trio.nodes, trio.witness])
    fenced.with_script(trio.nodes)
    with fenced.powered(ha_lab, trio, trio.nodes[:1]) as power:
        yield power


def test_drained_killed_and_cut_off(trio: Trio, power: Power) -> None:
    one, two, three = trio.nodes
    mcv(two, f"fence test {one.name} --off --yes", timeout=300)
    wait_until(lambda: in_contact(trio.nodes), 60, "the node that was tested to be back")
    trio.store_in_etcd()
    assert "--trust-softdog" in mcv(one, "ha arm", code=3).stderr
    trio.arm()
    trio.create()
    mcv(one, f"ha add {VM} --no-failback")
    mcv(one, f"ha service create {WWW} {fenced.OF_WWW}")
    mcv(one, f"ha service start {WWW}")
    assert holders(trio.nodes) == [one.name]
    with trio.observed() as seen:
        seen.wait_for_writes(one)
        one.sigkill("mcv-lease")
        seen.wait_for_writes(one)
        wait_until(lambda: holds(one), 10, "node1 to have its lease")

        mcv(one, f"ha service migrate {WWW} --node {three.name}")
        assert holders(trio.nodes) == [three.name]
        mcv(one, f"node drain {three.name} --wait")
        assert state(one, WWW)[0] != three.name and len(holders(trio.nodes)) == 1
        mcv(one, f"node restore {three.name}")
        killed_is_fenced(trio, power, seen)
        cut_off_is_taken_over(trio, seen)

    mcv(one, f"ha service stop {WWW}")
    mcv(one, f"ha service delete {WWW} --yes")
    assert mcv(one, "cluster store unanimous --yes", code=3).stderr
    assert store(one) == "etcd"
    trio.disarm()
    trio.move_back()
    wait_for_contact(trio.nodes)
    mcv(one, f"stop {VM}")
    assert reality.is_in_step(two, RESOURCE)
    mcv(two, f"delete {VM} --yes")


def killed_is_fenced(trio: Trio, power: Power, seen: Observed) -> None:
    """node1 dies, and is switched off before node2 starts its guest; then it comes back."""
    one, two, three = trio.nodes
    before = len(power.requests)
    killed = time.monotonic()
    one.kill()
    wait_until(lambda: reality.domain(two, VM) == "running", FENCED + START, f"{VM} on node2")
    print(f"{VM} runs {time.monotonic() - killed:.1f} s after its host was killed")
    assert "off" in [request.action for request in power.requests[before:]]
    assert owner(three) == two.name
    seen.wait_for_writes(two)
    seen.require_nothing_lost(two)
    wait_until(lambda: state(three, WWW)[1] == "started", 90, f"{WWW} to run")
    assert len(holders([two, three])) == 1

    wait_until(lambda: one.is_running, 60, "the fenced node to be switched on")
    one.wait()
    trio.come_back(one)
    seen.rebooted(one)
    assert reality.domain(one, VM) in ("shut off", "absent")


def cut_off_is_taken_over(trio: Trio, seen: Observed) -> None:
    """node2, which has no plug, ends its guest, and node1 starts it when its lease may be taken."""
    one, two, three = trio.nodes
    cut = time.monotonic()
    two.cut()
    ended = seen.watcher.wait_for_end(two, BOUND + LATE)
    assert ended - cut <= BOUND + LATE
    wait_until(lambda: reality.domain(one, VM) == "running", BY_LEASE + START, f"{VM} on node1")
    print(f"{VM} runs {time.monotonic() - cut:.1f} s after its host was cut off")
    seen.wait_for_writes(one, number=5)
    seen.require_nothing_lost(one)
    await_state(three, VM, one, 30)

    trio.come_back(two)
    seen.rebooted(two)
    assert reality.domain(two, VM) in ("shut off", "absent")
    seen.require_nothing_lost(one)
