"""What each kind of disk can, over the real libvirt, QEMU and files of a cheap lab.

The kinds of this file need no device mapper: file and shared. The others are for the nodes.
"""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mcv.document.disks import Disk
from mcv.errors import CommandFailed, Refused
from mcv.storage import paths, pools
from mcv.vm import change, create, delete, disk_grow, disk_move, live, migrate, pending, power
from tests.lab import cheap, guests, wait_until
from tests.lab.cheap import CheapCluster

MIB = 1024**2
SIZE = 32 * MIB
KINDS = {"file": "here", "shared": "everywhere"}


@pytest.fixture(scope="module")
def lab() -> Iterator[CheapCluster]:
    """Two nodes with a pool of each type that needs a directory alone, and a second of type dir."""
    # QEMU reads past the page cache, which no file system in memory takes.
    directory = Path(tempfile.mkdtemp(prefix="mcv-cheap-", dir="/var/tmp"))
    directory.chmod(0o711)
    try:
        with cheap.up(directory) as cluster:
            for name, type, places in (
                ("here", "dir", {"n1": "n1-pool", "n2": "n2-pool"}),
                ("there", "dir", {"n1": "n1-other", "n2": "n2-other"}),
                ("everywhere", "shared", {"n1": "shared", "n2": "shared"}),
            ):
                for place in places.values():
                    (directory / place).mkdir(mode=0o711, exist_ok=True)
                on = [f"{node}={directory}/{place}" for node, place in places.items()]
                cluster.run("n1", pools.create, name=name, type=type, on=on)
            yield cluster
    finally:
        shutil.rmtree(directory)


@pytest.fixture
def web1(lab: CheapCluster) -> Iterator[CheapCluster]:
    """The lab, without the VM after the test."""
    yield lab
    if "web1" not in lab.read().vms:
        return
    owner = lab.read().vm("web1").node
    lab.hosts[owner].domains.stop("web1")
    lab.run(owner, delete.delete, name="web1")
    left = [str(path) for path in lab.directory.parent.rglob("mcv-web1-*")]
    assert left == []


def made(lab: CheapCluster, kind: str) -> Disk:
    options: dict[str, Any] = {"disks": ["32MiB"], "pool": KINDS[kind], "storage": kind}
    lab.run("n1", create.create, name="web1", memory="16MiB", **options)
    return disk_of(lab)


def disk_of(lab: CheapCluster) -> Disk:
    (disk,) = lab.read().vm("web1").disks
    return disk


def path_of(lab: CheapCluster, node: str) -> Path:
    return Path(paths.path(lab.read(), disk_of(lab), node))


def used(lab: CheapCluster, node: str) -> int:
    return path_of(lab, node).stat().st_blocks * 512


def write(lab: CheapCluster, data: bytes, offset: int, node: str = "n1") -> None:
    """Write as a guest would, by a server of mcv's own."""
    blocks, socket = lab.hosts[node].blocks, lab.directory / "cells.sock"
    server = blocks.serve(str(path_of(lab, node)), "qcow2", socket, writable=True)
    try:
        with blocks.connect(server.socket) as nbd:
            nbd.write(offset, data)
            nbd.flush()
    finally:
        server.end()


def read(lab: CheapCluster, node: str) -> bytes:
    blocks, socket = lab.hosts[node].blocks, lab.directory / "cells.sock"
    server = blocks.serve(str(path_of(lab, node)), "qcow2", socket, writable=False)
    try:
        with blocks.connect(server.socket) as nbd:
            offsets = range(0, nbd.size, 16 * MIB)
            return b"".join(nbd.read(at, min(16 * MIB, nbd.size - at)) for at in offsets)
    finally:
        server.end()


def boots(lab: CheapCluster, node: str, image: bytes) -> None:
    write(lab, image, 0, node)
    lab.run(node, power.start, name="web1")
    assert lab.hosts[node].domains.state("web1") == "running"


def filled() -> bytes:
    """A boot sector that halts, data in the middle and at the end, and nothing between."""
    data = bytearray(SIZE)
    data[:512] = guests.idle()[:512]
    data[9 * MIB : 9 * MIB + 5] = b"hello"
    data[-5:] = b"world"
    return bytes(data)


def fill(lab: CheapCluster, node: str = "n1") -> None:
    data = filled()
    for offset, length in ((0, 512), (9 * MIB, 512), (SIZE - 512, 512)):
        write(lab, data[offset : offset + length], offset, node)


@pytest.mark.parametrize("kind", KINDS)
def test_a_disk_has_its_exact_size_reads_as_zeros_grows_and_does_not_shrink(
    web1: CheapCluster, kind: str
) -> None:
    disk = made(web1, kind)

    assert disk.size == SIZE and read(web1, "n1") == bytes(SIZE)
    assert used(web1, "n1") < MIB
    fill(web1)
    web1.run("n1", disk_grow.grow, name="web1", disk=disk.id, size="48MiB")
    assert disk_of(web1).size == 48 * MIB
    assert read(web1, "n1") == filled() + bytes(16 * MIB)
    with pytest.raises(Refused, match="shrink"):
        web1.run("n1", disk_grow.grow, name="web1", disk=disk.id, size="32MiB")
    directory, volume = path_of(web1, "n1").parent, disk.volume
    with pytest.raises(CommandFailed, match="does not shrink"):
        web1.hosts["n1"].directories.grow(str(directory), volume, SIZE)
    assert read(web1, "n1") == filled() + bytes(16 * MIB)


@pytest.mark.parametrize(
    ("kind", "pool", "becomes"),
    [("file", "there", "file"), ("file", "everywhere", "shared"), ("shared", "here", "file")],
)
def test_a_stopped_disk_is_copied_to_another_pool(
    web1: CheapCluster, kind: str, pool: str, becomes: str
) -> None:
    made(web1, kind)
    fill(web1)
    before = path_of(web1, "n1")

    web1.run("n1", disk_move.move, name="web1", disk=1, pool=pool)

    assert (disk_of(web1).storage, disk_of(web1).pool) == (becomes, pool)
    assert read(web1, "n1") == filled() and used(web1, "n1") < 2 * MIB
    assert not before.exists()


@pytest.mark.parametrize(
    ("kind", "pool", "becomes"),
    [("file", "there", "file"), ("file", "everywhere", "shared"), ("shared", "here", "file")],
)
def test_a_disk_that_is_written_to_is_mirrored_to_another_pool(
    web1: CheapCluster, kind: str, pool: str, becomes: str
) -> None:
    made(web1, kind)
    write(web1, b"the end", SIZE - 512)
    boots(web1, "n1", guests.writer(1))
    before = path_of(web1, "n1")
    wait_until(lambda: used(web1, "n1") > 512 * 1024, 30, "the guest to write")

    web1.run("n1", disk_move.move, name="web1", disk=1, pool=pool)

    domains = web1.hosts["n1"].domains
    assert (disk_of(web1).storage, disk_of(web1).pool) == (becomes, pool)
    assert domains.state("web1") == "running" and not before.exists()
    written = path_of(web1, "n1").stat().st_mtime_ns
    wait_until(lambda: path_of(web1, "n1").stat().st_mtime_ns > written, 30, "more to be written")
    domains.stop("web1")
    holds_what_was_written(web1, "n1")


@pytest.mark.parametrize("kind", KINDS)
def test_a_stopped_vm_moves(web1: CheapCluster, kind: str) -> None:
    made(web1, kind)
    fill(web1)

    web1.run("n1", migrate.migrate, name="web1", to="n2")

    assert web1.read().vm("web1").node == "n2"
    assert read(web1, "n2") == filled() and used(web1, "n2") < 2 * MIB
    web1.run("n2", power.start, name="web1")
    assert web1.hosts["n2"].domains.state("web1") == "running"


@pytest.mark.parametrize("kind", KINDS)
def test_a_running_vm_moves_and_its_guest_goes_on_writing(web1: CheapCluster, kind: str) -> None:
    made(web1, kind)
    write(web1, b"the end", SIZE - 512)
    boots(web1, "n1", guests.writer(1))
    before = path_of(web1, "n1")
    wait_until(lambda: used(web1, "n1") > 512 * 1024, 30, "the guest to write")

    web1.run("n1", live.migrate, name="web1", to="n2")

    one, two = (web1.hosts[node].domains for node in ("n1", "n2"))
    assert (one.state("web1"), two.state("web1")) == ("absent", "running")
    assert before.exists() == (kind == "shared")
    written = path_of(web1, "n2").stat().st_mtime_ns
    wait_until(lambda: path_of(web1, "n2").stat().st_mtime_ns > written, 30, "more to be written")
    two.stop("web1")
    holds_what_was_written(web1, "n2")


def holds_what_was_written(web1: CheapCluster, node: str) -> None:
    """The sector of each of the guest's last numbers holds it, and the disk has its end."""
    data, last = read(web1, node), SIZE - 512
    assert data[last : last + 7] == b"the end" and used(web1, node) < 4 * MIB
    numbers = [int.from_bytes(data[at : at + 4], "little") for at in range(512, 513 * 1024, 512)]
    latest = max(numbers)
    wrong = [n for n in range(max(1, latest - 1000), latest) if numbers[n % 1024] != n]
    assert wrong == [] and latest > 50


def test_nothing_is_pending_when_a_vm_has_started_with_all_that_was_changed(
    web1: CheapCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guest has no driver of the balloon. This lab has no cgroups: no limit of the CPU."""
    monkeypatch.setattr(pending, "SETTLING", 0.0)
    made(web1, "shared")
    boots(web1, "n1", guests.idle())
    host = web1.hosts["n1"]
    assert pending.pending(host, "web1") == []

    answer = web1.run(
        "n1",
        change.update,
        name="web1",
        memory="48MiB",
        cpus=3,
        cpu_model="Nehalem",
        boot=["cd", "disk"],
        io_limit="iops=500,bandwidth=1MiB",
        watchdog="pause",
        video="virtio",
        keyboard="de",
        clock="Europe/Berlin",
    )

    assert [text.partition(" ")[0] for text in answer.pending] == [
        *("memory", "processor", "clock", "video", "keyboard", "watchdog", "boot")
    ]
    assert host.domains.disks.limits("web1", "vda") == (500, MIB)
    web1.run("n1", live.migrate, name="web1", to="n2")
    assert pending.pending(web1.hosts["n2"], "web1") == answer.pending
    web1.run("n2", power.stop, name="web1")
    web1.run("n2", power.start, name="web1")
    assert pending.pending(web1.hosts["n2"], "web1") == []
    answer = web1.run("n2", change.update, name="web1", memory="32MiB", clock="localtime")
    assert answer.pending == [
        "memory 32MiB (its guest has 48MiB)",
        "clock localtime (it runs with Europe/Berlin)",
    ]
    web1.run("n2", power.stop, name="web1")
    web1.run("n2", power.start, name="web1")
    assert pending.pending(web1.hosts["n2"], "web1") == []
