"""Images by name: disks are filled from them and CD drives show them, on the VM's own node."""

import gzip
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from mcv.check import runner
from mcv.document.disks import Format
from mcv.drivers import qemu_img
from mcv.drivers.domain_xml import CD as CD_DRIVE
from mcv.errors import DoneInPart, Failed, McvError, NotFound, Refused
from mcv.status import vms
from mcv.storage import image_files, images
from mcv.vm import bootable, change, create, delete, live, migrate
from tests.fakes.cluster import FakeCluster
from tests.storage.test_images import MIB, add, raw, there

FORMATS: list[Format] = ["raw", "qcow2"]
CD = bytes(32 * 1024) + b"\1CD001" + bytes(64 * 1024)


@pytest.fixture
def filled(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bytes, str, str]]:
    """What disks were filled with: the image's beginning, the disk's path, the image's format."""
    seen: list[tuple[bytes, str, str]] = []

    def convert(fd: int, target: str, format: str, watch: Any, source_format: str) -> None:
        seen.append((os.pread(fd, 16, 0), target, source_format))

    monkeypatch.setattr(qemu_img, "convert_into", convert)
    return seen


def cd(cluster: FakeCluster, tmp_path: Path, node: str = "n1", **params: Any) -> None:
    path = tmp_path / "netinst.iso"
    path.write_bytes(CD)
    add(cluster, path, node, name="netinst", **params)


def make(cluster: FakeCluster, node: str = "n2", **params: Any) -> None:
    wanted = {"name": "web1", "memory": "64MiB", "storage": "drbd", **params}
    cluster.run(node, create.create, **wanted)


def test_a_cd_is_put_in_and_taken_out_while_the_vm_runs(
    cluster: FakeCluster, tmp_path: Path
) -> None:
    cd(cluster, tmp_path)
    make(cluster, "n2", disks=["64MiB"], start=True)
    drives = cluster.domains["n2"].disks
    assert drives.medium("web1", CD_DRIVE) == ""

    put_in = cluster.run("n2", change.update, name="web1", iso="netinst")

    assert (put_in.said, put_in.active) == ("CD netinst", False)
    # It came here first.
    assert cluster.read().images["netinst"].nodes["n2"] == "ready"
    assert drives.medium("web1", CD_DRIVE) == str(image_files.path(cluster.hosts["n2"], "netinst"))
    assert cluster.run("n2", vms.info, name="web1").cd == "netinst"
    with pytest.raises(Refused, match="netinst is the CD of web1"):
        cluster.run("n1", images.delete, name="netinst")

    taken_out = cluster.run("n2", change.update, name="web1", iso="", cpus=1)

    assert (taken_out.said, taken_out.active) == ("1 CPU, no CD", False)
    assert drives.medium("web1", CD_DRIVE) == ""
    assert cluster.read().vm("web1").cd == "" and cluster.read().vm("web1").claim is None
    cluster.run("n1", images.delete, name="netinst")


def test_a_guest_that_holds_its_drive_shut_has_the_cd_from_the_next_start_on(
    cluster: FakeCluster, tmp_path: Path
) -> None:
    cd(cluster, tmp_path)
    make(cluster, "n1", disks=["64MiB"], start=True)
    cluster.domains["n1"].broken.add("change the CD")

    with pytest.raises(DoneInPart, match="update web1 is done, but: web1 still has its old CD"):
        cluster.run("n1", change.update, name="web1", iso="netinst")

    assert cluster.read().vm("web1").cd == "netinst"
    file = str(image_files.path(cluster.hosts["n1"], "netinst"))
    assert file in cluster.domains["n1"].defined["web1"]


def test_a_machine_without_a_drive_has_its_cd_from_the_next_start_on(
    cluster: FakeCluster, tmp_path: Path
) -> None:
    cd(cluster, tmp_path)
    make(cluster, "n1", disks=["64MiB"], machine="pc", start=True)

    answer = cluster.run("n1", change.update, name="web1", iso="netinst")

    assert (answer.said, answer.active) == ("CD netinst", True)
    assert 'device="cdrom"' in cluster.domains["n1"].defined["web1"]


def test_what_is_no_cd_comes_into_no_drive(cluster: FakeCluster, tmp_path: Path) -> None:
    add(cluster, raw(tmp_path / "disk.raw"))
    make(cluster, "n1", disks=["64MiB"])

    for name, why in (("debian", "debian is a disk, and no CD"), ("nix", "There is no image nix")):
        with pytest.raises(Refused, match=why):
            cluster.run("n1", change.update, name="web1", iso=name)


def test_a_disk_is_filled_on_a_node_that_gets_the_image_first(
    cluster: FakeCluster, tmp_path: Path, filled: list[tuple[bytes, str, str]]
) -> None:
    path = raw(tmp_path / "disk.raw")
    add(cluster, path)

    make(cluster, image={"name": "debian"})

    assert cluster.read().images["debian"].nodes == {"n1": "ready", "n2": "ready"}
    disk = cluster.read().vm("web1").replica(1)
    assert filled == [(path.read_bytes()[:16], disk.device, "raw")]
    assert disk.size == 4 * MIB
    assert there(cluster, "n1") == there(cluster, "n2")


@pytest.mark.parametrize("format", FORMATS)
def test_a_disk_reads_as_the_image(tmp_path: Path, format: Format) -> None:
    path, source, target = raw(tmp_path / "disk.raw"), tmp_path / "image", tmp_path / "target"
    for words in (
        ["convert", "-O", format, str(path), str(source)],
        ["create", "-q", "-f", "raw", str(target), str(4 * MIB)],
    ):
        subprocess.run(["qemu-img", *words], check=True)
    fd = os.open(source, os.O_RDONLY)
    try:
        qemu_img.convert_into(fd, str(target), "raw", source_format=format)
    finally:
        os.close(fd)

    assert target.read_bytes() == path.read_bytes() + bytes(3 * MIB)


def test_a_vm_gets_a_cd_and_takes_it_along(cluster: FakeCluster, tmp_path: Path) -> None:
    cd(cluster, tmp_path)

    make(cluster, "n1", disks=["64MiB"], iso="netinst")

    path = str(image_files.path(cluster.hosts["n1"], "netinst"))
    assert path in cluster.domains["n1"].defined["web1"]
    assert images.list_(cluster.hosts["n2"])[0].used_by == ["web1"]
    with pytest.raises(Refused, match="the CD of web1"):
        cluster.run("n1", images.delete, name="netinst")

    cluster.run("n1", migrate.migrate, name="web1", to="n2")

    assert cluster.read().images["netinst"].nodes == {"n1": "ready", "n2": "ready"}
    with pytest.raises(Refused, match="the CD of web1 on n2"):
        cluster.run("n1", images.drop, name="netinst", node="n2")
    cluster.run("n2", delete.delete, name="web1")
    cluster.run("n2", images.delete, name="netinst")
    assert there(cluster, "n1") == there(cluster, "n2") == []


def test_an_update_of_something_else_leaves_the_cd_and_how_it_starts(
    cluster: FakeCluster, tmp_path: Path
) -> None:
    cd(cluster, tmp_path)
    make(cluster, disks=["64MiB"], iso="netinst", start=True)
    cluster.run("n2", change.update, name="web1", autostart="yes", start_order=10)
    before = cluster.read().vm("web1")
    inserted = cluster.domains["n2"].disks.medium("web1", CD_DRIVE)

    for named in ({"memory": "48MiB"}, {"cpus": 2}, {"tags": ["prod"]}, {"watchdog": "reset"}):
        cluster.run("n2", change.update, name="web1", **named)

    after = cluster.read().vm("web1")
    assert (after.cd, after.autostart, after.start_order) == ("netinst", "yes", 10)
    assert (after.nics, after.disks, after.boot) == (before.nics, before.disks, before.boot)
    assert (type(after.memory), type(after.cpus)) == (int, int)
    assert cluster.domains["n2"].disks.medium("web1", CD_DRIVE) == inserted != ""


def test_a_vm_moves_live_with_its_cd(cluster: FakeCluster, tmp_path: Path) -> None:
    cd(cluster, tmp_path)
    make(cluster, "n1", disks=["64MiB"], iso="netinst", start=True)

    cluster.run("n1", live.migrate, name="web1", to="n2")

    assert cluster.domains["n2"].active == {"web1": "running"}
    name = image_files.path(cluster.hosts["n2"], "netinst").name
    assert Path(cluster.domains["n2"].disks.medium("web1", CD_DRIVE) or "").name == name
    assert cluster.read().images["netinst"].nodes["n2"] == "ready"


def test_the_check_knows_the_cd_of_a_vm(cluster: FakeCluster, tmp_path: Path) -> None:
    cd(cluster, tmp_path)
    make(cluster, "n1", iso="netinst", storage=None)

    def differing() -> list[str]:
        found = runner.check(cluster.hosts["n2"]).findings
        return [each.message for each in found if "definition" in each.message]

    assert differing() == []

    defined = cluster.domains["n1"].defined
    path = str(image_files.path(cluster.hosts["n1"], "netinst"))
    defined["web1"] = defined["web1"].replace(path, "/srv/other.iso")

    assert differing() == ["The definition of web1 on n1 differs: cd."]


def test_a_vm_does_not_start_with_a_cd_that_was_changed(
    cluster: FakeCluster, tmp_path: Path
) -> None:
    cd(cluster, tmp_path)
    make(cluster, "n1", iso="netinst", storage=None)
    host = cluster.hosts["n1"]
    path = image_files.path(host, "netinst")
    path.chmod(0o600)
    path.write_bytes(CD + b"more")

    vm = cluster.read().vm("web1")
    with pytest.raises(Refused, match="was changed: it is not the image netinst"):
        bootable.require(host, vm, ignore_verify=False)
    path.unlink()
    with pytest.raises(Refused, match="n1 does not have the image netinst"):
        bootable.require(host, vm, ignore_verify=False)


def test_what_no_vm_can_use_is_refused(cluster: FakeCluster, tmp_path: Path) -> None:
    cd(cluster, tmp_path)
    add(cluster, raw(tmp_path / "disk.raw", 8 * MIB))

    with pytest.raises(NotFound, match="no image suse"):
        make(cluster, image={"name": "suse"})
    with pytest.raises(Refused, match="netinst is a CD"):
        make(cluster, image={"name": "netinst"})
    with pytest.raises(Refused, match="debian is a disk"):
        make(cluster, iso="debian")
    with pytest.raises(Refused, match="no image suse"):
        make(cluster, iso="suse")
    with pytest.raises(Refused, match="needs 8MiB"):
        make(cluster, image={"name": "debian"}, disks=["4MiB"])
    cluster.down.add("n1")
    with pytest.raises(McvError):
        make(cluster, image={"name": "debian"})
    assert cluster.read("n2").vms == {}


def test_an_image_that_was_changed_fills_no_disk(
    cluster: FakeCluster, tmp_path: Path, filled: list[tuple[bytes, str, str]]
) -> None:
    add(cluster, raw(tmp_path / "disk.raw"), "n2")
    path = image_files.path(cluster.hosts["n2"], "debian")
    path.chmod(0o600)
    path.write_bytes(gzip.compress(b"another"))

    with pytest.raises(Failed, match="has no whole copy of debian"):
        make(cluster, image={"name": "debian"})

    assert filled == [] and cluster.read().vms == {}
    row = images.list_(cluster.hosts["n1"])[0].nodes["n2"]
    assert row.state == "failed" and "no whole copy" in row.problem
