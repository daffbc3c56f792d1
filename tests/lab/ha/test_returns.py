"""A fenced host comes back; all lose their power, and one stays away; a target dies in turn."""

from collections.abc import Iterator

import pytest

from tests.lab import Lab, Node, reality, wait_until
from tests.lab.cluster import mcv
from tests.lab.ha.fenced import BRIDGE, NETWORK, state, with_front
from tests.lab.ha.managed import (
    BY_LEASE,
    FENCED,
    Managed,
    await_takeover,
    evidence,
    have_manager_elsewhere,
)
from tests.lab.ha.trio import VM, are_online, holds, owner, throughout
from tests.lab.lab import side_by_side
from tests.lab.power import Mode

pytestmark = pytest.mark.row

GRACE = 40  # s that nodes have to appear after a start
BOOT = 120.0  # s until a host is up and has joined
SLOW = 100  # s that the script takes to start on the host that dies meanwhile; START is 120
ADDRESS = f"{NETWORK}.90"
PLACE = "/usr/local/sbin/slow"


def settings(node: Node, words: str) -> None:
    mcv(node, f"ha settings {words}")


def test_a_fenced_host_that_is_switched_on_joins_and_starts_nothing(managed: Managed) -> None:
    one, two, three = managed.trio.in_roles()
    settings(three, "after-fence=off")
    with managed.trio.observed() as seen:
        seen.wait_for_writes(one)
        one.kill()
        await_takeover(seen, one, two, FENCED)
        assert evidence(three, one) == "off"
        throughout(lambda: not one.is_running, 20, "nobody switches it on")
        one.boot()
        managed.trio.come_back(one)
        assert reality.domain(one, VM) in ("absent", "shut off") and owner(three) == two.name
        assert evidence(three, one) == ""
        seen.wait_for_writes(two, number=5)
        seen.require_nothing_lost(two)
    settings(three, "after-fence=on")


def test_a_fenced_host_that_comes_up_cut_off_starts_nothing(managed: Managed) -> None:
    one, two, three = managed.trio.in_roles()
    with managed.trio.observed() as seen:
        seen.wait_for_writes(one)
        one.kill()
        one.cut()
        await_takeover(seen, one, two, FENCED)
        wait_until(lambda: one.is_running, BOOT, "its device to switch it on")
        one.wait()
        throughout(lambda: reality.domain(one, VM) != "running", 20, "nothing starts by itself")
        assert not holds(one)
        managed.back(one)
        assert owner(three) == two.name
        seen.require_nothing_lost(two)


def test_all_lose_their_power_and_the_guest_of_the_one_that_stays_away_is_recovered(
    managed: Managed,
) -> None:
    """It has a grace to appear in; then it counts by its lease, and its guest alone moves."""
    trio = managed.trio
    one, two, three = trio.in_roles()
    settings(three, f"start-grace={GRACE}")
    managed.power.mode(str(one.number), Mode.DEAF)  # its power is gone, and nobody can ask for it
    with trio.observed() as seen:
        seen.wait_for_writes(one)
        side_by_side(Node.kill, trio.nodes)
        side_by_side(Node.boot, [two, three])
        wait_until(lambda: holds(two) and holds(three), 90, "two nodes to have their lease")
        throughout(lambda: reality.domain(two, VM) != "running", 10, "it has time to appear")
        seen.rebooted(two)
        seen.rebooted(three)
        await_takeover(seen, one, two, GRACE + BY_LEASE + 30)
        assert evidence(three, one) == "lease"
        managed.power.mode(str(one.number), Mode.WELL)
        managed.back(one)
        seen.require_nothing_lost(two)
    settings(three, "start-grace=120")


def script(slow: str) -> str:
    """A script that takes long to start on one node, the same on all of them."""
    return f"""#!/bin/sh
pid=/run/slow.pid
case $1 in
start)  touch /run/slow.began
        [ "$(uname -n)" != {slow} ] || sleep {SLOW}
        start-stop-daemon --start --background --make-pidfile --pidfile $pid \\
            --exec /bin/sleep -- 100000 ;;
stop)   start-stop-daemon --stop --remove-pidfile --pidfile $pid --retry 10 ;;
status) start-stop-daemon --status --pidfile $pid ;;
esac
"""


@pytest.fixture
def slow(ha_lab: Lab, managed: Managed) -> Iterator[str]:
    """A service that prefers node1, then node2, where it starts slowly, then node3."""
    trio = managed.trio
    with_front([*trio.nodes, trio.witness])
    one, two, three = trio.nodes
    for node in trio.nodes:
        node.put(script(two.name), PLACE)
        node.run(f"chmod 755 {PLACE}; rm -f /run/slow.began")
    nodes = " ".join(f"--node {node.name}:{node.number}" for node in trio.nodes)
    mcv(three, f"ha domain create turns {nodes} --ordered --no-failback")
    where = f"--address {ADDRESS}/24 --bridge {BRIDGE} --script {PLACE} --domain turns"
    mcv(three, f"ha service create slow {where}")
    mcv(one, "ha service start slow")
    yield "slow"
    wait_until(lambda: are_online(trio.nodes), BOOT, "all nodes to be online")
    mcv(three, "ha service stop slow")
    mcv(three, "ha service delete slow --yes")
    mcv(three, "ha domain delete turns --yes")


def test_a_target_that_dies_while_it_starts_what_it_took_is_fenced_in_turn(
    managed: Managed, slow: str
) -> None:
    """The first host is back by then: two of three are a majority at any time."""
    one, two, three = managed.trio.nodes
    have_manager_elsewhere(managed, one)
    managed.power.requests.clear()
    one.kill()
    began = "test -e /run/slow.began"
    wait_until(lambda: two.run(began, check=False).code == 0, FENCED, "node2 to begin its start")
    wait_until(lambda: one.is_running, BOOT, "node1 to be switched on")
    wait_until(lambda: holds(one) and are_online(managed.trio.nodes), SLOW, "node1 to be back")
    assert state(three, slow) == (two.name, "starting")

    two.kill()

    wait_until(lambda: state(three, slow)[1] == "started", FENCED + 60, "the next one to start it")
    where, _ = state(three, slow)
    assert where in (one.name, three.name)
    assert managed.offs(one) and managed.offs(two)
    assert evidence(three, two) in ("off", "")  # "": it is back already
    has = {node.name for node in (one, three) if has_address(node)}
    assert has == {where}
    managed.back(two)
    assert not has_address(two)


def has_address(node: Node) -> bool:
    return f"{ADDRESS}/" in node.run("ip -brief -4 address show").stdout
