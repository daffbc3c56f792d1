"""A VM has ended when nothing has its disks open, whatever libvirt says."""

import pytest
from msgspec.structs import replace

from mcv.drivers.open_devices import Holder
from mcv.errors import DoneInPart, HypervisorFailed, Refused
from mcv.vm import delete, disk_closing, migrate, open_disks, power, register
from tests.fakes.cluster import FakeCluster

RESOURCE = "mcv-web1-1"
SLEEP = Holder(name="sleep", pid=4941)
QEMU = Holder(name="qemu-system-x86", pid=1210)


@pytest.fixture
def running(vm: FakeCluster) -> FakeCluster:
    vm.run("n1", power.start, name="web1")
    return vm


def hold(cluster: FakeCluster, *holders: Holder) -> None:
    cluster.drbd["n1"].held[RESOURCE] = list(holders)


def test_a_stop_names_what_keeps_the_disk_open(running: FakeCluster) -> None:
    hold(running, SLEEP)

    with pytest.raises(DoneInPart) as ended:
        running.run("n1", power.stop, name="web1")

    assert ended.value.exit_code == 4
    assert ended.value.message == "web1 is stopped, but n1 keeps its disk open: sleep (4941)."
    assert not running.domains["n1"].is_active("web1")
    running.drbd["n1"].held.clear()
    disk_closing.reconcile(running.hosts["n1"])
    assert not running.drbd["n1"].status(RESOURCE).is_primary  # type: ignore[union-attr]


def test_a_shutdown_that_is_waited_for_does_too(running: FakeCluster) -> None:
    hold(running, SLEEP)

    with pytest.raises(DoneInPart, match=r"is stopped, but n1 .*sleep \(4941\)"):
        running.run("n1", power.shutdown, name="web1", wait=True)


def test_a_qemu_that_libvirt_has_forgotten_has_not_ended(running: FakeCluster) -> None:
    hold(running, QEMU, SLEEP)
    with pytest.raises(DoneInPart, match=r"has not ended: .*qemu-system-x86 \(1210\), sleep"):
        running.run("n1", power.stop, name="web1")

    for verb in (power.stop, power.start):
        with pytest.raises(Refused, match="web1 has not ended"):
            running.run("n1", verb, name="web1")

    assert not running.domains["n1"].is_active("web1")


def test_a_copy_whose_io_is_suspended_ends_with_its_host_alone(running: FakeCluster) -> None:
    hold(running, QEMU)
    vm = running.read().vm("web1")

    theirs = open_disks.done_but_open(running.hosts["n1"], replace(vm, node="n2"), [QEMU])

    assert "reboot n1" in theirs.hint
    assert "mcv info web1" in open_disks.done_but_open(running.hosts["n1"], vm, [QEMU]).hint


def test_a_qemu_that_outlives_its_signal_is_named(
    running: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(name: str) -> None:
        raise HypervisorFailed(f"Could not stop {name}: Failed to terminate process 1210.")

    monkeypatch.setattr(running.domains["n1"], "stop", fail)
    with pytest.raises(HypervisorFailed):
        running.run("n1", power.stop, name="web1")
    hold(running, QEMU)

    with pytest.raises(DoneInPart, match="web1 has not ended"):
        running.run("n1", power.stop, name="web1")


def test_what_needs_closed_disks_is_refused_before_it_begins(vm: FakeCluster) -> None:
    hold(vm, SLEEP)
    before = vm.picture()

    with pytest.raises(Refused, match=r"sleep \(4941\)"):
        vm.run("n1", migrate.migrate, name="web1", to="n2")
    with pytest.raises(Refused, match=r"sleep \(4941\)"):
        vm.run("n1", delete.delete, name="web1")
    with pytest.raises(Refused, match=r"sleep \(4941\)"):
        vm.run("n1", register.unregister, name="web1")

    assert vm.picture() == before


def test_a_held_device_is_not_tried_under_the_lock_again_and_again(
    running: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.domains["n1"].stop("web1")
    hold(running, SLEEP)
    tries: list[str] = []
    monkeypatch.setattr(running.drbd["n1"], "demote", tries.append)

    disk_closing.reconcile(running.hosts["n1"])

    assert tries == []
