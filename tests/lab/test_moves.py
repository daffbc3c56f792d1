"""VMs move with disks of one node alone, on nodes: every byte arrives, and a cut copy goes on."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab import Node, guests, reality, wait_until
from tests.lab.cluster import bring_back, create, mcv, told
from tests.lab.consistency import settle
from tests.lab.test_kills import KILL, ended

# 32 MiB of random bytes, then a hole, then a last MiB: 64 MiB.
FILL = """
    dd if=/dev/urandom of=/root/pattern bs=1M count=32 status=none
    truncate -s 63M /root/pattern
    dd if=/dev/urandom of=/root/pattern bs=1M seek=63 count=1 conv=notrunc status=none
    sha256sum < /root/pattern
"""
CREATE = "create web1 --memory 16MiB --disk 64MiB --image /root/pattern --image-format raw"
POOL = "/var/lib/mcv/pool"

# Has the copy stand still when some of it has arrived; waits with little but the shell itself.
STAND_STILL = f"""
    shopt -s nullglob; SECONDS=0; size=0
    until [ $size -gt 4096 ]; do
        [ $SECONDS -lt 60 ] || exit 1
        for file in {POOL}/*.qcow2; do size=$(du -k $file | cut -f1); done
    done
    pkill -STOP -x qemu-nbd
"""


@pytest.fixture
def web1(pair: list[Node]) -> Iterator[tuple[list[Node], str]]:
    """A pattern as an image on node1, and its digest."""
    digest = pair[0].run(FILL, timeout=120).stdout.split()[0]
    yield pair, digest
    bring_back(pair, "systemctl reset-failed mcvd; systemctl start mcvd")
    wait_until(lambda: told(pair[0], "list"), 60, "the cluster to answer")
    mcv(pair[0], "delete web1 --yes")


def digest_on(node: Node) -> str:
    """The digest of the only file in the pool, as its guest would read it; "" without a file."""
    read = f"f=$(echo {POOL}/*.qcow2); [ -e $f ] && qemu-img convert -O raw $f /root/read"
    return node.run(f"{read} && sha256sum < /root/read; rm -f /root/read", check=False).stdout[:64]


def owner(node: Node) -> str:
    return str(reality.document(node)["vms"]["web1"]["node"])


def test_a_vm_on_a_file_moves_and_a_copy_that_is_cut_off_goes_on(
    web1: tuple[list[Node], str],
) -> None:
    (one, two), digest = web1
    mcv(one, f"{CREATE} --storage file")
    assert digest_on(one) == digest

    said = mcv(one, "migrate --node node2 web1")
    assert "web1 belongs to node2 now" in said.stdout
    assert digest_on(two) == digest and digest_on(one) == ""
    used = int(two.run(f"du -k {POOL} | cut -f1").stdout)
    assert used < 40 * 1024, f"the hole was not kept: {used} KiB"
    assert reality.domain(one, "web1") == "absent" and reality.domain(two, "web1") == "shut off"

    # Back again, with the daemon of each side killed while the bytes are on their way.
    for killed in (one, two):
        moving = two.start("timeout 300 mcv migrate --node node1 web1 2>&1; echo; echo $?")
        one.run(STAND_STILL, timeout=90)
        killed.run(KILL)
        bring_back([one, two], "systemctl reset-failed mcvd; systemctl start mcvd")
        ended(moving)
        wait_until(lambda: owner(one) == owner(two) == "node1", 120, "the copy to go on")
        wait_until(lambda: digest_on(two) == "", 60, "the source to go")
        assert digest_on(one) == digest
        assert one.run("pgrep -x qemu-nbd", check=False).code == 1
        if killed is one:
            mcv(one, "migrate --node node2 web1")


@pytest.mark.soak
def test_a_disk_moves_to_drbd_and_back(web1: tuple[list[Node], str]) -> None:
    (one, two), digest = web1
    mcv(one, f"{CREATE} --storage file")

    mcv(one, "disk move web1 1 --storage drbd")
    (disk,) = reality.document(two)["vms"]["web1"]["disks"]
    assert (disk["id"], disk["storage"], disk["size"]) == (1, "drbd", 64 * 1024**2)
    volume = f"/dev/vg0/{disk['volume']}"
    for node in (one, two):
        read = f"dd if={volume} bs=1M count=64 iflag=direct status=none | sha256sum"
        assert node.run(read).stdout[:64] == digest
    assert digest_on(one) == "" and reality.is_in_step(one, disk["resource"])

    mcv(one, "disk move web1 1 --storage file")
    assert digest_on(one) == digest
    for node in (one, two):
        assert not reality.volumes(node)
        assert disk["resource"] not in node.run("drbdsetup status", check=False).stdout
    mcv(one, "start web1")
    mcv(one, "stop web1")


@pytest.fixture
def writing(pair: list[Node]) -> Iterator[list[Node]]:
    """The cluster with the VM web1, which counts and writes on node1."""
    create(pair[0], "web1", "--storage file", image=guests.writer())
    mcv(pair[0], "start web1")
    wait_until(lambda: max(written(pair[0])) > 20, 90, "the guest to write")
    yield pair
    bring_back(pair, "systemctl reset-failed mcvd; systemctl start mcvd")
    settle(pair)
    pair[0].run("mcv stop web1", check=False)
    mcv(pair[0], "delete web1 --yes")


def only_disk(node: Node) -> dict[str, Any]:
    (disk,) = reality.document(node)["vms"]["web1"]["disks"]
    return dict(disk)


def written(node: Node) -> list[int]:
    """The numbers that the guest has written to the disk that the document names on a node."""
    disk = only_disk(node)
    where = f"/dev/vg0/{disk['volume']}"
    if disk["storage"] == "file":
        where = "/root/read"
        node.run(f"qemu-img convert -U -O raw {POOL}/{disk['volume']} {where}")
    dump = f"dd if={where} bs=512 skip=1 count={guests.WRITTEN} status=none"
    dump += " iflag=direct" if disk["storage"] != "file" else ""
    words = node.run(f"{dump} | od -A none -v -t u4 -w512 | cut -c1-11").stdout.split()
    return [int(word) for word in words]


def missing(numbers: list[int]) -> set[int]:
    """What of the last numbers, one for each sector, is not there."""
    newest = max(numbers)
    return set(range(max(1, newest - guests.WRITTEN + 1), newest + 1)) - set(numbers)


def is_left_alone(nodes: list[Node], at_least: int) -> bool:
    """Whether the guest's disk has every number, and nothing is left of another volume."""
    disk = only_disk(nodes[0])
    for node in nodes:
        on_lvm = disk["storage"] != "file" and node.name in places_of(disk)
        assert reality.volumes(node) == ({disk["volume"]} if on_lvm else set())
        is_replica = disk["storage"] == "drbd"
        assert reality.kernel_resources(node) == ({disk["volume"]} if is_replica else set())
    files = nodes[0].run(f"ls {POOL}").stdout.split()
    assert files == ([disk["volume"]] if disk["storage"] == "file" else [])
    numbers = written(nodes[0])
    assert not missing(numbers) and max(numbers) >= at_least, sorted(numbers)
    return True


def writes_on(node: Node) -> int:
    """Wait until the guest has written again; the newest number."""
    before = max(written(node))
    wait_until(lambda: max(written(node)) > before, 60, "the guest to write on")
    return max(written(node))


def places_of(disk: dict[str, Any]) -> set[str]:
    return set(disk.get("volume_groups") or disk.get("places") or {})


def test_a_disk_moves_while_its_guest_writes(writing: list[Node]) -> None:
    one, _ = writing
    newest = max(written(one))
    for kind in ("lvm", "drbd", "file"):
        mcv(one, f"disk move web1 1 --storage {kind}")

        assert reality.domain(one, "web1") == "running" and only_disk(one)["storage"] == kind
        if kind == "drbd":
            assert reality.is_in_step(one, only_disk(one)["volume"])
        assert max(written(one)) >= newest
        newest = writes_on(one)
    mcv(one, "stop web1")
    assert is_left_alone(writing, newest)
    mcv(one, "start web1")


def is_claimed(node: Node) -> bool:
    return reality.document(node)["vms"]["web1"]["claim"] is not None


@pytest.mark.soak
@pytest.mark.parametrize("kill", [KILL, "pkill -KILL -x qemu-system-x86"])
def test_a_disk_that_moves_keeps_every_byte_wherever_daemon_or_guest_is_killed(
    pair: list[Node], kill: str
) -> None:
    one, _ = pair
    for number in range(10):
        kinds = ("file", "lvm", "drbd")
        old, new = kinds[number % 3], kinds[(number + 1) % 3]
        create(one, "web1", f"--storage {old}", image=guests.writer())
        mcv(one, "start web1")
        wait_until(lambda: max(written(one)) > 20, 90, "the guest to write")
        newest = max(written(one))
        moving = one.start(f"timeout 200 mcv disk move web1 1 --storage {new} 2>&1; echo $?")
        wait_until(lambda: is_claimed(one), 60, "the move to begin")
        one.run(f"sleep {1.5 * number}; {kill}", check=False)
        bring_back(pair, "systemctl reset-failed mcvd; systemctl start mcvd")
        ended(moving)
        settle(pair)
        one.run("mcv stop web1", check=False)
        assert is_left_alone(pair, newest)
        mcv(one, "delete web1 --yes")
