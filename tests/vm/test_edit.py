"""Overlays over fake doors: judged, tried, laid over, kept across moves, taken away."""

import pytest

from mcv.check import runner
from mcv.cluster import members
from mcv.document.subject import Subject
from mcv.errors import Busy, HypervisorFailed, Refused, RepairNeeded
from mcv.host import DryRun
from mcv.recovery import journal_recovery
from mcv.status import vms
from mcv.vm import create, edit, live, migrate, pending, power, register
from tests.fakes.cluster import FakeCluster

WATCHDOG = "<domain><devices><watchdog model='i6300esb' action='reset'/></devices></domain>"
OTHER = WATCHDOG.replace("reset", "none")
QEMU = (
    "<domain xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'><q:commandline>"
    "<q:arg value='-no-hpet'/></q:commandline></domain>"
)
NONSENSE = "<domain><devices><nonsense/></devices></domain>"


def lay(cluster: FakeCluster, text: str = WATCHDOG) -> edit.Edited:
    answer = cluster.run("n1", edit.edit, name="web1", overlay=text)
    assert isinstance(answer, edit.Edited)
    return answer


def test_an_overlay_is_tried_everywhere_and_laid_over(vm: FakeCluster) -> None:
    answer = lay(vm)

    assert vm.read("n2").vm("web1").overlay == WATCHDOG
    assert "watchdog" in vm.domains["n1"].defined["web1"]
    assert "+    <watchdog" in answer.diff and answer.tied == [] and not answer.active
    for node in ("n1", "n2"):
        (first, second) = vm.domains[node].trials.tried
        assert "watchdog" in first and "mcv_trial-" in first
        assert vm.read().vm("web1").uuid not in first + second
        assert [name for name in vm.domains[node].defined if name != "web1"] == []


def test_it_goes_along_and_a_start_has_it(vm: FakeCluster) -> None:
    lay(vm)

    vm.run("n1", migrate.migrate, name="web1", to="n2", start_after_migration=True)

    assert "watchdog" in vm.domains["n2"].xml("web1")
    assert vm.domains["n2"].active == {"web1": "running"}


def test_a_guest_that_runs_has_it_from_its_next_start_on(vm: FakeCluster) -> None:
    vm.run("n1", power.start, name="web1")

    answer = lay(vm)

    assert answer.active
    assert "watchdog" not in vm.domains["n1"].xml("web1")


@pytest.mark.parametrize(("begun", "then"), [("", WATCHDOG), (WATCHDOG, OTHER), (WATCHDOG, "")])
def test_a_guest_moves_live_with_the_overlay_that_it_began_with(
    vm: FakeCluster, begun: str, then: str
) -> None:
    if begun:
        lay(vm, begun)
    vm.run("n1", power.start, name="web1")
    lay(vm, then)
    waits = pending.pending(vm.hosts["n1"], "web1")

    vm.run("n1", live.migrate, name="web1", to="n2")

    assert vm.domains["n2"].active == {"web1": "running"} and vm.domains["n1"].active == {}
    assert ("watchdog" in vm.domains["n2"].xml("web1")) == bool(begun)
    assert ("watchdog" in vm.domains["n2"].defined["web1"]) == bool(then)
    assert pending.pending(vm.hosts["n2"], "web1") == waits != []
    vm.run("n2", live.migrate, name="web1", to="n1")
    vm.run("n1", power.stop, name="web1")
    vm.run("n1", power.start, name="web1")
    assert ("watchdog" in vm.domains["n1"].xml("web1")) == bool(then)
    assert pending.pending(vm.hosts["n1"], "web1") == []


def test_what_the_guest_began_with_ties_it_until_it_stops(vm: FakeCluster) -> None:
    lay(vm, QEMU)
    vm.run("n1", power.start, name="web1")
    vm.run("n1", edit.edit, name="web1", overlay="")

    with pytest.raises(Refused, match=r"began with another overlay.*qemu:commandline") as refused:
        vm.run("n1", live.migrate, name="web1", to="n2")
    assert "mcv shutdown web1 --wait" in refused.value.hint
    vm.run("n1", power.stop, name="web1")
    vm.run("n1", migrate.migrate, name="web1", to="n2")


def test_an_overlay_that_the_other_node_does_not_know_does_not_arrive(
    vm: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay(vm)
    vm.run("n1", power.start, name="web1")
    lay(vm, OTHER)
    there = vm.hosts["n2"].consensus
    monkeypatch.setattr(there, "generations", lambda: [there.document()])
    before = vm.picture()

    with pytest.raises(Refused, match="which n2 does not know"):
        vm.run("n1", live.migrate, name="web1", to="n2")

    assert vm.picture() == before


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("<domain><name>x</name><uuid>y</uuid></domain>", "2 things"),
        ("<domain", "no XML"),
        ("<!DOCTYPE x><domain/>", "DOCTYPE"),
        (f"<domain>{' ' * 1024**2}</domain>", "64 KiB"),
        (NONSENSE, "2 things"),
        ("", "no overlay"),
        ("<domain/>", "no overlay"),
    ],
)
def test_what_is_refused_has_changed_nothing(vm: FakeCluster, text: str, why: str) -> None:
    before = vm.picture()

    with pytest.raises(Refused, match=why):
        lay(vm, text)

    assert vm.picture() == before


def test_each_node_says_what_it_does_not_take(vm: FakeCluster) -> None:
    with pytest.raises(Refused) as refused:
        lay(vm, NONSENSE)

    said = [problem for problem, _ in refused.value.problems]
    assert said == [
        f"libvirt on {node} does not take it: Element nonsense is not known."
        for node in ("n1", "n2")
    ]


def test_a_bridge_that_a_node_lacks_is_told(vm: FakeCluster) -> None:
    vm.bridges["n2"].names = ("br-lan",)
    vm.bridges["n1"].names = ("br-lan", "br9")
    nic = (
        "<interface type='bridge'><mac address='52:54:00:00:00:99'/><source bridge='br9'/>"
        "</interface>"
    )

    with pytest.raises(Refused, match="n2 has no bridge br9"):
        lay(vm, f"<domain><devices>{nic}</devices></domain>")


def test_the_same_twice_is_refused(vm: FakeCluster) -> None:
    lay(vm)

    with pytest.raises(Refused, match="has this overlay already"):
        lay(vm)


def test_a_dry_run_shows_the_effect_and_changes_nothing(vm: FakeCluster) -> None:
    before = vm.picture()

    shown = vm.run("n1", edit.edit, name="web1", overlay=QEMU, dry_run=True)

    assert isinstance(shown, edit.EditPreview) and isinstance(shown, DryRun)
    assert "no-hpet" in shown.diff and "qemu:commandline" in shown.tied[0]
    assert vm.picture() == before


def test_the_xml_is_shown_as_it_would_be(vm: FakeCluster) -> None:
    before = vm.picture()

    shown = vm.run("n1", edit.show, name="web1", overlay=WATCHDOG)

    assert "watchdog" in shown.xml and shown.overlay == WATCHDOG
    assert vm.run("n1", edit.show, name="web1").overlay == ""
    assert vm.picture() == before


def test_an_overlay_of_one_host_ties_the_vm_and_is_tried_there_alone(vm: FakeCluster) -> None:
    answer = lay(vm, QEMU)

    assert vm.domains["n2"].trials.tried == [] and answer.tied
    with pytest.raises(Refused, match="is tied to n1: its overlay gives it"):
        vm.run("n1", migrate.migrate, name="web1", to="n2")
    with pytest.raises(Refused, match="is tied to n1"):
        vm.run("n1", migrate.migrate, name="web1")
    vm.run("n1", power.start, name="web1")
    with pytest.raises(Refused, match="is tied to n1"):
        vm.run("n1", live.migrate, name="web1", to="n2")
    row = vms.info(vm.hosts["n2"], "web1")
    assert row.nodes == ("n1",)
    assert any("mcv edit web1" in finding.hint for finding in row.findings)


def test_a_tied_vm_of_a_dead_node_is_taken_over_when_its_overlay_is_taken_away(
    vm: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(members, "answers_at_all", lambda *_: False)
    lay(vm, QEMU)
    vm.down.add("n1")
    vm.run("n2", members.offline, names=["n1"], confirm_dead=True)
    with pytest.raises(Refused, match="is tied to n1"):
        vm.run("n2", register.register, name="web1", accept_stale=True)

    vm.run("n2", edit.edit, name="web1", overlay="")
    vm.run("n2", register.register, name="web1", accept_stale=True)

    assert vm.read("n2").vm("web1").node == "n2"


def test_a_start_that_fails_names_the_overlay_and_the_way_without_it(vm: FakeCluster) -> None:
    lay(vm)
    vm.domains["n1"].broken.add("start")
    with pytest.raises(HypervisorFailed) as failed:
        vm.run("n1", power.start, name="web1")
    assert "mcv edit web1" in failed.value.hint and "--without-overlay" in failed.value.hint
    vm.domains["n1"].broken.clear()

    vm.run("n1", power.start, name="web1", without_overlay=True)

    assert "watchdog" not in vm.domains["n1"].xml("web1")
    assert vm.read().vm("web1").overlay == WATCHDOG


def test_no_older_definition_is_started_in_place_of_one_that_libvirt_refuses(
    vm: FakeCluster,
) -> None:
    lay(vm)
    vm.domains["n1"].broken.add("define")

    with pytest.raises(HypervisorFailed, match="Could not define"):
        vm.run("n1", power.start, name="web1")

    assert vm.domains["n1"].active == {}


def test_an_overlay_that_a_member_lied_into_the_document_reaches_no_libvirt(
    vm: FakeCluster,
) -> None:
    host = vm.hosts["n1"]
    with host.claim(Subject.vm("web1"), "a lie"):
        lie = "<domain><devices><disk type='file'/></devices></domain>"
        host.update_beside("vm.overlay", "a lie", name="web1", overlay=lie)

    with pytest.raises(Refused, match="devices/disk"):
        vm.run("n1", power.start, name="web1")

    assert "type='file'" not in vm.domains["n1"].defined["web1"]
    vm.run("n1", power.start, name="web1", without_overlay=True)


def test_a_vm_that_is_saved_keeps_its_overlay(vm: FakeCluster) -> None:
    vm.run("n1", power.start, name="web1")
    vm.domains["n1"].saved.save("web1")

    with pytest.raises(Refused, match="is saved on n1"):
        lay(vm)


def test_a_mac_of_an_overlay_is_taken(vm: FakeCluster) -> None:
    nic = "<interface type='user'><mac address='52:54:00:AA:00:01'/></interface>"
    lay(vm, f"<domain><devices>{nic}</devices></domain>")
    vm.run("n1", create.create, name="db1", memory="64MiB")

    with pytest.raises(Refused, match="52:54:00:aa:00:01 is web1's already"):
        vm.run(
            "n1",
            edit.edit,
            name="db1",
            overlay=f"<domain><devices>{nic.lower()}</devices></domain>",
        )


def test_an_edit_whose_definition_fails_is_carried_on(vm: FakeCluster) -> None:
    """The change commits the plan; what is left is in the journal."""
    vm.domains["n1"].broken.add("define")

    with pytest.raises(RepairNeeded):
        lay(vm)
    vm.domains["n1"].broken.clear()
    journal_recovery.resume_here(vm.hosts["n1"])

    assert vm.read().vm("web1").overlay == WATCHDOG and vm.read().vm("web1").claim is None
    assert "watchdog" in vm.domains["n1"].defined["web1"]


def test_a_check_tells_of_an_overlay_that_is_laid_over_no_domain(vm: FakeCluster) -> None:
    host = vm.hosts["n1"]
    with host.claim(Subject.vm("web1"), "a lie"):
        lie = "<domain><name>x</name></domain>"
        host.update_beside("vm.overlay", "a lie", name="web1", overlay=lie)

    found = [finding.message for finding in runner.check(host).findings]

    assert "The definition of web1 on n1 differs: overlay." in found


@pytest.mark.parametrize("text", ["<domain", "<!DOCTYPE x><domain/>"])
def test_no_document_holds_what_is_no_overlay(vm: FakeCluster, text: str) -> None:
    host = vm.hosts["n1"]

    with host.claim(Subject.vm("web1"), "a lie"), pytest.raises(Refused, match="overlay"):
        host.update_beside("vm.overlay", "a lie", name="web1", overlay=text)


def test_no_nic_gets_the_mac_of_an_overlay(vm: FakeCluster) -> None:
    """The document judges it, so that no way in is left out."""
    nic = "<interface type='user'><mac address='52:54:00:AA:00:01'/></interface>"
    lay(vm, f"<domain><devices>{nic}</devices></domain>")
    vm.run("n1", create.create, name="db1", memory="64MiB")
    host, taken = vm.hosts["n1"], {"network": "lan", "mac": "52:54:00:aa:00:01"}

    with host.claim(Subject.vm("db1"), "a NIC"), pytest.raises(Busy, match="web1's already"):
        host.update_beside("vm.nics", "a NIC", name="db1", nics=[taken])
