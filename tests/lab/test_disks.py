"""Disks that come, grow and go while their guest runs on real QEMU, LVM and DRBD."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab import Node, guests, reality, wait_until
from tests.lab.cluster import bring_back, create, mcv, told
from tests.lab.linux_guest import UP
from tests.lab.test_linux_guest import CONSOLE, said

MIB = 1 << 20
POOL = "/var/lib/mcv/pool"
# Bytes that no other place has: a line for each 16 of them.
PATTERN = "seq -f '%015.0f' 1 {lines} | dd of={device} conv=notrunc,fsync bs=1M status=none"


def add(node: Node, size: str, options: str) -> dict[str, Any]:
    return dict(json.loads(mcv(node, f"disk add web1 {size} {options} --json").stdout))


def listed(node: Node) -> dict[int, dict[str, Any]]:
    return {row["id"]: row for row in told(node, "disk list web1")}


def targets(node: Node) -> list[str]:
    lines = node.run("virsh -q domblklist web1 --details").stdout.splitlines()
    return [words[2] for line in lines if (words := line.split())[1] == "disk"]


def capacity(node: Node, target: str) -> int:
    """How large the guest sees a disk, in bytes."""
    lines = node.run(f"virsh domblkinfo web1 {target}").stdout.splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("Capacity")))


def device_size(node: Node, resource: str) -> int:
    return int(node.run(f"blockdev --getsize64 {reality.device(node, resource)}").stdout)


def fill(node: Node, device: str, mib: int) -> None:
    node.run(PATTERN.format(lines=mib * MIB // 16, device=device))


def volume_of(node: Node, disk: int) -> str:
    return str(listed(node)[disk]["volume"])


def is_gone(node: Node, disk: int) -> bool:
    return disk not in listed(node)


def are_in_step(node: Node, *disks: int) -> bool:
    return all(reality.is_in_step(node, f"mcv-web1-{disk}") for disk in disks)


@pytest.fixture
def web1(pair: list[Node]) -> Iterator[list[Node]]:
    """The cluster with the VM web1, which runs on node1 and heeds nothing."""
    create(pair[0], "web1", disk="16MiB")
    mcv(pair[0], "start web1")
    yield pair
    bring_back(pair)
    pair[0].run("mcv stop web1", check=False)
    mcv(pair[0], "delete web1 --yes")


def test_disks_of_three_kinds_come_grow_and_go_and_lose_no_byte(web1: list[Node]) -> None:
    node1, node2 = web1
    first = {node.name: reality.digest(node, "/dev/vg0/mcv-web1-1", 16) for node in web1}

    # Added: at once, open, of the size that was asked for.
    for number, options in ((2, "--storage drbd"), (3, "--storage file"), (4, "--storage lvm")):
        assert add(node1, "12MiB", options)["disk"] == number
    assert targets(node1) == ["vda", "vdb", "vdc", "vdd"]
    assert [capacity(node1, target) for target in ("vdb", "vdc", "vdd")] == [12 * MIB] * 3
    fill(node1, reality.device(node1, "mcv-web1-2"), 12)
    fill(node1, "/dev/vg0/mcv-web1-4", 12)
    second = {node.name: reality.digest(node, "/dev/vg0/mcv-web1-2", 12) for node in web1}
    fourth = reality.digest(node1, "/dev/vg0/mcv-web1-4", 12)
    assert len(set(second.values())) == 1
    row = told(node1, "list")[0]
    assert (row["storage"], row["nodes"], row["state"]) == ("mixed", ["node1"], "running")

    # Grown: on both sides, seen by the guest, what is new reads as zeros.
    for number in (1, 2, 3, 4):
        mcv(node1, f"disk grow web1 {number} 32MiB")
    assert [capacity(node1, target) for target in targets(node1)] == [32 * MIB] * 4
    for resource in ("mcv-web1-1", "mcv-web1-2"):
        assert device_size(node1, resource) == 32 * MIB
        size = f"drbdsetup status {resource} --verbose --statistics | grep -o ' size:[0-9]*'"
        assert node2.run(size).stdout.strip() == f"size:{32 * 1024}"
    wait_until(lambda: are_in_step(node1, 1, 2), 60, "both sides to be alike")
    for node in web1:
        assert reality.digest(node, "/dev/vg0/mcv-web1-1", 16) == first[node.name]
        assert reality.digest(node, "/dev/vg0/mcv-web1-2", 12) == second[node.name]
        assert is_zero(node, "/dev/vg0/mcv-web1-1", 20, 12)
    assert reality.digest(node1, "/dev/vg0/mcv-web1-4", 12) == fourth
    assert is_zero(node1, "/dev/vg0/mcv-web1-4", 12, 20)
    assert mcv(node1, "disk grow web1 4 16MiB", code=3).stderr

    # Held down: at once.
    mcv(node1, "disk set web1 3 iops=100 bandwidth=1MiB")
    tuned = node1.run("virsh blkdeviotune web1 vdc | tr -d ' '").stdout.split()
    assert {"total_iops_sec:100", f"total_bytes_sec:{MIB}"} <= set(tuned)

    # This guest lets go of nothing: the disk is leaving, and whole, until the guest stops.
    left = mcv(node1, "disk remove web1 2 --yes", code=4)
    assert "has not let go of disk 2 (vdb)" in left.stderr
    assert listed(node1)[2]["leaving"] and "vdb" in targets(node1)
    assert reality.drbd(node1, "mcv-web1-2") is not None
    mcv(node1, "stop web1")
    wait_until(lambda: is_gone(node1, 2), 30, "the disk to be gone")
    for node in web1:
        assert "mcv-web1-2" not in reality.volumes(node) | reality.resource_files(node)

    # Stopped: a file grows, a volume that is kept comes back with its bytes.
    mcv(node1, "disk grow web1 3 40MiB")
    seen = node1.run(f"qemu-img info --output=json {POOL}/{volume_of(node1, 3)}").stdout
    assert json.loads(seen)["virtual-size"] == 40 * MIB
    mcv(node1, "disk remove web1 4 --keep --yes")
    assert add(node1, "", "--storage lvm --volume mcv-web1-4")["disk"] == 5
    assert reality.digest(node1, "/dev/vg0/mcv-web1-4", 12) == fourth
    mcv(node1, "disk remove web1 3 --yes")
    mcv(node1, "disk remove web1 5 --yes")
    assert told(node1, "list")[0]["storage"] == "drbd"
    mcv(node1, "disk grow web1 1 48MiB")
    mcv(node1, "verify web1")
    assert [each["severity"] for each in told(node1, "cluster check")["findings"]].count(
        "error"
    ) == 0


def is_zero(node: Node, device: str, start: int, mib: int) -> bool:
    read = f"dd if={device} bs=1M skip={start} count={mib} iflag=direct status=none"
    return node.run(f"{read} | tr -d '\\0' | wc -c").stdout.strip() == "0"


@pytest.mark.soak
@pytest.mark.parametrize("bus", ["virtio", "scsi"])
def test_a_linux_lets_go_of_its_disks(pair: list[Node], bus: str) -> None:
    node1, node2 = pair
    create(node1, "web1", image=guests.linux(), disk="32MiB")
    mcv(node1, "update web1 --memory 128MiB")
    mcv(node1, "start web1")
    listening = node1.start(CONSOLE)
    wait_until(lambda: UP in said(node1), 150, "the guest to be up")
    for number, kind in ((2, "drbd"), (3, "file"), (4, "lvm")):
        assert add(node1, "12MiB", f"--storage {kind} --bus {bus}")["disk"] == number
        mcv(node1, f"disk grow web1 {number} 24MiB")
        mcv(node1, f"disk remove web1 {number} --yes")
        assert list(listed(node1)) == [1] and targets(node1) == ["vda"]
    for node in (node1, node2):
        assert reality.volumes(node) == {"mcv-web1-1"}
    mcv(node1, "stop web1")
    listening.communicate(timeout=30)
    mcv(node1, "delete web1 --yes")
