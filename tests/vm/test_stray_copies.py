"""A copy of a VM that the document gives to another node is paused, never destroyed."""

import logging

import pytest

from mcv.document.subject import Subject
from mcv.drivers.libvirt_identity import DomainStates
from mcv.errors import HypervisorFailed
from mcv.vm import live, power, stray_copies
from tests.fakes.cluster import FakeCluster

FOREIGN = "<domain><name>other</name><uuid>6d637600-0000-4000-8000-00000000000c</uuid></domain>"


@pytest.fixture
def stray(vm: FakeCluster) -> FakeCluster:
    """web1 belongs to n1, and n2 has its definition too."""
    vm.domains["n2"].define(vm.domains["n1"].xml("web1"))
    return vm


def test_a_copy_that_runs_is_paused_and_its_definition_stays(
    stray: FakeCluster, caplog: pytest.LogCaptureFixture
) -> None:
    stray.domains["n2"].start_unasked("web1")

    assert stray_copies.step_aside(stray.hosts["n2"]) == ["web1"]

    assert stray.domains["n2"].state("web1") == "paused"
    assert "web1" in stray.domains["n2"].defined
    assert "web1 belongs to n1: the copy here is paused" in caplog.text


def test_what_arrives_while_libvirt_is_asked_is_no_copy(
    vm: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    vm.run("n1", power.start, name="web1")
    states = vm.domains["n2"].states

    def slow() -> DomainStates:
        monkeypatch.setattr(vm.domains["n2"], "states", states)
        vm.run("n1", live.migrate, name="web1", to="n2")
        return states()

    monkeypatch.setattr(vm.domains["n2"], "states", slow)

    assert stray_copies.step_aside(vm.hosts["n2"]) == []
    assert vm.domains["n2"].state("web1") == "running"


def test_a_paused_copy_stays_paused(stray: FakeCluster) -> None:
    stray.domains["n2"].start_unasked("web1")
    stray.domains["n2"].pause("web1")

    assert stray_copies.step_aside(stray.hosts["n2"]) == []
    assert stray.domains["n2"].state("web1") == "paused"
    assert "web1" in stray.domains["n2"].defined


def test_the_definition_of_a_stopped_copy_is_taken_away(stray: FakeCluster) -> None:
    assert stray_copies.step_aside(stray.hosts["n2"]) == []

    assert stray.domains["n2"].state("web1") == "absent"
    assert stray.lvm["n2"].made


def test_the_owners_domain_and_what_is_not_the_clusters_are_left_alone(vm: FakeCluster) -> None:
    vm.run("n1", power.start, name="web1")
    vm.domains["n1"].define(FOREIGN)
    vm.domains["n1"].power_on("other")

    assert stray_copies.step_aside(vm.hosts["n1"]) == []
    assert vm.domains["n1"].active == {"other": "running", "web1": "running"}


def test_a_claimed_vm_is_left_to_its_operation(stray: FakeCluster) -> None:
    stray.domains["n2"].start_unasked("web1")
    host = stray.hosts["n1"]

    def claimed(host_: object) -> None:
        with host.claim(Subject.vm("web1"), "migrate to n2"):
            assert stray_copies.step_aside(stray.hosts["n2"]) == []

    stray.run("n1", claimed)

    assert stray.domains["n2"].state("web1") == "running"
    assert stray_copies.step_aside(stray.hosts["n2"]) == ["web1"]


def test_a_libvirt_that_fails_is_logged_and_the_next_copy_is_looked_at(
    stray: FakeCluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(name: str) -> None:
        raise HypervisorFailed(f"Could not pause {name}: it is broken.")

    stray.domains["n2"].start_unasked("web1")
    monkeypatch.setattr(stray.domains["n2"], "pause", fails)

    with caplog.at_level(logging.ERROR):
        assert stray_copies.step_aside(stray.hosts["n2"]) == []

    assert "stepping aside with web1: Could not pause web1" in caplog.text
