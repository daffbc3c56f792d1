"""Pools on real nodes: what can be one, what lies in them, and what becomes of full or hung ones.

Each node has a thin pool and a file system on a volume of its own. A file system that hangs is
FUSE's, whose server never says a word.
"""

import json
import time
from typing import Any

import pytest

from tests.lab import Node
from tests.lab.cluster import create, mcv, told
from tests.lab.lab import side_by_side, wait_until

MAKE = """
modprobe -q dm-thin-pool; modprobe -q fuse
lvcreate -qq -y --type thin-pool -L 32M --poolmetadatasize 4M -n thin vg0
lvcreate -qq -y -L 64M -n files vg0 && mkfs.ext4 -q /dev/vg0/files
mkdir -p /srv/fast /srv/closed/in /mnt/nfs && chmod 711 /srv/fast && chmod 700 /srv/closed
mount /dev/vg0/files /srv/fast && ln -sfn /var/lib/mcv/pool /srv/link
"""
AWAY = """
umount -l /srv/fast /mnt/nfs 2> /dev/null; rm -rf /srv/link /srv/closed /mnt/nfs /srv/fast
lvremove -qq -y vg0/files vg0/thin
"""
HANG = """
import ctypes, os, time
fd = os.open("/dev/fuse", os.O_RDWR)
options = f"fd={fd},rootmode=40000,user_id=0,group_id=0".encode()
assert ctypes.CDLL(None).mount(b"hung", b"/srv/fast", b"fuse", 0, options) == 0
time.sleep(600)
"""


def problems(node: Node, words: str) -> str:
    """Everything that a command is refused for."""
    said = json.loads(mcv(node, f"{words} --json", code=3).stderr.splitlines()[-1])
    return "\n".join([said["message"], *(problem["message"] for problem in said["problems"])])


def place(node: Node, pool: str, on: Node) -> dict[str, Any]:
    """One node's part of a pool, by another node's list."""
    (row,) = (row for row in told(node, "pool list") if row["name"] == pool)
    return dict(row["nodes"][on.name])


def in_info(node: Node, on: Node) -> dict[str, Any]:
    """What `mcv info` of one node tells of another."""
    return dict(next(row for row in told(node, "info")["nodes"] if row["name"] == on.name))


@pytest.mark.soak
def test_pools_are_proved_used_filled_and_hung(pair: list[Node]) -> None:
    node1, node2 = pair
    side_by_side(lambda node: node.run(MAKE), pair)
    try:
        what_cannot_be_a_pool_is_refused(node1)
        for words in ("fast --type dir --location /srv/fast", "t --type thin --location vg0/thin"):
            mcv(node2, f"pool create {words}")
        disks_lie_in_pools(node1, node2)
        a_full_thin_pool_is_told(node1, node2)
        a_shared_pool_is_known_by_its_id(node1, node2)
        a_hung_pool_holds_nobody_up(node1, node2)
    finally:
        for name in ("web1", "web2", "web3"):
            node1.run(f"mcv stop {name}; mcv delete {name} --yes", check=False)
        for pool in ("fast", "t", "nfs"):
            node1.run(f"mcv pool delete {pool} --yes", check=False)
        side_by_side(lambda node: node.run(AWAY, check=False), pair)


def what_cannot_be_a_pool_is_refused(node: Node) -> None:
    for words, reasons in (
        (
            "../x --type dir --location /srv/nowhere",
            [
                "'../x' is no name for a pool.",
                "node1: There is no directory /srv/nowhere on this host.",
                "node2: There is no directory /srv/nowhere on this host.",
            ],
        ),
        ("x --type dir --location /srv/../etc", ["is no location of a pool of type dir"]),
        ("x --type dir --location /dev/shm", ["/dev/shm is no place for disks"]),
        ("x --type dir --location /srv/closed/in", ["cannot pass through /srv/closed."]),
        (
            "x --type dir --location /srv/link",
            ["/srv/link (/var/lib/mcv/pool) and the pool default"],
        ),
        ("x --type dir --location /var/lib/mcv", ["holds what mcv itself needs"]),
        ("x --type lvm --location vg7", ["node2: there is no volume group vg7."]),
        ("x --type thin --location vg0/files", ["node1: vg0/files is no thin pool."]),
    ):
        said = problems(node, f"pool create {words}")
        assert all(reason in said for reason in reasons), said


def disks_lie_in_pools(node1: Node, node2: Node) -> None:
    create(node1, "web1", "--pool fast")
    create(node1, "web2", "--storage thin --pool t", disk="32MiB")
    mcv(node1, "start web1")
    kinds = {row["name"]: row["storage"] for row in told(node2, "list")}
    assert kinds == {"web1": "file", "web2": "thin"}
    assert node1.run("ls /srv/fast").stdout.split()[-1].startswith("mcv-web1-1-")
    assert "web1" in problems(node2, "pool delete fast")
    wait_until(lambda: place(node2, "fast", node1)["ok"], 30, "the room of fast to be told")
    fast = place(node2, "fast", node1)
    assert fast["location"] == "/srv/fast" and 0 < fast["free"] < fast["size"]
    # A busy node's room is untold for a while.
    wait_until(lambda: in_info(node2, node1)["room"]["fast"]["total"], 30, "info to tell the room")
    here = in_info(node2, node1)
    assert here["room"]["fast"] == {
        "total": fast["size"],
        "free": fast["free"],
        "spoken_for": here["room"]["fast"]["spoken_for"],
    }
    assert here["memory"]["spoken_for"] == 2 * 16 << 20


def a_full_thin_pool_is_told(node1: Node, node2: Node) -> None:
    node1.run(
        "lvchange -qq -a y vg0/mcv-web2-1 && "
        "dd if=/dev/zero of=/dev/vg0/mcv-web2-1 bs=1M count=31 oflag=direct"
    )
    # LVM tells what the kernel has committed, and a busy node what LVM told before.
    wait_until(
        lambda: (place(node2, "t", node1)["used_percent"] or 0) > 95, 70, "the pool to be full"
    )
    assert not place(node2, "t", node1)["ok"]
    said = next(row["attention"] for row in told(node2, "list") if row["name"] == "web2")
    assert said.startswith("Pool t (vg0/thin) on node1 is full: 9"), said
    assert said in told(node2, "info")["attention"]
    checked = json.loads(mcv(node2, "cluster check --json", code=5).stdout)["findings"]
    assert ("error", "node1", "t") in {
        (row["severity"], row["node"], row["subject"]) for row in checked
    }
    full = problems(node1, "create web3 --memory 16MiB --disk 4MiB --storage thin --pool t")
    assert "Pool t (vg0/thin) on node1 is full" in full


def a_shared_pool_is_known_by_its_id(node1: Node, node2: Node) -> None:
    """The nodes share no directory: one of them has the other's mark carried over by hand."""
    words = "pool create nfs --type shared --location /mnt/nfs"
    said = mcv(node1, words, code=1).stderr
    assert "/mnt/nfs on node2 is not the directory of pool nfs" in said, said
    assert node1.run("ls -A /mnt/nfs").stdout == ""
    mcv(node1, f"{words} --on node1")
    assert "does not bear the pool's id" in problems(node1, "pool add-node nfs --node node2")
    node2.put(node1.run("cat /mnt/nfs/.mcv-pool").stdout, "/mnt/nfs/.mcv-pool")
    added = mcv(node1, "pool add-node nfs --node node2").stdout
    assert "No such file" in added and "no VM is taken over" in added, added
    create(node1, "web3", "--pool nfs")
    (row,) = (row for row in told(node1, "list") if row["name"] == "web3")
    assert (row["storage"], row["nodes"]) == ("shared", ["node1", "node2"])
    node1.run("mount -t tmpfs none /mnt/nfs")
    refused = mcv(node1, "start web3", code=3)
    assert "does not bear the pool's id" in refused.stdout + refused.stderr
    assert "does not bear the pool's id" in place(node2, "nfs", node1)["problem"]
    node1.run("umount /mnt/nfs")
    mcv(node1, "delete web3 --yes")
    mcv(node1, "pool delete nfs --yes")
    assert node1.run("ls -A /mnt/nfs").stdout == ""


def a_hung_pool_holds_nobody_up(node1: Node, node2: Node) -> None:
    mcv(node1, "stop web1")
    node1.put(HANG, "/root/hang.py")
    hanging = node1.start("exec python3 /root/hang.py")
    try:
        # What looks at the directory itself hangs, too.
        is_mounted = "grep -q '^hung /srv/fast fuse' /proc/mounts"
        wait_until(lambda: node1.run(is_mounted, check=False).code == 0, 10, "the hung mount")
        for words in ("pool list", "info", "list"):
            for node in (node1, node2):
                began = time.monotonic()
                told(node, words)
                assert time.monotonic() - began < 4, (words, node.name)  # ssh, and python's start
        hung = "/srv/fast does not answer."
        wait_until(
            lambda: place(node2, "fast", node1)["problem"] == hung, 20, "the hang to be told"
        )
        refused = mcv(node1, "start web1", code=3)
        assert "does not answer" in refused.stdout + refused.stderr
    finally:
        hanging.kill()
        # The brackets keep pkill from the shell that runs it.
        node1.run("pkill -f '[h]ang.py'; umount -l /srv/fast", check=False)
