"""All hosts are rebooted one after the other, and a guest that writes runs on all the while."""

from collections.abc import Iterator

import pytest

from tests.lab import LabError, Node, guests, wait_until
from tests.lab.cluster import bring_back, create, mcv, told
from tests.lab.consistency import is_settled
from tests.lab.test_live import newest, where


@pytest.fixture
def web1(pair: list[Node]) -> Iterator[list[Node]]:
    """The cluster with the VM web1, which counts and writes on node1."""
    one = pair[0]
    create(one, "web1", image=guests.writer())
    mcv(one, "start web1")
    wait_until(lambda: newest(one) > 50, 90, "the guest to write")
    yield pair
    bring_back(pair)
    for node in pair:
        mcv(one, f"node restore {node.name}")
    one.run("mcv stop web1", check=False)
    mcv(one, "delete web1 --yes")


def boot_id(node: Node) -> str:
    """The boot of a node; "" while it is down, or on its way. What reboots is not always up again
    by itself: then it is switched on, as a machine would do by itself."""
    if not node.is_running:
        node.power_on()
    try:
        return node.run("cat /proc/sys/kernel/random/boot_id", check=False, timeout=20).stdout
    except LabError:
        return ""


def are_back(nodes: list[Node], before: list[str]) -> bool:
    boots = [boot_id(node) for node in nodes]
    if not all(boot and boot != old for boot, old in zip(boots, before, strict=True)):
        return False
    try:
        statuses = {one["status"] for node in nodes for one in told(node, "info")["nodes"]}
        return statuses == {"online"} and where(nodes) == ["node1"]
    except (LabError, AssertionError, ValueError):
        return False


@pytest.mark.soak
def test_all_hosts_are_rebooted_and_the_guest_runs_on(web1: list[Node]) -> None:
    one = web1[0]
    written = newest(one)
    before = [boot_id(node) for node in web1]
    plan = mcv(one, "cluster reboot --rolling --dry-run").stdout
    assert "node2 is drained, rebooted and restored" in plan and "node1" in plan

    one.run("systemd-run --unit rolling mcv cluster reboot --rolling --yes")
    wait_until(lambda: are_back(web1, before), 900, "both hosts being rebooted")
    wait_until(lambda: is_settled(web1), 60, "everything to be settled")
    number = newest(one)
    assert number > written, "the guest began anew"
    wait_until(lambda: newest(one) > number, 30, "the guest to write on")
