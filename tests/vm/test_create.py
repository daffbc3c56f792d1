"""A new VM and what it begins with, over fake doors."""

import dataclasses
import time
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from mcv.check import runner
from mcv.document.hardware import Cpu
from mcv.drivers import domain_xml, firmware
from mcv.errors import DoneInPart, Refused
from mcv.recovery import journal_recovery
from mcv.system import fanout
from mcv.vm import create, delete, disk_grow, disk_move, disks, image, placing
from mcv.vm.answers import Created, Rounded
from tests.fakes.cluster import FakeCluster

MIB = 1024**2


def make(cluster: FakeCluster, **options: Any) -> Created:
    options = {"name": "web1", "memory": "64MiB", "disks": ["64MiB"], **options}
    created = cluster.run("n1", create.create, **options)
    assert isinstance(created, Created)
    return created


def test_a_vm_that_is_to_start_runs_when_it_is_created(cluster: FakeCluster) -> None:
    created = make(cluster, start=True)

    assert created.started
    assert cluster.domains["n1"].active == {"web1": "running"}
    assert cluster.read().vm("web1").claim is None
    assert journal_recovery.left(cluster.hosts["n1"]) == []


def test_a_vm_that_cannot_start_is_created_all_the_same(cluster: FakeCluster) -> None:
    cluster.domains["n1"].broken.add("start")

    with pytest.raises(DoneInPart, match="create web1 is done, but: Could not start web1") as done:
        make(cluster, start=True)

    assert done.value.exit_code == 4
    assert done.value.hint == "Start it, when that is mended: mcv start web1"
    assert cluster.read("n2").vm("web1").claim is None
    assert set(cluster.domains["n1"].defined) == {"web1"} and not cluster.domains["n1"].active
    assert cluster.drbd["n1"].statuses()["mcv-web1-1"].role == "Secondary"


def test_a_start_that_is_not_asked_for_does_not_happen(cluster: FakeCluster) -> None:
    assert not make(cluster).started

    assert cluster.domains["n1"].active == {}


def test_the_answer_says_which_disks_are_larger_than_asked_for(cluster: FakeCluster) -> None:
    created = make(cluster, disks=["62MiB", "64MiB", "5MB"])

    assert created.rounded == (
        Rounded(disk=1, asked=62 * MIB, size=64 * MIB),
        Rounded(disk=3, asked=5 * 10**6, size=8 * MIB),
    )


def test_a_disk_that_is_not_named_is_as_large_as_its_image(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled: list[str] = []
    monkeypatch.setattr(image, "fill", lambda *words: filled.append(words[3]))

    created = make(
        cluster,
        disks=[],
        image={"node": "n1", "token": "t", "size": 5 * MIB},
        storage="file",
    )

    (disk,) = created.vm.disks
    assert disk.size == 8 * MIB and len(filled) == 1
    assert created.rounded == (Rounded(disk=1, asked=5 * MIB, size=8 * MIB),)


def test_an_image_that_is_too_small_for_a_disk_is_told_of_as_an_image(
    cluster: FakeCluster,
) -> None:
    image = {"node": "n1", "token": "t", "size": 13}

    with pytest.raises(Refused) as error:
        make(cluster, disks=[], image=image, storage="file")

    assert error.value.message == "The image has 13B, less than a disk has at least."
    assert "--disk 1MiB" in error.value.hint
    assert cluster.read().vms == {}


def test_the_plan_of_a_start_is_shown(cluster: FakeCluster) -> None:
    plan = cluster.run(
        "n1", create.create, name="web1", memory="64MiB", start=True, dry_run=True
    ).plan

    assert "vm.power_on" in plan[-1]
    assert cluster.read().vms == {}


def test_a_new_vm_is_a_q35_and_what_was_asked_for(cluster: FakeCluster) -> None:
    make(cluster)
    make(cluster, name="web2", machine="pc", boot=["net", "disk"], cpu_model="Nehalem")

    usual, other = (cluster.read("n2").vm(name) for name in ("web1", "web2"))
    assert (usual.machine, usual.boot, usual.cpu) == ("q35", (), None)
    assert (other.machine, other.boot, other.cpu) == ("pc", ("net", "disk"), Cpu(model="Nehalem"))
    assert 'machine="q35"' in cluster.domains["n1"].defined["web1"]


def test_before_every_member_reads_it_a_vm_is_what_it_was(cluster: FakeCluster) -> None:
    document = replace(cluster.read(), schema=2)
    for agreement in cluster.agreements.values():
        agreement.store.begin(document)

    make(cluster)
    with pytest.raises(Refused, match="cannot be written down yet"):
        make(cluster, name="web2", machine="q35")

    assert cluster.read().vm("web1").machine == ""
    assert 'machine="pc"' in cluster.domains["n1"].defined["web1"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"machine": "q35,accel=tcg"}, "--machine 'q35,accel=tcg' makes no sense"),
        ({"machine": "q35", "cpu_model": "a b"}, "--cpu-model 'a b' makes no sense"),
        ({"firmware": "coreboot"}, "--firmware coreboot makes no sense"),
        ({"boot": ["disk", "tape"]}, "--boot tape makes no sense"),
        ({"boot": ["disk", "disk"]}, "names a device twice"),
        ({"machine": "pc-q35-99.0"}, "QEMU on n1 knows no machine pc-q35-99.0"),
    ],
)
def test_a_machine_that_makes_no_sense_is_refused(
    cluster: FakeCluster, options: dict[str, Any], said: str
) -> None:
    before = cluster.picture()

    with pytest.raises(Refused) as refused:
        make(cluster, **options)

    assert any(
        said in message for message, _ in [(refused.value.message, ""), *refused.value.problems]
    )
    assert cluster.picture() == before


def test_a_definition_with_another_machine_is_found(cluster: FakeCluster) -> None:
    make(cluster)
    domains = cluster.domains["n1"]
    domains.defined["web1"] = domains.defined["web1"].replace('machine="q35"', 'machine="pc"')

    findings = runner.check(cluster.hosts["n1"]).findings

    assert ["differs: machine" in finding.message for finding in findings].count(True) == 1


@pytest.fixture
def ovmf(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> bytes:
    """The firmware is installed on every node; its variables."""
    for name, content in (("CODE", b"code"), ("VARIABLES", bytes(range(256)) * 2112)):
        (tmp_path / name).write_bytes(content)
        monkeypatch.setattr(firmware, name, tmp_path / name)
    return bytes(range(256)) * 2112


@pytest.mark.parametrize(
    ("storage", "size", "places"),
    [
        ("drbd", 540672, {"n1", "n2"}),
        ("file", 540672, {"n1"}),
        ("lvm", 4 * MIB, {"n1"}),
    ],
)
def test_the_variables_of_uefi_are_a_disk_of_the_vms_own_kind(
    cluster: FakeCluster,
    ovmf: bytes,
    monkeypatch: pytest.MonkeyPatch,
    storage: str,
    size: int,
    places: set[str],
) -> None:
    filled: dict[str, bytes] = {}

    def fill(host: Any, source: str, token: str, path: str, format: str) -> None:
        filled[path] = image.part(host, source, token, 0)[0]

    monkeypatch.setattr(image, "fill", fill)

    vm = make(cluster, firmware="uefi", storage=storage).vm

    data, efi = vm.disks
    assert (efi.role, efi.size, efi.format, efi.storage) == ("efi", size, "raw", storage)
    assert set(efi.places) == places and data.storage == vm.storage == storage
    assert efi.pool == data.pool
    (content,) = filled.values()
    assert len(content) == size and content == bytes(size - len(ovmf)) + ovmf
    assert next(iter(filled)) in cluster.domains["n1"].defined["web1"]
    assert cluster.hosts["n1"].images == {}


def test_variables_that_do_not_fill_a_volumes_extents_are_refused(
    cluster: FakeCluster, ovmf: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    lvm = cluster.hosts["n1"].volumes
    groups = {
        name: dataclasses.replace(group, extent_size=8 * MIB)
        for name, group in lvm.groups().items()
    }
    monkeypatch.setattr(lvm, "groups", lambda: groups)

    with pytest.raises(Refused, match="Pool lvm on n1 has extents of 8MiB: the variables"):
        make(cluster, firmware="uefi", storage="lvm")


def test_the_variables_move_to_another_kind_as_they_are(
    cluster: FakeCluster, ovmf: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image, "fill", lambda *_: None)
    make(cluster, firmware="uefi", storage="drbd")

    cluster.run("n1", disk_move.move, name="web1", disk=2, storage="file")

    _, efi = cluster.read().vm("web1").disks
    assert (efi.role, efi.size, efi.format, efi.storage) == ("efi", 540672, "raw", "file")
    # A logical volume of 4 MiB would have them at its beginning, where nobody looks.
    with pytest.raises(Refused, match="Pool lvm on n1 has extents of 4MiB: the variables"):
        cluster.run("n1", disk_move.move, name="web1", disk=2, storage="lvm")


def test_a_tpm_whose_keys_could_not_move_is_refused(cluster: FakeCluster) -> None:
    with pytest.raises(Refused) as refused:
        make(cluster, tpm=True, networks=["nix"])

    assert [message for message, _ in refused.value.problems] == [
        "There is no network nix.",
        "No VM can have a TPM: what the TPM holds would be lost when the VM moves to another node.",
    ]


def test_a_node_without_the_firmware_is_named(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(firmware, "CODE", tmp_path / "none")

    with pytest.raises(Refused) as refused:
        make(cluster, firmware="uefi")

    assert refused.value.problems == [
        ("n1 has no UEFI firmware.", "On n1: apt install ovmf"),
        ("n2 has no UEFI firmware.", "On n2: apt install ovmf"),
    ]


def test_the_variables_of_another_build_are_a_refusal(
    cluster: FakeCluster, ovmf: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    firmware.VARIABLES.write_bytes(ovmf[:131072])

    with pytest.raises(Refused, match="has 131072 bytes, not 540672"):
        make(cluster, firmware="uefi")


def test_the_variables_stay_as_long_as_their_vm(
    cluster: FakeCluster, ovmf: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image, "fill", lambda *_: None)
    make(cluster, firmware="uefi", storage="file")

    with pytest.raises(Refused, match="holds the variables of its UEFI"):
        cluster.run("n1", disk_grow.grow, name="web1", disk=2, size="1GiB")
    vm = cluster.read().vm("web1")
    assert disks.why_fixed(vm, vm.disk(1)) == []


def test_what_a_guest_said_goes_with_its_vm(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(domain_xml, "CONSOLE_LOGS", str(tmp_path))
    for name in ("web1.log", "web1.log.0", "web10.log"):
        (tmp_path / name).write_text("a secret")
    make(cluster)

    cluster.run("n1", delete.delete, name="web1")

    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["web10.log"]


def test_a_busy_node_has_more_time_than_a_dead_one(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placing, "SIGN", 0.3)
    monkeypatch.setattr(fanout, "ANSWER", 0.1)
    host = cluster.hosts["n1"]
    call = host.call

    def slow(node: str, operation: str, /, **params: Any) -> Any:
        if operation == "node.capacity":
            time.sleep(0.5)
        return call(node, operation, **params)

    host.call = slow
    make(cluster)

    assert cluster.read().vm("web1").node == "n1"
