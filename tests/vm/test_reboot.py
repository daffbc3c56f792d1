"""A guest is asked to reboot, and waited for: what it did is told, or that it is not known."""

import pytest

from mcv.errors import Busy, DoneInPart, Refused
from mcv.vm import pausing, power, reboot
from tests.fakes.cluster import FakeCluster


@pytest.fixture
def running(vm: FakeCluster) -> FakeCluster:
    """web1 runs on n1, its owner."""
    vm.run("n1", power.start, name="web1")
    return vm


def test_a_guest_is_asked_and_the_document_stays(running: FakeCluster) -> None:
    document = running.read()

    assert running.run("n1", reboot.reboot, name="web1").state == "running"

    assert running.domains["n1"].resets.told == ["web1"] and running.read() == document


def test_a_guest_that_was_reset_has_rebooted(running: FakeCluster) -> None:
    answer = running.run("n1", reboot.reboot, name="web1", wait=True, timeout=5.0)

    assert (answer.state, answer.node) == ("rebooted", "n1")
    assert running.domains["n1"].active == {"web1": "running"}


def test_a_guest_without_acpi_does_nothing_which_is_said(running: FakeCluster) -> None:
    running.domains["n1"].resets.deaf.add("web1")

    with pytest.raises(DoneInPart, match=r"has not within 0\.1 s: its guest has neither") as ended:
        running.run("n1", reboot.reboot, name="web1", wait=True, timeout=0.1)

    assert ended.value.exit_code == 4 and "mcv reset web1" in ended.value.hint


def test_a_guest_that_ends_instead_is_told(running: FakeCluster) -> None:
    """Its definition says so, or somebody stopped it meanwhile."""
    domains = running.domains["n1"]
    domains.resets.reboot = domains.shutdown  # type: ignore[method-assign]

    with pytest.raises(DoneInPart, match="has ended instead") as ended:
        running.run("n1", reboot.reboot, name="web1", wait=True)

    assert ended.value.hint == "mcv start web1"


def test_a_libvirtd_that_goes_away_leaves_it_open(running: FakeCluster) -> None:
    resets = running.domains["n1"].resets
    resets.deaf.add("web1")
    resets.watched_by = lambda: False

    with pytest.raises(DoneInPart, match="libvirtd went away on n1: whether it has is not known"):
        running.run("n1", reboot.reboot, name="web1", wait=True)


def test_what_hears_nothing_is_refused(running: FakeCluster) -> None:
    running.run("n1", pausing.pause, name="web1")
    with pytest.raises(Refused, match="is paused, so its guest hears nothing") as refused:
        running.run("n1", reboot.reboot, name="web1")
    assert "mcv resume web1" in refused.value.hint

    running.run("n1", power.stop, name="web1")
    with pytest.raises(Refused, match="does not run on n1") as refused:
        running.run("n1", reboot.reboot, name="web1")
    assert refused.value.hint == "mcv start web1"


def test_a_guest_on_its_way_to_another_node_is_not_asked(running: FakeCluster) -> None:
    running.hosts["n1"].update("vm.claim", "a migration", name="web1", why="migrate web1")

    with pytest.raises(Busy, match="migrate web1"):
        running.run("n1", reboot.reboot, name="web1")

    assert running.domains["n1"].resets.told == []
