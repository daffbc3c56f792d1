"""A cluster of schema 1 is upgraded on real nodes: no guest loses a byte at its end."""

import json
import os
from collections.abc import Iterator

import pytest

from tests.lab import Node, cluster, reality
from tests.lab.cluster import mcv, wait_for_contact
from tests.lab.lab import side_by_side, wait_until

MIB = 1024**2
BLOCK = 4096
SITE = "/opt/mcv/lib/python3*/site-packages/mcv"
MEMBER = f"{SITE}/consensus/unanimous/member.py"
CONTACT = f"{SITE}/consensus/unanimous/contact.py"

# This node's program reads no later schema than the first, and says so.
OLD = f"""
    systemctl stop mcvd
    cp {MEMBER} {CONTACT} /root/ && cp /root/member.py /root/member.new
    sed -i 's/reads=SCHEMA/reads=1/' {MEMBER} && sed -i 's/min(\\[SCHEMA/min([1/' {CONTACT}
    ! cmp -s /root/member.py {MEMBER} && ! cmp -s /root/contact.py {CONTACT}
"""
NEW = f"""
    systemctl stop mcvd
    cd {SITE}/consensus/unanimous && cp /root/member.py /root/contact.py .
    systemctl start mcvd
"""
BEGIN = """
import sys
from msgspec.structs import replace
from mcv import settings
from mcv.document import place
from mcv.document.model import decode, encode
from mcv.document.store import Store
conf = place.located(settings.load())
store = Store(conf.state, conf.history)
store.begin(decode(encode(replace(decode(open("/root/document.json").read()), schema=1))))
"""


@pytest.fixture
def old(pair: list[Node]) -> Iterator[list[Node]]:
    """The pair as programs of schema 1 hold it; afterwards they are of today again."""
    text = pair[0].run("cat /var/lib/mcv/node1/config.json").stdout
    side_by_side(lambda node: become_old(node, text), pair)
    wait_for_contact(pair)
    yield pair
    side_by_side(lambda node: node.run(NEW), pair)
    wait_for_contact(pair)


def become_old(node: Node, text: str) -> None:
    node.run(OLD)
    # A document of schema 1 has no place for a secret's id: its secret is the first.
    secret = json.loads(text)["drbd"].get("secret_id", "")
    if secret:
        node.run(f"cd /var/lib/mcv/{node.name}/pki && mv drbd-secret.{secret} drbd-secret")
    node.put(text, "/root/document.json")
    node.put(BEGIN, "/root/begin.py")
    node.run("/opt/mcv/bin/python3 /root/begin.py && systemctl start mcvd")


def device_size(node: Node, minor: int) -> int:
    return 512 * int(node.run(f"cat /sys/block/drbd{minor}/size").stdout)


def file_of(node: Node, resource: str) -> str:
    return node.run(f"cat /etc/drbd.d/{resource}.res").stdout


def disk_of(node: Node, name: str) -> dict[str, object]:
    (disk,) = reality.document(node)["vms"][name]["disks"]
    return dict(disk)


def end_of(node: Node, device: str, size: int) -> str:
    """The last 4 KiB of a disk, as the volume or the device has them, and no cache."""
    where = f"bs={BLOCK} skip={size // BLOCK - 1} count=1 iflag=direct status=none"
    return node.run(f"dd if={device} {where} | sha256sum").stdout


def test_disks_of_schema_1_keep_every_byte_when_their_size_is_written_down(
    old: list[Node],
) -> None:
    first, second = old
    cluster.create(first, "runs", disk="64MiB")
    cluster.create(first, "rests", disk="8MiB")
    mcv(first, "start runs")
    minors = {"runs": 100, "rests": 101}
    sizes = {name: device_size(first, minor) for name, minor in minors.items()}
    assert reality.document(first)["schema"] == 1
    assert sizes["runs"] == 64 * MIB + 4153344 and sizes["rests"] > 8 * MIB
    assert " size " not in file_of(first, "mcv-runs-1")
    ends = {}
    for name, minor in minors.items():
        first.put(os.urandom(BLOCK), "/root/end")
        hold = f"drbdadm primary mcv-{name}-1 && " if name == "rests" else ""
        free = f" && drbdadm secondary mcv-{name}-1" if name == "rests" else ""
        place = f"bs={BLOCK} seek={sizes[name] // BLOCK - 1} oflag=direct status=none"
        first.run(f"{hold}dd if=/root/end of=/dev/drbd{minor} {place}{free}")
        ends[name] = end_of(first, f"/dev/vg0/mcv-{name}-1", sizes[name])

    side_by_side(lambda node: node.run(NEW), old)

    wait_until(lambda: all(is_told(node, sizes) for node in old), 60, "both sizes in the kernel")
    document = reality.document(second)
    assert document["schema"] == 6
    assert {vm["home"] for vm in document["vms"].values()} == {"node1"}
    assert document["pools"]["lvm"]["nodes"] == {"node1": "vg0", "node2": "vg0"}
    for name, minor in minors.items():
        disk = disk_of(first, name)
        assert (disk["size"], disk["exact"], disk["pool"]) == (sizes[name], True, "lvm")
        for node in old:
            assert f" size {sizes[name] // 512}s;" in file_of(node, f"mcv-{name}-1")
            assert device_size(node, minor) == sizes[name]
            assert end_of(node, f"/dev/vg0/mcv-{name}-1", sizes[name]) == ends[name]
    assert reality.domain(first, "runs") == "running"
    mcv(first, "verify runs rests", timeout=180)
    mcv(first, "stop runs")
    for name in minors:
        mcv(first, f"delete {name} --yes")


def is_told(node: Node, sizes: dict[str, int]) -> bool:
    """Whether the kernel of a node was told the size of each disk, and both are in step."""
    for name, size in sizes.items():
        shown = node.run(f"drbdsetup show mcv-{name}-1", check=False).stdout
        state = node.run(f"drbdadm dstate mcv-{name}-1", check=False).stdout
        if f"{size // 512}s;" not in shown or state.strip() != "UpToDate/UpToDate":
            return False
    return True
