"""High availability's ground from end to end, once: armed, cut off, taken over, and back."""

import time

from tests.lab import reality, wait_until
from tests.lab.cluster import mcv, wait_for_contact
from tests.lab.ha.trio import (
    GRAIN,
    LATE,
    RESOURCE,
    VALIDITY,
    VM,
    WATCHDOG,
    Trio,
    holds,
    store,
)

BOUND = VALIDITY + WATCHDOG + GRAIN


def test_a_cut_off_owner_ends_and_what_its_guest_wrote_is_on_the_copy_that_runs(trio: Trio) -> None:
    one, two, _ = trio.nodes
    trio.store_in_etcd()
    assert "--trust-softdog" in mcv(one, "ha arm", code=3).stderr
    trio.arm()
    trio.create()
    with trio.observed() as seen:
        seen.wait_for_writes(one)

        one.sigkill("mcv-lease")
        seen.wait_for_writes(one)
        wait_until(lambda: holds(one), 10, "node1 to have its lease")

        cut = time.monotonic()
        one.cut()
        ended = seen.watcher.wait_for_end(one, BOUND + LATE)
        assert ended - cut <= BOUND + LATE
        seen.take_over(one, two)
        seen.wait_for_writes(two, number=5)
        seen.require_nothing_lost(two)

        trio.come_back(one)
        seen.rebooted(one)
        assert reality.domain(one, VM) in ("shut off", "absent")
        seen.require_nothing_lost(two)

    assert mcv(one, "cluster store unanimous --yes", code=3).stderr
    assert store(one) == "etcd"
    trio.disarm()
    trio.move_back()
    wait_for_contact(trio.nodes)
    mcv(one, f"stop {VM}")
    assert reality.is_in_step(two, RESOURCE)
    mcv(two, f"delete {VM} --yes")
