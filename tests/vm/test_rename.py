"""A stopped VM gets another name: the document, its domain and its console's log; no volume."""

from pathlib import Path

import pytest

from mcv.drivers import domain_xml
from mcv.drivers.libvirt_identity import uuid_of
from mcv.errors import HypervisorFailed, Refused, RepairNeeded
from mcv.host import DryRun
from mcv.recovery import journal_recovery
from mcv.vm import create, delete, disk_add, power, rename, run_notes
from mcv.vm.answers import Renamed
from tests.fakes.cluster import FakeCluster


@pytest.fixture(autouse=True)
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the consoles' logs are."""
    monkeypatch.setattr(domain_xml, "CONSOLE_LOGS", str(tmp_path / "console"))
    (tmp_path / "console").mkdir()
    return tmp_path / "console"


def to(cluster: FakeCluster, new: str, name: str = "web1") -> Renamed | DryRun:
    answer: Renamed | DryRun = cluster.run("n1", rename.rename, name=name, new=new)
    return answer


def test_the_name_is_another_and_uuid_and_volumes_stay(vm: FakeCluster, logs: Path) -> None:
    before = vm.read().vm("web1")
    (logs / "web1.log").write_text("said")
    (logs / "web1.log.0").write_text("said before")
    (logs / "web10.log").write_text("another's")

    assert to(vm, "www") == Renamed(name="www", former="web1", node="n1")

    after = vm.read("n2").vm("www")
    assert (after.uuid, after.disks, after.claim) == (before.uuid, before.disks, None)
    assert list(vm.read("n2").vms) == ["www"]
    assert list(vm.domains["n1"].defined) == ["www"]
    assert uuid_of(vm.domains["n1"].defined["www"]) == before.uuid
    assert {path.name: path.read_text() for path in logs.iterdir()} == {
        "www.log": "said",
        "www.log.0": "said before",
        "web10.log": "another's",
    }
    assert list(vm.hosts["n1"].journal.entries()) == []


def test_a_renamed_vm_starts_grows_a_disk_and_goes(vm: FakeCluster) -> None:
    to(vm, "www")

    vm.run("n1", power.start, name="www")
    assert vm.domains["n1"].active == {"www": "running"}
    vm.run("n1", disk_add.add, name="www", size="32MiB")
    assert [disk.volume for disk in vm.read().vm("www").replicated] == ["mcv-web1-1", "mcv-www-2"]
    vm.run("n1", power.stop, name="www")
    vm.run("n1", delete.delete, name="www")

    assert vm.domains["n1"].defined == {} and vm.lvm["n1"].made == vm.lvm["n2"].made == {}


def test_another_vm_gets_the_former_name_and_volumes_of_its_own(vm: FakeCluster) -> None:
    to(vm, "www")

    vm.run("n1", create.create, name="web1", memory="64MiB", disks=["64MiB"])

    [disk] = vm.read().vm("web1").replicated
    part = vm.read().vm("web1").uuid[:8]
    assert (disk.volume, disk.resource) == (f"mcv-web1-{part}-1",) * 2
    assert {*vm.lvm["n2"].made} == {"mcv-web1-1", disk.volume}
    to(vm, "old")
    to(vm, "web1", "www")
    assert [disk.volume for disk in vm.read().vm("web1").replicated] == ["mcv-web1-1"]


def test_the_plan_is_shown_and_nothing_done(vm: FakeCluster) -> None:
    before = vm.picture()

    shown = vm.run("n1", rename.rename, name="web1", new="www", dry_run=True)

    assert shown.plan == [
        "document: vm.rename name=web1 new=www",
        "n1: vm.take_name name=www former=web1",
    ]
    assert vm.picture() == before


def test_a_domain_that_cannot_be_defined_now_is_defined_later(vm: FakeCluster) -> None:
    vm.domains["n1"].broken.add("define")
    with pytest.raises(RepairNeeded, match="stopped half-way"):
        to(vm, "www")
    host = vm.hosts["n1"]
    claim = vm.read().vm("www").claim
    assert claim is not None and [e.claims[0].subject for e in host.journal.entries()] == ["vm:www"]
    with pytest.raises(Refused, match="www is busy"):
        vm.run("n1", power.start, name="www")

    vm.domains["n1"].broken.clear()
    journal_recovery.resume_all(host, patience=False)

    assert vm.read("n2").vm("www").claim is None and host.journal.entries() == []
    assert list(vm.domains["n1"].defined) == ["www"]


def test_a_note_under_the_former_name_starts_nothing(vm: FakeCluster) -> None:
    run_notes.write(vm.hosts["n1"], "web1")

    to(vm, "www")

    assert run_notes.noted(vm.hosts["n1"]) == []


def test_everything_in_the_way_is_told_at_once(vm: FakeCluster) -> None:
    vm.run("n1", power.start, name="web1")
    before = vm.picture()

    with pytest.raises(Refused) as refused:
        to(vm, "No Name")

    said = [message for message, _ in refused.value.problems]
    assert said == ["'No Name' is no name for a VM.", "web1 is running."]
    assert vm.picture() == before


def test_a_name_that_is_taken_is_refused(vm: FakeCluster) -> None:
    vm.run("n1", create.create, name="db1", memory="64MiB")
    for name in ("db1", "web1"):
        with pytest.raises(Refused, match=f"There is a VM {name} already"):
            to(vm, name)

    vm.domains["n2"].defined["guest"] = "<domain><name>guest</name><uuid>x</uuid></domain>"
    with pytest.raises(Refused, match="guest") as refused:
        to(vm, "guest")
    assert "Choose another name" in refused.value.hint


def test_saved_memory_is_not_lost_in_silence(vm: FakeCluster) -> None:
    vm.run("n1", power.start, name="web1")
    vm.domains["n1"].saved.save("web1")

    with pytest.raises(Refused, match="web1 is saved on n1") as refused:
        to(vm, "www")

    assert "mcv start web1 --discard-saved" in refused.value.hint


def test_what_somebody_starts_under_its_former_name_meanwhile_runs_on(vm: FakeCluster) -> None:
    """libvirt's hook lets the owner's domain begin where no claim is in the way."""
    domains = vm.domains["n1"]
    define = domains.define

    def begin(xml: str) -> None:
        domains.power_on("web1")
        define(xml)

    domains.define = begin  # type: ignore[method-assign]
    with pytest.raises(RepairNeeded, match="it is running as web1"):
        to(vm, "www")

    domains.define = define  # type: ignore[method-assign]
    domains.stop("www")
    journal_recovery.resume_all(vm.hosts["n1"], patience=False)
    assert list(domains.defined) == ["www"] and vm.read().vm("www").claim is None


def test_the_fake_tells_a_definition_that_is_in_the_way(vm: FakeCluster) -> None:
    domains = vm.domains["n1"]
    with pytest.raises(HypervisorFailed, match="already exists"):
        domains.define(domains.defined["web1"].replace("<name>web1<", "<name>other<"))
