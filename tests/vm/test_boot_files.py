"""Direct boot: a kernel and an initrd are disks of their VM, and files where it begins."""

import os
from pathlib import Path
from typing import Any

import pytest

from mcv.check import runner
from mcv.drivers import domain_devices
from mcv.drivers.domain_devices import hardware
from mcv.errors import McvError, Refused
from mcv.rules.finding import Severity
from mcv.system.held_file import HeldFile
from mcv.vm import (
    boot_files,
    create,
    delete,
    disk_grow,
    disk_remove,
    image,
    live,
    migrate,
    power,
)
from tests.fakes.cluster import FakeCluster

WRITE = boot_files.write
KERNEL = bytes(0x1FE) + b"\x55\xaa\x00\x00HdrS" + bytes(5000)
INITRD = b"\x1f\x8b" + bytes(range(256)) * 40


@pytest.fixture(autouse=True)
def boots(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The directory of boot files, of all nodes."""
    monkeypatch.setattr(domain_devices, "BOOT_FILES", str(tmp_path / "boot"))
    monkeypatch.setattr(image, "fill", lambda *_: None)

    def write(source: str, size: int, target: Path) -> None:
        target.parent.mkdir(exist_ok=True)
        target.write_text(f"{source} {size}")

    monkeypatch.setattr(boot_files, "write", write)
    return tmp_path / "boot"


def held(cluster: FakeCluster, tmp_path: Path, content: bytes, node: str = "n1") -> dict[str, Any]:
    """What `vm.take_image` answers about a file."""
    path = tmp_path / "content"
    path.write_bytes(content)
    fd = os.open(path, os.O_RDONLY)
    path.unlink()
    token = image.hold(cluster.hosts[node], HeldFile(fd, len(content)))
    return {"node": node, "token": token, "size": len(content)}


def make(cluster: FakeCluster, tmp_path: Path, **options: Any) -> None:
    options = {
        "memory": "64MiB",
        "disks": ["64MiB"],
        "kernel": held(cluster, tmp_path, KERNEL),
        "initrd": held(cluster, tmp_path, INITRD),
        "append": "auto=true url=http://10.0.0.1/preseed.cfg",
        **options,
    }
    cluster.run("n1", create.create, name="web1", **options)


@pytest.mark.parametrize("storage", ["drbd", "file", "lvm"])
def test_kernel_and_initrd_are_disks_of_the_vms_own_kind(
    cluster: FakeCluster, tmp_path: Path, boots: Path, storage: str
) -> None:
    make(cluster, tmp_path, storage=storage, start=True)

    vm = cluster.read().vm("web1")
    _, kernel, initrd = vm.disks
    assert [(disk.role, disk.storage) for disk in (kernel, initrd)] == [
        ("kernel", storage),
        ("initrd", storage),
    ]
    assert (kernel.size, initrd.size) == (8192, 12288) and kernel.target == initrd.target == ""
    defined = hardware(cluster.domains["n1"].defined["web1"])
    assert (defined.kernel, defined.initrd, defined.append) == (
        f"{boots}/web1.kernel",
        f"{boots}/web1.initrd",
        "auto=true url=http://10.0.0.1/preseed.cfg",
    )
    assert (boots / "web1.kernel").read_text().endswith(" 8192")
    assert cluster.domains["n1"].defined["web1"].count('device="disk"') == 1
    assert cluster.hosts["n1"].images == {}
    findings = runner.check(cluster.hosts["n1"]).findings
    assert not [each for each in findings if each.severity is Severity.ERROR]
    assert not [each for each in findings if "differs" in each.message]


def test_they_move_with_their_vm_and_go_with_it(
    cluster: FakeCluster, tmp_path: Path, boots: Path
) -> None:
    make(cluster, tmp_path, start=True)
    (boots / "web1.kernel").unlink()

    cluster.run("n1", live.migrate, name="web1", to="n2")

    # The node that the VM came from took its own away, in the directory that all share here.
    assert cluster.domains["n2"].active == {"web1": "running"}
    cluster.run("n2", power.stop, name="web1")
    cluster.run("n2", migrate.migrate, name="web1", to="n1")
    cluster.run("n1", power.start, name="web1")
    assert (boots / "web1.kernel").exists() and (boots / "web1.initrd").exists()
    cluster.run("n1", power.stop, name="web1")
    cluster.run("n1", delete.delete, name="web1")
    assert list(boots.iterdir()) == [] and not cluster.lvm["n1"].made


def test_a_kernel_goes_while_its_vm_is_stopped(cluster: FakeCluster, tmp_path: Path) -> None:
    make(cluster, tmp_path, start=True)

    with pytest.raises(Refused, match="Disk 2 of web1 holds the kernel it runs with"):
        cluster.run("n1", disk_remove.remove, name="web1", disk=2)
    with pytest.raises(Refused, match="Disk 3 of web1 holds the initrd it boots: it stays"):
        cluster.run("n1", disk_grow.grow, name="web1", disk=3, size="1GiB")
    cluster.run("n1", power.stop, name="web1")
    for number in (2, 3):
        cluster.run("n1", disk_remove.remove, name="web1", disk=number)

    defined = hardware(cluster.domains["n1"].defined["web1"])
    assert (defined.kernel, defined.initrd, defined.append) == ("", "", "")


def test_all_that_is_wrong_with_them_is_told_at_once(cluster: FakeCluster, tmp_path: Path) -> None:
    with pytest.raises(Refused) as refused:
        make(
            cluster,
            tmp_path,
            kernel=held(cluster, tmp_path, b"#!/bin/sh\n"),
            initrd=held(cluster, tmp_path, b"hello"),
            append="a\nb",
            networks=["nix"],
        )

    assert [message for message, _ in refused.value.problems] == [
        "--append has printable ASCII, at most 2047 of it.",
        "The file of --kernel is no Linux kernel.",
        "The file of --initrd is no initrd.",
        "There is no network nix.",
    ]
    for options, why in (
        ({"kernel": None}, "--initrd and --append go with --kernel"),
        ({"kernel": held(cluster, tmp_path, b"")}, "The file of --kernel is empty"),
        ({"initrd": {"node": "n1", "token": "x", "size": 9}}, "--initrd is not there any more"),
        ({"initrd": {"node": "n1", "token": "x", "size": 1 << 40}}, "--initrd has 1TiB"),
        ({"initrd": {"node": "n1"}}, "--kernel and --initrd are not held"),
    ):
        with pytest.raises(Refused, match=why):
            make(cluster, tmp_path, **options)
    assert "web1" not in cluster.read().vms


def test_a_file_is_as_long_as_its_disk_and_whole(tmp_path: Path) -> None:
    source, target = tmp_path / "disk", tmp_path / "boot" / "web1.kernel"
    source.write_bytes(b"kernel" * 1000)
    with pytest.raises(McvError, match="disk ended 2000 bytes too early"):
        WRITE(str(source), 8000, target)

    for size in (4096, 6000):
        WRITE(str(source), size, target)

        assert target.read_bytes() == source.read_bytes()[:size]
        assert target.stat().st_mode & 0o777 == 0o600
        assert [path.name for path in target.parent.iterdir()] == ["web1.kernel"]
    assert target.parent.stat().st_mode & 0o777 == 0o711
