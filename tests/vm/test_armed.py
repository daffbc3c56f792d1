"""On an armed node no verb starts, resumes, promotes or receives anything without a valid lease."""

from collections.abc import Iterator

import pytest

from mcv.drbd import resync
from mcv.errors import McvError, Refused
from mcv.system.start_gate import StartGate
from mcv.vm import autostart, live, migrate, pausing, power
from tests.fakes.armed import armed as armed
from tests.fakes.armed import grant
from tests.fakes.cluster import FakeCluster


def refused_on(three: FakeCluster, node: str) -> Iterator[str]:
    three.domains[node].hook = lambda operation, xml: 0  # the door alone is looked at
    grant(three, node, -1)
    yield f"{node} may not .* now: this node has no valid lease"
    grant(three, node)


def test_with_a_lease_a_vm_starts_moves_and_resumes_as_ever(armed: FakeCluster) -> None:
    armed.run("n1", power.start, name="web1")
    armed.run("n1", pausing.pause, name="web1")
    armed.run("n1", pausing.resume, name="web1")
    armed.run("n1", live.migrate, name="web1", to="n2")

    assert armed.domains["n2"].state("web1") == "running"
    assert armed.twice == []
    assert all(StartGate(host.settings.run).marks() == () for host in armed.hosts.values())


def test_without_one_a_vm_does_not_start_and_its_disk_is_not_promoted(armed: FakeCluster) -> None:
    for why in refused_on(armed, "n1"):
        with pytest.raises(Refused, match=why):
            armed.run("n1", power.start, name="web1")

    assert armed.domains["n1"].state("web1") == "stopped"
    assert not any(status.is_primary for status in armed.drbd["n1"].statuses().values())
    armed.run("n1", power.start, name="web1")


def test_nor_by_itself_after_a_boot(armed: FakeCluster) -> None:
    armed.run("n1", power.start, name="web1")
    armed.reboot("n1")
    armed.look("n1")
    for _ in refused_on(armed, "n1"):
        autostart.look_after(armed.hosts["n1"])

        assert not armed.domains["n1"].is_active("web1")


def test_nor_does_a_paused_guest_go_on(armed: FakeCluster) -> None:
    armed.run("n1", power.start, name="web1")
    armed.run("n1", pausing.pause, name="web1")
    for why in refused_on(armed, "n1"):
        with pytest.raises(Refused, match=why):
            armed.run("n1", pausing.resume, name="web1")

        assert armed.domains["n1"].state("web1") == "paused"


def test_nor_does_one_arrive(armed: FakeCluster) -> None:
    armed.run("n1", power.start, name="web1")
    for why in refused_on(armed, "n2"):
        with pytest.raises(McvError, match=why):
            armed.run("n1", live.migrate, name="web1", to="n2")

        assert armed.domains["n1"].state("web1") == "running"
        assert not armed.domains["n2"].is_active("web1")
        assert not any(status.is_primary for status in armed.drbd["n2"].statuses().values())


def test_nor_is_a_stopped_vm_resynced_which_promotes_it_for_a_moment(armed: FakeCluster) -> None:
    for why in refused_on(armed, "n1"):
        with pytest.raises(McvError, match=why):
            armed.run("n1", resync.resync, name="web1")


def test_a_vm_that_is_stopped_moves_without_a_start(armed: FakeCluster) -> None:
    for _ in refused_on(armed, "n2"):
        armed.run("n1", migrate.migrate, name="web1", to="n2")

    assert armed.read("n1").vm("web1").node == "n2"


def test_a_document_that_is_not_the_newest_is_read_anew_before_a_start(armed: FakeCluster) -> None:
    armed.hosts["n3"].update("barrier", "something else")

    armed.run("n1", power.start, name="web1")

    assert armed.read("n1").change.name == "barrier"


def test_without_a_majority_nothing_starts(armed: FakeCluster) -> None:
    armed.down |= {"n2", "n3"}

    with pytest.raises(Refused, match="2 of 3 are needed"):
        armed.run("n1", power.start, name="web1")
