"""mcvd, mcv-lease and etcd killed, stopped, and killed again and again, on an armed cluster."""

import time
from collections.abc import Callable

import pytest

from tests.lab import Node, reality, wait_until
from tests.lab.cluster import told
from tests.lab.ha.trio import (
    GRAIN,
    LATE,
    VALIDITY,
    VM,
    WATCHDOG,
    Observed,
    Trio,
    all_hold,
    holds,
)

pytestmark = pytest.mark.row

BOUND = VALIDITY + WATCHDOG + GRAIN


def goes_on(seen: Observed, seconds: float) -> None:
    """The guest writes on on its owner, which stays up."""
    one, *_ = seen.trio.in_roles()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        seen.wait_for_writes(one, number=1, timeout=8)
        assert one.is_running


def test_mcvd_hangs_for_a_minute_and_nothing_moves(armed: Trio) -> None:
    one, *_ = armed.in_roles()
    with armed.observed() as seen:
        seen.wait_for_writes(one)
        one.sigstop("mcvd")
        goes_on(seen, 60)
        one.sigcont("mcvd")
        wait_until(lambda: all_hold(armed.nodes), 30, "all nodes to have their lease")
        one.sigkill("mcvd")
        goes_on(seen, 15)


def test_mcv_lease_is_killed_and_its_lease_lives(armed: Trio) -> None:
    one, *_ = armed.in_roles()
    with armed.observed() as seen:
        seen.wait_for_writes(one)
        for _ in range(3):
            one.sigkill("mcv-lease")
            goes_on(seen, 6)
        assert holds(one)


def test_mcv_lease_is_small(armed: Trio) -> None:
    """Below 40 MB and a hundredth of a core, over a minute."""
    node = armed.nodes[2]
    before = used(node)
    time.sleep(60)
    ticks = used(node) - before
    rss = node.run("grep VmRSS /proc/$(systemctl show -P MainPID mcv-lease)/status").stdout
    assert int(rss.split()[1]) < 40 << 10, rss
    assert ticks <= 60, f"{ticks / 100} s in 60 s"


def used(node: Node) -> int:
    """The ticks of a hundredth of a second that mcv-lease has run."""
    stat = node.run("cat /proc/$(systemctl show -P MainPID mcv-lease)/stat").stdout
    fields = stat.rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


# One that lives for a second renews its lease; these end before they have begun. pkill takes two
# seconds in a busy node.
KILLER = """\
import os, signal, time
while True:
    try:
        with open("/sys/fs/cgroup/system.slice/mcv-lease.service/cgroup.procs") as file:
            for number in file.read().split():
                os.kill(int(number), signal.SIGKILL)
    except OSError:
        pass
    time.sleep(0.05)
"""


def test_mcv_lease_that_dies_every_second_ends_its_host_at_the_bound(armed: Trio) -> None:
    one, two, _ = armed.in_roles()
    with armed.observed() as seen:
        seen.wait_for_writes(one)
        one.put(KILLER, "/root/killer")
        began = time.monotonic()
        killing = one.start("python3 -I /root/killer")
        ended = seen.watcher.wait_for_end(one, BOUND + LATE)
        assert ended - began <= BOUND + LATE
        one.wait_off(BOUND)
        killing.kill()
        seen.take_over(one, two)
        seen.wait_for_writes(two, number=5)
        seen.require_nothing_lost(two)
        armed.come_back(one)


def test_mcv_lease_that_is_stopped_has_its_host_reset_by_the_watchdog(armed: Trio) -> None:
    one, two, _ = armed.in_roles()
    with armed.observed() as seen:
        seen.wait_for_writes(one)
        stopped = time.monotonic()
        one.sigstop("mcv-lease")
        off = one.wait_off(WATCHDOG + GRAIN + LATE + 5)
        assert WATCHDOG - 1 <= off - stopped <= WATCHDOG + GRAIN + LATE
        seen.take_over(one, two)
        seen.wait_for_writes(two, number=5)
        seen.require_nothing_lost(two)
        armed.come_back(one)


Stroke = Callable[[Node], None]


def kill(node: Node) -> None:
    node.sigkill("mcv-etcd")


def stop(node: Node) -> None:
    node.sigstop("mcv-etcd")


@pytest.mark.parametrize("stroke", [kill, stop])
def test_one_etcd_that_is_gone_costs_no_lease(armed: Trio, stroke: Stroke) -> None:
    one, *_ = armed.in_roles()
    with armed.observed() as seen:
        seen.wait_for_writes(one)
        for node in armed.nodes:  # one of them is the leader
            stroke(node)
            goes_on(seen, VALIDITY + 4)
            node.sigcont("mcv-etcd")
            wait_until(lambda: all_vote(one), 30, "all voters")
        assert all_hold(armed.nodes)


def all_vote(node: Node) -> bool:
    shown = told(node, "cluster store")
    return bool(shown["quorum"]) and {each["state"] for each in shown["voters"]} == {
        "leader",
        "voter",
    }


def test_without_a_quorum_the_guests_run_on_as_long_as_all_members_answer(armed: Trio) -> None:
    """The failsafe: two voters hang, and every member promises to take nothing."""
    one, two, three = armed.in_roles()
    with armed.observed() as seen:
        seen.wait_for_writes(one)
        for node in (two, three):
            node.sigstop("mcv-etcd")
        goes_on(seen, 2 * BOUND)
        for node in (two, three):
            node.sigcont("mcv-etcd")
        wait_until(lambda: all_hold(armed.nodes), 60, "all nodes to have their lease")


def test_without_a_quorum_and_without_a_member_guests_end(armed: Trio) -> None:
    one, two, three = armed.in_roles()
    with armed.observed() as seen:
        seen.wait_for_writes(one)
        began = time.monotonic()
        three.kill()
        two.sigstop("mcv-etcd")
        ended = seen.watcher.wait_for_end(one, BOUND + LATE + 2)
        assert ended - began > VALIDITY / 2
        two.sigcont("mcv-etcd")
        armed.come_back(three)
        armed.come_back(one)
        if reality.domain(one, VM) != "running":
            seen.rebooted(one)
            one.run(f"mcv start {VM}", timeout=180)
        seen.wait_for_writes(one)
        seen.require_nothing_lost(one)
