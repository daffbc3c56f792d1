"""Cuts and kills by the dozen, and half an hour of load: `make soak-ha`."""

import random
import time

import pytest

from tests.lab import Node, wait_until
from tests.lab.cluster import mcv
from tests.lab.ha.trio import (
    GRAIN,
    LATE,
    VALIDITY,
    WATCHDOG,
    Observed,
    Trio,
    all_hold,
    owner,
)

pytestmark = pytest.mark.soak

BOUND = VALIDITY + WATCHDOG + GRAIN
CUTS = 50
LEADERS = 50
LOAD = 30 * 60  # s
BURN = "nice -n 0 sh -c 'while true; do :; done'"


def strike(seen: Observed, node: Node, how: str) -> None:
    """Cut the owner off or kill it, and wait until its guest has ended, in time."""
    began = time.monotonic()
    match how:
        case "cut":
            node.cut()
        case "lease stopped":
            node.sigstop("mcv-lease")
        case _:
            node.kill()
    ended = seen.watcher.wait_for_end(node, BOUND + LATE)
    assert ended - began <= BOUND + LATE


@pytest.mark.parametrize("number", range(CUTS))
def test_what_the_guest_was_told_is_written_is_on_the_copy_that_runs(
    armed: Trio, number: int
) -> None:
    how = random.Random(number).choice(("cut", "cut", "cut", "kill", "lease stopped"))
    one, two, _ = armed.in_roles()
    with armed.observed() as seen:
        seen.wait_for_writes(one)
        time.sleep(random.Random(-number).uniform(0, 4))  # at any moment of a renewal
        strike(seen, one, how)
        seen.take_over(one, two)
        seen.wait_for_writes(two, number=5)
        seen.require_nothing_lost(two)
        armed.come_back(one)
        seen.rebooted(one)
        seen.wait_for_writes(one, number=5)
        seen.require_nothing_lost(one)


def test_an_etcd_that_is_killed_its_leader_among_them_costs_no_lease(armed: Trio) -> None:
    one, *_ = armed.in_roles()
    with armed.observed() as seen:
        for _ in range(LEADERS):  # whoever leads is one of each three
            for node in armed.nodes:
                node.sigkill("mcv-etcd")
                seen.wait_for_writes(one, number=20, timeout=12)
                wait_until(lambda: all_hold(armed.nodes), 15, "all nodes to have their lease")
        assert all(node.is_running for node in armed.nodes)
        assert owner(one) == one.name


def test_half_an_hour_with_both_cores_busy_ends_no_lease_at_pace_2(armed: Trio) -> None:
    one, *_ = armed.in_roles()
    mcv(one, "ha arm --pace 2 --trust-softdog")
    burning = [node.start(BURN) for node in armed.nodes[:2]]
    try:
        with armed.observed() as seen:
            until = time.monotonic() + LOAD
            while time.monotonic() < until:
                seen.wait_for_writes(one, number=5, timeout=30)
                assert all(node.is_running for node in armed.nodes)
    finally:
        for process in burning:
            process.kill()
    journal = one.run("journalctl --unit mcv-lease --no-pager --output cat").stdout
    assert "lease has ended" not in journal, journal[-1000:]
    mcv(one, "ha arm --pace 1 --trust-softdog")
