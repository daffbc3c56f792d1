"""Disks that fail, etcd that is full, and power that is lost everywhere, on an armed cluster."""

import pytest

from tests.lab import Node, reality, wait_until
from tests.lab.cluster import mcv, told
from tests.lab.ha.trio import RESOURCE, VM, Trio, all_hold, declare, holds, throughout
from tests.lab.lab import side_by_side
from tests.lab.test_verification import failing

pytestmark = pytest.mark.row

# What is left of a quota for the document and the leases of some hours, and is soon full.
QUOTA = 8 << 20
START = f"/usr/bin/env ETCD_QUOTA_BACKEND_BYTES={QUOTA} /usr/bin/etcd"
SMALL = f"""
    mkdir -p /etc/systemd/system/mcv-etcd.service.d
    cd /etc/systemd/system/mcv-etcd.service.d
    printf '[Service]\\nExecStart=\\nExecStart={START}\\n' > small.conf
    systemctl daemon-reload && systemctl restart mcv-etcd
"""
USUAL = """
    rm -r /etc/systemd/system/mcv-etcd.service.d
    systemctl daemon-reload && systemctl restart mcv-etcd
"""


def marks(node: Node) -> list[str]:
    """The resources of which etcd has a mark that a replica is behind."""
    return [str(row) for row in told(node, "ha status")["stale"]]


def test_an_owner_whose_disk_fails_writes_on_and_is_taken_over_where_the_data_are(
    armed: Trio,
) -> None:
    one, two, _ = armed.in_roles()
    with armed.observed() as seen:
        seen.wait_for_writes(one)
        with failing(one):
            seen.wait_for_writes(one, timeout=60)
            wait_until(lambda: marks(two), 30, "the mark of the replica that is gone")
            last = seen.acknowledged.last
            one.kill()
        seen.take_over(one, two)
        seen.wait_for_writes(two, number=5)
        assert seen.acknowledged.found[-1][1] >= last
        seen.require_nothing_lost(two)
        armed.come_back(one)


def test_the_data_of_an_owner_without_its_disk_are_blocked_where_they_are_not(
    armed: Trio,
) -> None:
    """The disk is back, and is behind: it takes nothing over while its data are elsewhere."""
    one, two, _ = armed.in_roles()
    with armed.observed() as seen:
        seen.wait_for_writes(one)
        with failing(two):
            seen.wait_for_writes(one, timeout=60)
            wait_until(lambda: marks(one), 30, "the mark of the replica that is gone")
            one.kill()
            two.kill()
        # A boot attaches the replica again, and its metadata may say that it is UpToDate.
        two.boot()
        declare(two, one)
        refused = mcv(two, f"register {VM} --node {two.name} --yes", code=3).stderr
        assert "--accept-stale" in refused or one.name in refused, refused
        armed.come_back(one)


def test_a_full_etcd_is_compacted_and_no_lease_is_lost(armed: Trio) -> None:
    one, *_ = armed.in_roles()
    for node in armed.nodes:
        node.run(SMALL)
        wait_until(lambda: all_hold(armed.nodes), 30, "all nodes to have their lease")
    with armed.observed() as seen:
        seen.wait_for_writes(one)
        # Each change puts a document into etcd, and the oldest bodies stay until a compaction.
        for number in range(40):
            mcv(one, f"update {VM} --description {'x' * 200}{number}")
        assert all(node.is_running for node in armed.nodes)
        wait_until(lambda: all_hold(armed.nodes), 30, "all nodes to have their lease")
        seen.wait_for_writes(one)
    for node in armed.nodes:
        node.run(USUAL)
        wait_until(lambda: all_hold(armed.nodes), 30, "all nodes to have their lease")


def test_everything_loses_power_and_two_nodes_come_back(armed: Trio) -> None:
    """Those two are a majority; the third one's guest waits for a word."""
    one, two, three = armed.in_roles()
    with armed.observed() as seen:
        seen.wait_for_writes(one)
        side_by_side(Node.kill, armed.nodes)
        side_by_side(Node.boot, [two, three])
        wait_until(lambda: holds(two) and holds(three), 90, "two nodes to have their lease")
        throughout(lambda: reality.domain(two, VM) != "running", 10, "nothing moves by itself")
        seen.rebooted(two)
        seen.take_over(one, two)
        seen.wait_for_writes(two, number=5)
        seen.require_nothing_lost(two)
        armed.come_back(one)
        view = reality.drbd(two, RESOURCE)
        assert view is not None and view.role == "Primary"
