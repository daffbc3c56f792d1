"""A dead owner had the newest data alone: its guest waits for it. A frozen one is powered off."""

import time

import pytest

from tests.lab import Node, reality, wait_until
from tests.lab.cluster import mcv, told
from tests.lab.cuts import without_replication
from tests.lab.ha.fenced import await_state
from tests.lab.ha.managed import FENCED, Managed, await_takeover, evidence
from tests.lab.ha.test_cuts import disk
from tests.lab.ha.trio import VM, owner, throughout

pytestmark = pytest.mark.row

FROZEN = 60.0  # s


def reason(asked: Node) -> str:
    """Why web1 is where it is, as the manager says."""
    [row] = [row for row in told(asked, "ha list") if row["name"] == VM]
    return str(row["reason"])


def test_what_is_on_the_dead_host_alone_is_blocked_until_it_is_back(managed: Managed) -> None:
    one, two, three = managed.trio.in_roles()
    mcv(three, "ha settings after-fence=off")
    with managed.trio.observed() as seen:
        seen.wait_for_writes(one)
        with without_replication(two):
            seen.wait_for_writes(one, timeout=60)
            wait_until(lambda: disk(two) == "Outdated", 30, "the other replica to be outdated")
            one.kill()
            await_state(three, VM, one, FENCED, reached="blocked")
            assert evidence(three, one) == "off"
            assert f"newest data is on {one.name}" in reason(three)
        throughout(lambda: reality.domain(two, VM) != "running", 10, "nothing is lost by a start")
        assert owner(three) == one.name
        managed.back(one)
        seen.rebooted(one)
        wait_until(lambda: reality.domain(one, VM) == "running", 120, f"{VM} to run on its owner")
        seen.wait_for_writes(one, number=5)
        seen.require_nothing_lost(one)
    mcv(three, "ha settings after-fence=on")


def test_a_frozen_host_is_powered_off_before_its_guest_runs_elsewhere(managed: Managed) -> None:
    """What wakes after a minute is another boot of it."""
    one, two, three = managed.trio.in_roles()
    managed.power.requests.clear()
    with managed.trio.observed() as seen:
        seen.wait_for_writes(one)
        frozen, life = time.monotonic(), one.life
        one.freeze()
        await_takeover(seen, one, two, FENCED)
        assert managed.offs(one) and one.life != life
        time.sleep(max(0.0, frozen + FROZEN - time.monotonic()))
        one.thaw()
        managed.back(one)
        assert reality.domain(one, VM) in ("absent", "shut off") and owner(three) == two.name
        seen.wait_for_writes(two, number=5)
        seen.require_nothing_lost(two)
