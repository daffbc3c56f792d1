"""Other people's guests that have the name of a VM: never touched, always named."""

import logging
from collections.abc import Callable

import pytest

from mcv.cluster import members
from mcv.document.subject import Subject
from mcv.errors import Refused
from mcv.status import vms
from mcv.vm import create, defining, live, migrate, power, register, stray_copies
from tests.fakes.cluster import FakeCluster

OTHERS_UUID = "6d637600-0000-4000-8000-00000000000c"


def foreign(name: str = "web1", uuid: str = OTHERS_UUID) -> str:
    return f"<domain><name>{name}</name><uuid>{uuid}</uuid></domain>"


@pytest.fixture
def beside(vm: FakeCluster) -> FakeCluster:
    """web1 belongs to n1; a guest of somebody else's runs under that name on n2."""
    vm.domains["n2"].defined["web1"] = foreign()
    vm.domains["n2"].power_on("web1")
    return vm


def untouched(cluster: FakeCluster, node: str, state: str = "running") -> bool:
    domains = cluster.domains[node]
    return (domains.defined["web1"], domains.state_of("web1")) == (foreign(), state)


def test_a_guest_that_runs_under_a_vms_name_is_not_paused(
    beside: FakeCluster, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert stray_copies.step_aside(beside.hosts["n2"]) == []

    assert untouched(beside, "n2")
    assert "the domain web1 here is not the VM web1: it is left alone" in caplog.text


def test_a_guest_that_is_off_under_a_vms_name_is_not_undefined(beside: FakeCluster) -> None:
    beside.domains["n2"].active.clear()

    assert stray_copies.step_aside(beside.hosts["n2"]) == []

    assert untouched(beside, "n2", "stopped")


def test_a_domain_without_the_mark_is_not_touched_even_with_the_vms_uuid(vm: FakeCluster) -> None:
    mine = foreign(uuid=vm.read().vm("web1").uuid)
    vm.domains["n2"].defined["web1"] = mine
    vm.domains["n2"].power_on("web1")

    assert stray_copies.step_aside(vm.hosts["n2"]) == []

    assert (vm.domains["n2"].defined, vm.domains["n2"].active) == (
        {"web1": mine},
        {"web1": "running"},
    )


def test_a_copy_that_somebody_renamed_is_the_vms_still(vm: FakeCluster) -> None:
    xml = vm.domains["n1"].xml("web1").replace(">web1<", ">renamed<")
    vm.domains["n2"].define(xml)
    vm.domains["n2"].power_on("renamed")

    assert stray_copies.step_aside(vm.hosts["n2"]) == ["web1"]

    assert vm.domains["n2"].active == {"renamed": "paused"}


@pytest.mark.parametrize("state", ["running", "stopped"])
def test_no_vm_is_created_under_the_name_of_a_guest_of_any_node(
    cluster: FakeCluster, state: str
) -> None:
    cluster.domains["n2"].defined["web1"] = foreign()
    if state == "running":
        cluster.domains["n2"].power_on("web1")
    before = cluster.picture()

    with pytest.raises(Refused, match=f"domain web1 that is not mcv's is {state} on n2") as refused:
        cluster.run("n1", create.create, name="web1", memory="64MiB", nodes=["n1"])

    assert "virsh domrename web1 NEW" in refused.value.hint
    assert cluster.picture() == before
    assert untouched(cluster, "n2", state)


def test_every_node_with_such_a_guest_is_named(cluster: FakeCluster) -> None:
    for node in ("n1", "n2"):
        cluster.domains[node].defined["web1"] = foreign()

    with pytest.raises(Refused) as refused:
        cluster.run("n1", create.create, name="web1", memory="64MiB", disks=["8MiB"])

    said = str(refused.value.problems)
    assert "stopped on n1" in said and "stopped on n2" in said


@pytest.mark.parametrize("state", ["running", "stopped"])
def test_a_vm_does_not_move_to_where_its_name_is_taken(vm: FakeCluster, state: str) -> None:
    vm.domains["n2"].defined["web1"] = foreign()
    if state == "running":
        vm.domains["n2"].power_on("web1")
    before = vm.picture()

    with pytest.raises(Refused, match=f"that is not mcv's is {state} on n2"):
        vm.run("n1", migrate.migrate, name="web1", to="n2")
    vm.run("n1", power.start, name="web1")
    with pytest.raises(Refused, match=f"that is not mcv's is {state} on n2"):
        vm.run("n1", live.migrate, name="web1", to="n2")

    assert vm.picture() == before
    assert untouched(vm, "n2", state)


def test_a_vm_is_not_taken_over_by_a_node_where_its_name_is_taken(
    beside: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(members, "answers_at_all", lambda *_: False)
    beside.down.add("n1")
    beside.run("n2", members.offline, names=["n1"], confirm_dead=True)
    before = beside.read("n2")

    with pytest.raises(Refused) as refused:
        beside.run("n2", register.register, name="web1")

    assert "that is not mcv's is running on n2" in str(refused.value.problems)
    assert beside.read("n2") == before
    assert untouched(beside, "n2")


def test_a_vm_is_neither_started_nor_defined_beside_its_namesake(vm: FakeCluster) -> None:
    vm.domains["n1"].undefine("web1")
    vm.domains["n1"].defined["web1"] = foreign()

    for verb in (power.start, register.register):
        with pytest.raises(Refused, match="that is not mcv's is stopped on n1"):
            vm.run("n1", verb, name="web1")

    assert untouched(vm, "n1", "stopped")


@pytest.mark.parametrize(
    ("verb", "params"),
    [(power.stop, {"node": "n2"}), (power.shutdown, {}), (power.reset, {})],
)
def test_a_guest_of_the_name_is_not_ended(
    beside: FakeCluster, verb: Callable[..., object], params: dict[str, str]
) -> None:
    with pytest.raises(Refused, match="domain web1 that is not mcv's is running on n2"):
        beside.run("n2", verb, name="web1", **params)

    assert untouched(beside, "n2")


def test_the_steps_of_a_way_back_leave_such_a_guest_alone(beside: FakeCluster) -> None:
    host = beside.hosts["n2"]

    defining.undefine(host, "web1")
    live.discard_target(host, "web1")

    assert untouched(beside, "n2")


def test_list_and_info_name_the_guest_and_what_helps(beside: FakeCluster) -> None:
    (row,) = vms.list_(beside.hosts["n1"])

    assert row.state == "stopped"
    assert row.attention == (
        "A domain web1 that is not mcv's is running on n2, so web1 cannot move there: "
        "On n2, when it is off: virsh domrename web1 NEW"
    )
    assert [finding.severity for finding in row.findings] == ["warning", "note"]
    assert vms.info(beside.hosts["n2"], "web1").attention == row.attention


def test_on_the_owner_the_guest_is_an_error_and_no_advice_defines_the_vm(vm: FakeCluster) -> None:
    vm.domains["n1"].undefine("web1")
    vm.domains["n1"].defined["web1"] = foreign()
    vm.domains["n1"].power_on("web1")

    (row,) = vms.list_(vm.hosts["n2"])

    assert row.state == "stopped"
    assert [(finding.severity, finding.message) for finding in row.findings] == [
        (
            "error",
            "A domain web1 that is not mcv's is running on n1, so web1 cannot start there.",
        ),
        ("note", "web1 was never verified."),
    ]


def test_a_claim_hides_no_guest_of_the_name(beside: FakeCluster) -> None:
    host = beside.hosts["n1"]

    def claimed(host_: object) -> None:
        with host.claim(Subject.vm("web1"), "migrate to n2"):
            assert "not mcv's" in str(vms.list_(host)[0].attention)
            assert stray_copies.step_aside(beside.hosts["n2"]) == []

    beside.run("n1", claimed)

    assert untouched(beside, "n2")
