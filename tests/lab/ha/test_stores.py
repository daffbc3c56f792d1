"""Disks that fail, etcd that is full, and power that is lost everywhere, on an armed cluster."""

import time
from functools import partial

import pytest

from tests.lab import Node, reality, wait_until
from tests.lab.cluster import mcv, told, wait_for_contact
from tests.lab.ha.trio import RESOURCE, VM, Trio, all_hold, declare, holds, throughout
from tests.lab.lab import side_by_side
from tests.lab.test_verification import failing

pytestmark = pytest.mark.row

# A quota that is soon filled to the quarter from which on there is a warning, and room is made.
QUOTA = 16 << 20
USUAL = 2 << 30
FILL = 6 << 20
BIG = 200_000
CODE = "/opt/mcv/lib/python3*/site-packages/mcv/etcd/config.py"
# mcvd follows: it has etcd start anew by what it is to be told, one voter after the other.
SET_QUOTA = f"sed -i 's/^QUOTA = .*/QUOTA = {{}}/' {CODE} && systemctl restart mcvd"
FILLER = f"""
import pathlib, sys
from mcv.ha import handler_facts
from mcv.ha.env import Put, Txn
from mcv.ha.plain_etcd import PlainEtcd

facts = handler_facts.read(pathlib.Path(sys.argv[1]))
etcd = PlainEtcd(facts.prefix, facts.voters, facts.certificate, facts.key)
for _ in range({FILL // BIG}):
    etcd.txn(Txn(puts=(Put("filler", "x" * {BIG}),)))
etcd.txn(Txn(puts=(Put("filler", None),)))
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


def set_quota(trio: Trio, quota: int) -> None:
    """Have all voters run with another quota of so many bytes."""
    for node in trio.nodes:
        node.run(SET_QUOTA.format(quota))
    for node in trio.nodes:
        wait_until(partial(runs_by, node, quota), 90, f"etcd's quota on {node.name}")
    wait_until(lambda: all_hold(trio.nodes), 30, "all nodes to have their lease")
    wait_for_contact(trio.nodes)


def runs_by(node: Node, quota: int) -> bool:
    """Whether etcd on a node was started with that quota."""
    words = "tr '\\0' '\\n' < /proc/$(systemctl show -P MainPID mcv-etcd)/environ"
    wanted = f"ETCD_QUOTA_BACKEND_BYTES={quota}"
    return wanted in node.run(words, check=False).stdout.split()


def sizes(node: Node) -> list[int]:
    """The bytes of etcd's file at each voter."""
    return [int(voter["size"]) for voter in told(node, "cluster store")["voters"]]


def test_a_full_etcd_is_compacted_and_no_lease_is_lost(armed: Trio) -> None:
    one, _, three = armed.in_roles()
    set_quota(armed, QUOTA)
    with armed.observed() as seen:
        seen.wait_for_writes(one)
        three.put(FILLER, "/root/filler.py")
        three.run(f"/opt/mcv/bin/python3 -I /root/filler.py /var/lib/mcv/{three.name}")
        filled = sizes(one)
        checked = three.run("mcv cluster check --json", check=False, timeout=120).stdout
        # Room may have been made meanwhile.
        assert "% full" in checked or max(sizes(one)) < QUOTA / 4, checked
        until = time.monotonic() + 150
        while max(sizes(one)) >= QUOTA / 4:
            assert time.monotonic() < until, sizes(one)
            seen.wait_for_writes(one, number=1, timeout=10)
            assert all_hold(armed.nodes)
        print(f"of {filled} bytes {sizes(one)} were left")
        assert max(filled) >= QUOTA / 4
        assert all(node.is_running for node in armed.nodes)
        mcv(one, f"update {VM} --description changed")
        seen.wait_for_writes(one)
    set_quota(armed, USUAL)


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
