"""Saved states: seen, restored where they fit, given up on an operator's word alone, else kept."""

from collections.abc import Callable
from typing import Any

import pytest

from mcv.check import runner
from mcv.drbd import resolve, resync
from mcv.drivers.domain_reading import mark_of
from mcv.errors import HypervisorFailed, Refused
from mcv.status import vms
from mcv.vm import (
    change,
    delete,
    disk_closing,
    live,
    migrate,
    power,
    register,
    saved_states,
    stray_copies,
)
from tests.fakes.cluster import FakeCluster


def runs(vm: FakeCluster, node: str = "n1") -> None:
    vm.run(node, power.start, name="web1")


def save(vm: FakeCluster, node: str = "n1") -> None:
    vm.domains[node].saved.save("web1")
    for each in vm.hosts:
        disk_closing.reconcile(vm.hosts[each])


@pytest.fixture
def saved(vm: FakeCluster) -> FakeCluster:
    """web1 is saved on n1, its owner."""
    runs(vm)
    save(vm)
    return vm


@pytest.fixture
def old(saved: FakeCluster) -> FakeCluster:
    """web1 was saved on n1, ran on n2 since, and is home again: its memory is still there."""
    memories = dict(saved.domains["n1"].saved.memories)
    saved.run("n1", migrate.migrate, name="web1", to="n2", discard_saved=True)
    saved.run("n2", migrate.migrate, name="web1", to="n1")
    saved.domains["n1"].saved.memories.update(memories)
    return saved


def memory(cluster: FakeCluster, node: str = "n1") -> bool:
    return "web1" in cluster.domains[node].saved.memories


def state(cluster: FakeCluster) -> str:
    return vms.list_(cluster.hosts["n1"])[0].state


def messages(cluster: FakeCluster) -> list[str]:
    return [finding.message for finding in vms.list_(cluster.hosts["n1"])[0].findings]


def test_a_saved_vm_is_shown_as_saved_and_needs_nobody(saved: FakeCluster) -> None:
    row = vms.list_(saved.hosts["n1"])[0]

    assert row.state == vms.info(saved.hosts["n2"], "web1").state == "saved"
    assert row.attention is None
    assert "web1 is saved on n1, and goes on there with its memory." in messages(saved)


def test_a_start_restores_the_memory_that_fits(saved: FakeCluster) -> None:
    started = saved.run("n1", power.start, name="web1")

    assert (started.state, started.restored) == ("running", True)
    assert not memory(saved)


def test_memory_is_given_up_at_a_start_by_a_word_and_shown_before(saved: FakeCluster) -> None:
    plan = saved.run("n1", power.start, name="web1", discard_saved=True, dry_run=True)
    assert plan.plan == ["n1: give up the saved state of web1", "n1: start web1"]
    assert memory(saved) and state(saved) == "saved"

    started = saved.run("n1", power.start, name="web1", discard_saved=True)

    assert (started.state, started.restored) == ("running", False)
    assert not memory(saved)


def offline(cluster: FakeCluster, **flags: bool) -> Any:
    return cluster.run("n1", migrate.migrate, name="web1", to="n2", **flags)


def resized(cluster: FakeCluster, **flags: bool) -> Any:
    return cluster.run("n1", change.update, name="web1", cpus=2, **flags)


def resynced(cluster: FakeCluster, **flags: bool) -> Any:
    return cluster.run("n1", resync.resync, name="web1", source="n2", **flags)


def deleted(cluster: FakeCluster, **flags: bool) -> Any:
    return cluster.run("n1", delete.delete, name="web1", **flags)


@pytest.mark.parametrize("verb", [offline, resized, resynced, deleted])
def test_what_changes_disk_place_or_definition_is_refused_and_done_by_a_word(
    saved: FakeCluster, verb: Callable[..., Any]
) -> None:
    before = saved.picture()

    with pytest.raises(Refused, match="web1 is saved on n1") as refused:
        verb(saved)

    assert "mcv start web1" in refused.value.hint and "--discard-saved" in refused.value.hint
    assert saved.picture() == before and memory(saved)

    verb(saved, discard_saved=True)

    assert not memory(saved)


def test_taking_the_definition_away_is_refused(saved: FakeCluster) -> None:
    with pytest.raises(Refused, match="is saved on n1"):
        saved.run("n1", register.unregister, name="web1")

    assert memory(saved) and "web1" in saved.domains["n1"].defined


def test_how_a_vm_starts_with_its_node_has_nothing_to_do_with_its_memory(
    saved: FakeCluster,
) -> None:
    saved.run("n1", change.update, name="web1", autostart="yes")

    assert memory(saved)


def test_a_split_brain_is_not_resolved_under_saved_memory(
    saved: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    web1 = saved.read().vm("web1")
    monkeypatch.setattr(resolve, "require_resolvable", lambda host, name, keep: (web1, []))

    with pytest.raises(Refused, match="is saved on n1"):
        saved.run("n1", resolve.resolve, name="web1", keep="n2", dry_run=True)

    plan = saved.run(
        "n1", resolve.resolve, name="web1", keep="n2", discard_saved=True, dry_run=True
    )
    steps = [line.split()[1] for line in plan.plan]
    assert steps.index("vm.renew") < steps.index("drbd.discard_and_reconnect")
    assert steps.index("vm.discard_saved") > steps.index("drbd.discard_and_reconnect")


# Old ones


def test_memory_that_is_old_is_never_restored(old: FakeCluster) -> None:
    assert state(old) == "saved"
    assert any("is old" in message for message in messages(old))

    with pytest.raises(Refused, match="The saved state of web1 on n1 is old") as refused:
        old.run("n1", power.start, name="web1")
    assert refused.value.hint == "Give it up with: --discard-saved"
    assert memory(old) and old.domains["n1"].state("web1") == "saved"

    started = old.run("n1", power.start, name="web1", discard_saved=True)
    assert not started.restored and not memory(old)


def test_whoever_asks_libvirt_old_memory_is_not_restored(old: FakeCluster) -> None:
    with pytest.raises(HypervisorFailed, match="Hook"):
        old.domains["n1"].start("web1")

    assert memory(old) and old.domains["n1"].active == {}


def test_the_check_reports_old_memory_and_mends_nothing_of_it(old: FakeCluster) -> None:
    found = runner.check(old.hosts["n1"]).findings

    (said,) = [finding for finding in found if "saved state" in finding.message]
    assert (said.severity, said.node, said.fix) == ("error", "n1", None)
    assert said.hint == "mcv start web1 --discard-saved"


def test_memory_that_cannot_be_read_counts_as_old(saved: FakeCluster) -> None:
    saved.domains["n1"].saved.unreadable.add("web1")

    with pytest.raises(Refused, match="cannot be read"):
        saved.run("n1", power.start, name="web1")

    assert memory(saved)


def test_a_resync_makes_memory_old_that_was_saved_before(vm: FakeCluster) -> None:
    runs(vm)
    image = vm.domains["n1"].xml("web1")

    vm.run("n1", resync.resync, name="web1")

    assert vm.read().vm("web1").incarnation == 1
    mark = mark_of(vm.domains["n1"].xml("web1"))
    assert mark is not None and mark.incarnation == 1  # it runs on, and is marked anew
    vm.run("n1", power.stop, name="web1")
    vm.domains["n1"].saved.memories["web1"] = image
    with pytest.raises(Refused, match="is old"):
        vm.run("n1", power.start, name="web1")


def test_what_moved_while_it_ran_can_be_saved_and_restored_where_it_is(vm: FakeCluster) -> None:
    runs(vm)
    vm.run("n1", live.migrate, name="web1", to="n2")

    save(vm, "n2")

    assert vm.run("n2", power.start, name="web1").restored


# On a node that lost the VM


@pytest.fixture
def lost(saved: FakeCluster) -> FakeCluster:
    """web1 was saved on n1, which n2 took it over from; n1 is back."""
    memories = dict(saved.domains["n1"].saved.memories)
    saved.run("n1", migrate.migrate, name="web1", to="n2", discard_saved=True)
    saved.domains["n1"].define(memories["web1"])
    saved.domains["n1"].saved.memories.update(memories)
    return saved


def test_a_saved_copy_outlives_stepping_aside_and_is_told_of(lost: FakeCluster) -> None:
    stray_copies.step_aside(lost.hosts["n1"])

    assert memory(lost) and "web1" in lost.domains["n1"].defined
    found = vms.list_(lost.hosts["n2"])[0].findings
    (said,) = [finding for finding in found if "saved" in finding.message]
    assert said.hint == "mcv stop web1 --on n1"


def test_a_saved_copy_goes_by_the_command_that_is_named(lost: FakeCluster) -> None:
    lost.run("n1", power.stop, name="web1", node="n1")

    assert not memory(lost) and "web1" not in lost.domains["n1"].defined


@pytest.mark.parametrize("verb", [migrate.migrate, live.migrate])
def test_a_vm_comes_to_its_old_memory_by_a_word_alone(
    lost: FakeCluster, verb: Callable[..., Any]
) -> None:
    if verb is live.migrate:
        runs(lost, "n2")

    with pytest.raises(Refused, match="The saved state of web1 on n1 is old"):
        lost.run("n2", verb, name="web1", to="n1")
    assert memory(lost)

    lost.run("n2", verb, name="web1", to="n1", discard_saved=True)

    assert not memory(lost) and lost.read().vm("web1").node == "n1"


def test_a_deletion_finds_old_memory_on_the_other_node(lost: FakeCluster) -> None:
    with pytest.raises(Refused, match="on n1 is old"):
        lost.run("n2", delete.delete, name="web1")

    lost.run("n2", delete.delete, name="web1", discard_saved=True)

    assert not memory(lost) and lost.domains["n1"].defined == {}


def test_what_is_saved_behind_a_plan_s_back_stops_it_before_it_is_lost(vm: FakeCluster) -> None:
    def spy(caller: str, node: str, operation: str) -> None:
        if operation == "vm.undefine":
            vm.domains["n1"].saved.memories["web1"] = vm.domains["n1"].defined["web1"]

    vm.spy = spy

    with pytest.raises(Exception, match="is saved on n1"):
        vm.run("n1", delete.delete, name="web1")

    assert memory(vm) and "web1" in vm.domains["n1"].defined


def test_marks_that_no_plan_renewed_are_renewed(vm: FakeCluster) -> None:
    runs(vm)
    domains, host = vm.domains["n1"], vm.hosts["n1"]
    unmarked = domains._begun_with["web1"]
    vm.run("n1", resync.resync, name="web1")
    domains._begun_with["web1"] = unmarked

    saved_states.renew_marks(host)

    mark = mark_of(domains.xml("web1"))
    assert mark is not None and mark.incarnation == vm.read().vm("web1").incarnation == 1
    assert host.marked == {"web1": 1}
