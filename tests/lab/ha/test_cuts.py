"""A node is cut off, one way or from replication alone; it freezes, dies, and comes back."""

import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager

import pytest

from tests.lab import Node, reality, wait_until
from tests.lab.cluster import mcv
from tests.lab.cuts import deaf, unheard, without_replication
from tests.lab.ha.trio import (
    GRAIN,
    LATE,
    RESOURCE,
    VALIDITY,
    VM,
    WATCHDOG,
    Trio,
    declare,
    holds,
    owner,
    throughout,
)

pytestmark = pytest.mark.row

BOUND = VALIDITY + WATCHDOG + GRAIN


def test_the_owners_host_dies_and_its_guest_goes_on_counting_elsewhere(armed: Trio) -> None:
    one, two, _ = armed.in_roles()
    with armed.observed() as seen:
        seen.wait_for_writes(one)
        one.kill()
        last = seen.acknowledged.last
        seen.take_over(one, two)
        seen.wait_for_writes(two)
        assert seen.acknowledged.found[-1][0] == two.name
        assert seen.acknowledged.found[-1][1] >= last
        seen.require_nothing_lost(two)
        armed.come_back(one)


Cut = Callable[[Node, Iterable[Node]], AbstractContextManager[None]]


@pytest.mark.parametrize("cut", [deaf, unheard])
def test_an_owner_that_is_cut_off_one_way_ends_too(armed: Trio, cut: Cut) -> None:
    one, two, _ = armed.in_roles()
    with armed.observed() as seen:
        seen.wait_for_writes(one)
        began = time.monotonic()
        with cut(one, armed.others(one)):
            ended = seen.watcher.wait_for_end(one, BOUND + LATE)
            assert ended - began <= BOUND + LATE
            seen.take_over(one, two)
            seen.wait_for_writes(two, number=5)
            seen.require_nothing_lost(two)
        armed.come_back(one)


def test_a_bystander_that_is_cut_off_stays_up_and_starts_nothing(armed: Trio) -> None:
    one, _, three = armed.in_roles()
    three.cut()
    wait_until(lambda: not holds(three), BOUND, "node3 to have no lease any more")

    throughout(lambda: three.is_running, 5, "an idle host is not reset")
    assert reality.domain(one, VM) == "running"
    refused = mcv(three, "network create other --bridge br-dmz", code=3, timeout=30).stderr
    assert all(node.name in refused for node in armed.others(three)), refused

    armed.come_back(three)


def test_without_replication_the_owner_goes_on_and_the_other_takes_nothing_over(
    armed: Trio,
) -> None:
    one, two, _ = armed.in_roles()
    with armed.observed() as seen:
        seen.wait_for_writes(one)
        with without_replication(two):
            seen.wait_for_writes(one, timeout=60)
            wait_until(lambda: disk(two) == "Outdated", 30, "the other replica to be outdated")
            one.kill()
            declare(two, one)
            refused = mcv(two, take(two), code=3).stderr
            assert "--accept-stale" in refused, refused
            assert owner(two) == one.name
            assert reality.domain(two, VM) != "running"
        armed.come_back(one)
        wait_until(lambda: reality.domain(one, VM) == "running", 60, "what ran to run again")
        seen.rebooted(one)
        seen.wait_for_writes(one)
        seen.require_nothing_lost(one)


def take(node: Node) -> str:
    return f"register {VM} --node {node.name} --yes"


def disk(node: Node) -> str:
    view = reality.drbd(node, RESOURCE)
    return view.disk if view else "absent"


def test_a_host_that_was_frozen_is_reset_when_it_wakes(armed: Trio) -> None:
    one, two, _ = armed.in_roles()
    with armed.observed() as seen:
        seen.wait_for_writes(one)
        one.freeze()
        time.sleep(BOUND + 3)
        seen.take_over(one, two)
        time.sleep(max(0.0, 60 - BOUND - 40))
        woken = time.monotonic()
        one.thaw()
        assert one.wait_off(15) - woken < 10
        seen.wait_for_writes(two, number=5)
        seen.require_nothing_lost(two)
        armed.come_back(one)


def test_a_host_that_is_switched_on_while_it_is_cut_off_starts_nothing(armed: Trio) -> None:
    one, two, _ = armed.in_roles()
    with armed.observed() as seen:
        seen.wait_for_writes(one)
        one.kill()
        one.cut()
        one.boot()
        throughout(lambda: reality.domain(one, VM) != "running", 15, "nothing starts by itself")
        refused = mcv(one, f"start {VM}", code=3, timeout=60).stderr
        assert "2 of 3 are needed" in refused or "lease" in refused, refused
        assert one.run(f"virsh start {VM}", check=False).code != 0
        assert not holds(one)
        one.kill()
        seen.take_over(one, two)
        seen.wait_for_writes(two, number=5)
        seen.require_nothing_lost(two)
        armed.come_back(one)


def test_what_was_out_of_step_before_arming_is_not_taken_over(trio: Trio) -> None:
    one, two, _ = trio.nodes
    trio.create()
    with trio.observed() as seen:
        seen.wait_for_writes(one)
        with without_replication(two):
            seen.wait_for_writes(one, timeout=60)
            trio.store_in_etcd()
            trio.arm()
            one.kill()
            declare(two, one)
            refused = mcv(two, take(two), code=3).stderr
            assert "--accept-stale" in refused, refused
        trio.come_back(one)
