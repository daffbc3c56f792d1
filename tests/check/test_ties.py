"""What ties VMs to their hosts in `cluster check`, and devices that are not there."""

from mcv.vm import devices
from tests.check.faults import look
from tests.fakes.cluster import FakeCluster


def told(cluster: FakeCluster) -> list[tuple[str, str]]:
    return [
        (severity, message) for severity, node, subject, message in look(cluster) if node == "n1"
    ]


def test_a_vm_that_cannot_move_is_noted_and_a_device_that_is_gone_is_an_error(
    vm: FakeCluster,
) -> None:
    assert told(vm) == []
    vm.run("n1", devices.add, name="web1", type="usb", address="1d6b:0002")
    tie = "web1 is tied to n1: it has the USB device 1d6b:0002 of n1."

    assert told(vm) == [("note", tie)]

    vm.devices_of["n1"].present = []
    missing = "web1 cannot start: n1 has no USB device 1d6b:0002 now."
    assert told(vm) == [("error", missing), ("note", tie)]
