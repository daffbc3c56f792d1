"""Hosts of an armed cluster are switched off and on: by mcv, by systemd, and all at once."""

from collections.abc import Iterator
from functools import partial

import pytest

from tests.lab import Lab, Node, reality, wait_until
from tests.lab.cluster import mcv
from tests.lab.ha.fenced import await_state, come_on, state
from tests.lab.ha.trio import VM, Trio, all_hold, are_online, attempt, owner, throughout
from tests.lab.lab import side_by_side
from tests.lab.power import LabMachine
from tests.lab.wake_on_lan import WakeOnLan

pytestmark = pytest.mark.row

OFF = 300.0  # s in which a host goes off, with what leaves it before
START = 120.0  # s of a guest's start in a busy lab, with the rounds before it
GRACE = 40  # s that nodes have to appear after a start, in the last test


@pytest.fixture
def managed(armed: Trio) -> Iterator[Trio]:
    """web1 is managed, and runs at home: from elsewhere it would go back there in a test."""
    asked = armed.nodes[0]
    home = reality.document(asked)["vms"][VM]["home"]
    if owner(asked) != home:
        mcv(asked, f"migrate {VM} --online --node {home}", timeout=OFF)
    one = armed.in_roles()[0]
    mcv(one, f"ha add {VM} --no-failback")
    await_state(one, VM, one, START)
    yield armed
    side_by_side(come_on, armed.nodes)
    for node in armed.nodes:
        attempt(partial(armed.nodes[0].run, f"mcv node restore {node.name}", check=False))
    mcv(armed.nodes[0], "ha settings on-shutdown=conditional start-grace=120")
    mcv(armed.nodes[0], f"ha remove {VM}")


@pytest.fixture
def lan(ha_lab: Lab, managed: Trio) -> Iterator[WakeOnLan]:
    """A node that is off is booted when a magic packet for it is on the wire."""
    cards = {node.card: LabMachine(node) for node in managed.nodes}
    with WakeOnLan(cards, within=ha_lab.network.inside) as lan:
        yield lan


def is_back(trio: Trio) -> bool:
    return are_online(trio.nodes) and all_hold(trio.nodes)


def member(asked: Node, node: Node) -> dict[str, object]:
    """A node, by the document on another one's disk."""
    return dict(reality.document(asked)["nodes"][node.name])


def test_a_host_is_powered_off_and_woken_by_a_magic_packet(managed: Trio, lan: WakeOnLan) -> None:
    one, two, three = managed.in_roles()
    assert one.card in str(member(two, one)["macs"])
    with managed.observed() as seen:
        seen.wait_for_writes(one)
        said = mcv(two, f"node power-off {one.name} --yes", timeout=OFF).stdout
        assert f"{VM} left it" in said
        one.wait_off(OFF)
        assert member(two, one)["maintenance"] and owner(two) == two.name
        assert reality.domain(two, VM) == "running"

        refused = mcv(two, f"node power-off {three.name} --yes", code=3).stderr
        assert "2 of 3 are needed" in refused and three.is_running

        mcv(two, f"node wake {one.name} --wait", timeout=OFF)
        assert one.card in lan.heard and one.is_running
        one.wait()
        mcv(two, f"node restore {one.name}", timeout=OFF)
        wait_until(lambda: is_back(managed), START, "node1 to be back")
        seen.rebooted(one)
        assert owner(two) == one.name and reality.domain(one, VM) == "running"
        assert not seen.watcher.twice, seen.watcher.twice


def test_a_host_that_reboots_keeps_its_guests(managed: Trio) -> None:
    one, two, _ = managed.in_roles()
    refused = mcv(two, f"node reboot {one.name} --yes", code=3).stderr
    assert f"{one.name} runs {VM}" in refused

    mcv(two, f"node reboot {one.name} --shutdown --yes")
    one.wait_off(OFF)
    wait_until(lambda: state(two, VM) == (one.name, "frozen"), START, "web1 to be frozen")
    throughout(lambda: reality.domain(two, VM) != "running", 40, "web1 went elsewhere")
    one.boot()

    await_state(two, VM, one, START)
    assert owner(two) == one.name


def test_a_host_that_is_switched_off_has_its_guests_started_elsewhere(managed: Trio) -> None:
    one, two, _ = managed.in_roles()

    one.run("systemctl poweroff", check=False)
    one.wait_off(OFF)

    await_state(two, VM, two, START)
    assert member(two, one)["evidence"] is None


def test_a_shutdown_waits_for_the_moves(managed: Trio) -> None:
    one, two, _ = managed.in_roles()
    mcv(two, "ha settings on-shutdown=migrate")
    with managed.observed() as seen:
        seen.wait_for_writes(one)

        one.run("systemctl poweroff", check=False)
        one.wait_off(OFF)

        assert owner(two) == two.name and reality.domain(two, VM) == "running"
        seen.wait_for_writes(two)
        assert not seen.watcher.twice, seen.watcher.twice


def switch_all_off(trio: Trio) -> None:
    side_by_side(lambda node: node.run("systemctl poweroff", check=False), trio.nodes)
    side_by_side(lambda node: node.wait_off(OFF), trio.nodes)


def test_all_are_switched_off_and_on_and_one_is_missing(managed: Trio) -> None:
    one, two, three = managed.in_roles()
    mcv(one, f"ha settings start-grace={GRACE}")

    switch_all_off(managed)
    side_by_side(Node.boot, [one, two])
    await_state(two, VM, one, START)
    three.boot()
    wait_until(lambda: is_back(managed), START, "all nodes to be back")
    assert owner(three) == one.name and state(three, VM) == (one.name, "started")

    switch_all_off(managed)
    side_by_side(Node.boot, [two, three])
    throughout(lambda: owner(three) == one.name, GRACE / 2, "web1 was taken in the grace")
    await_state(three, VM, two, GRACE + START)
    one.boot()
    wait_until(lambda: is_back(managed), START, "all nodes to be back")
    assert owner(three) == two.name
