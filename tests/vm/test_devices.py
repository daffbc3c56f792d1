"""Devices of a host over fake doors: given, taken, clashing, and what they tie."""

import pytest
from msgspec.structs import replace

from mcv.cluster import members
from mcv.document.hardware import Device
from mcv.errors import DoneInPart, Failed, NotFound, Refused
from mcv.status import vms
from mcv.vm import create, defining, devices, live, migrate, pending, power, register
from tests.fakes.cluster import FakeCluster
from tests.fakes.host_devices import CARD, STICK

PRODUCT = {"type": "usb", "address": "1d6b:0002"}
PLACE = {"type": "usb", "address": "1.4"}
PCI = {"type": "pci", "address": "03:00.0"}


def give(cluster: FakeCluster, name: str = "web1", **device: str) -> devices.DeviceChanged:
    answer = cluster.run("n1", devices.add, name=name, **(device or PRODUCT))
    assert isinstance(answer, devices.DeviceChanged)
    return answer


def take(cluster: FakeCluster, node: str = "n1", **device: str) -> devices.DeviceChanged:
    answer = cluster.run(node, devices.remove, name="web1", **(device or PRODUCT))
    assert isinstance(answer, devices.DeviceChanged)
    return answer


def test_a_usb_device_is_had_at_once_and_taken_at_once(vm: FakeCluster) -> None:
    vm.run("n1", power.start, name="web1")
    given = Device(type="usb", address="1d6b:0002", node="n1")

    assert give(vm).active is False

    assert vm.read("n2").vm("web1").devices == (given,)
    assert vm.domains["n1"].host_devices.has("web1", given)
    assert "0x1d6b" in vm.domains["n1"].defined["web1"]

    take(vm)

    assert vm.read().vm("web1").devices == ()
    assert not vm.domains["n1"].host_devices.has("web1", given)
    assert "hostdev" not in vm.domains["n1"].defined["web1"]


def test_a_pci_device_comes_with_the_next_start_and_goes_with_the_end(vm: FakeCluster) -> None:
    vm.run("n1", power.start, name="web1")

    assert give(vm, **PCI).active is True
    assert "hostdev" not in vm.domains["n1"].xml("web1")
    vm.run("n1", power.stop, name="web1")
    vm.run("n1", power.start, name="web1")
    assert "hostdev" in vm.domains["n1"].xml("web1")

    assert take(vm, **PCI).active is True
    with pytest.raises(Refused, match="has a device of the host still"):
        vm.run("n1", live.migrate, name="web1", to="n2")


def test_where_it_is_plugged_in_changes_and_that_is_said(vm: FakeCluster) -> None:
    assert "changes when it is plugged in anew" in give(vm, **PLACE).caution
    take(vm, **PLACE)
    assert give(vm, **PRODUCT).caution == ""


def test_a_guest_that_cannot_have_it_leaves_all_as_it_was(vm: FakeCluster) -> None:
    vm.run("n1", power.start, name="web1")
    before = vm.domains["n1"].defined["web1"]
    vm.domains["n1"].broken.add("attach")

    with pytest.raises(Failed, match="was undone"):
        give(vm)

    assert vm.read().vm("web1").devices == () and vm.read().vm("web1").claim is None
    assert vm.domains["n1"].defined["web1"] == before


REFUSED = [
    ("no kind", {"type": "scsi", "address": "1"}, "no kind of device"),
    ("no address", {"type": "usb", "address": "web"}, "no address of a USB device"),
    ("an address of the other kind", {"type": "pci", "address": "1.4"}, "no address of a PCI"),
    ("not there", {"type": "usb", "address": "1.5"}, "n1 has no USB device 1.5 now"),
]


@pytest.mark.parametrize(("story", "device", "why"), REFUSED, ids=[row[0] for row in REFUSED])
def test_what_is_refused_has_changed_nothing(
    vm: FakeCluster, story: str, device: dict[str, str], why: str
) -> None:
    before = vm.picture()

    with pytest.raises(Refused, match=why):
        give(vm, **device)

    assert vm.picture() == before


def test_a_device_is_given_once_be_it_by_its_other_address(vm: FakeCluster) -> None:
    vm.run("n1", create.create, name="db1", memory="64MiB")
    give(vm)

    with pytest.raises(Refused, match="has USB device 1d6b:0002 already"):
        give(vm)
    for name in ("web1", "db1"):
        with pytest.raises(Refused, match=r"1\.4 of n1 is web1's already \(1d6b:0002\)"):
            give(vm, name, **PLACE)


def test_the_same_address_on_another_node_is_another_device(vm: FakeCluster) -> None:
    vm.run("n2", create.create, name="db1", memory="64MiB")
    give(vm)

    vm.run("n2", devices.add, name="db1", **PRODUCT)

    assert [each.vm for each in devices.list_of_node(vm.hosts["n1"], "n2")] == ["db1", ""]


def test_of_two_that_are_alike_the_place_is_asked_for(vm: FakeCluster) -> None:
    vm.devices_of["n1"].present.append(replace(STICK, address="2.1"))

    with pytest.raises(Refused, match="n1 has 2 devices 1d6b:0002") as refused:
        give(vm)

    assert "1.4, 2.1" in refused.value.hint
    give(vm, **PLACE)


def test_what_the_host_itself_uses_is_not_given_away(vm: FakeCluster) -> None:
    vm.devices_of["n1"].present = [STICK, replace(CARD, used="interface eth0")]

    with pytest.raises(Refused, match=r"n1 itself uses PCI device 0000:03:00\.0: interface eth0"):
        give(vm, **PCI)


def test_a_pci_device_needs_an_iommu(vm: FakeCluster) -> None:
    vm.devices_of["n1"].iommu = False
    with pytest.raises(Refused, match="no IOMMU in use"):
        give(vm, **PCI)

    vm.devices_of["n1"].iommu = True
    other = replace(CARD, address="0000:03:00.1", driver="ahci")
    vm.devices_of["n1"].present.append(other)
    with pytest.raises(Refused, match=r"shares IOMMU group 7 of n1 with 0000:03:00.1 \(ahci\)"):
        give(vm, **PCI)

    vm.devices_of["n1"].present[-1] = replace(other, driver="vfio-pci")
    give(vm, **PCI)


def test_a_vm_with_a_device_cannot_move_and_says_how_it_could(vm: FakeCluster) -> None:
    give(vm)
    words = "web1 is tied to n1: it has the USB device 1d6b:0002 of n1"

    with pytest.raises(Refused, match=words) as refused:
        vm.run("n1", migrate.migrate, name="web1", to="n2")
    assert refused.value.hint == "mcv device remove web1 usb 1d6b:0002"
    row = vms.info(vm.hosts["n1"], "web1")
    assert row.nodes == ("n1",) and row.attention is None and not row.overlay
    assert [device.address for device in row.devices] == ["1d6b:0002"]
    (finding,) = [each for each in row.findings if words in each.message]
    assert finding.severity == "note" and "mcv device remove" in finding.hint

    take(vm)
    vm.run("n1", migrate.migrate, name="web1", to="n2")


def test_a_node_hands_no_device_of_another_to_its_libvirt(vm: FakeCluster) -> None:
    give(vm)

    with pytest.raises(Refused, match="is tied to n1"):
        defining.define(vm.hosts["n2"], "web1")

    assert vm.domains["n2"].defined == {}


def test_a_vm_of_a_dead_node_is_taken_over_when_its_device_is_struck_off(
    vm: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(members, "answers_at_all", lambda *_: False)
    give(vm)
    vm.down.add("n1")
    vm.run("n2", members.offline, names=["n1"], confirm_dead=True)
    with pytest.raises(Refused, match="is tied to n1"):
        vm.run("n2", register.register, name="web1", accept_stale=True)

    take(vm, "n2")
    vm.run("n2", register.register, name="web1", accept_stale=True)

    assert vm.read("n2").vm("web1").node == "n2"


def test_a_device_that_is_gone_forbids_the_start_and_can_be_removed(vm: FakeCluster) -> None:
    give(vm)
    vm.devices_of["n1"].present = []

    with pytest.raises(Refused, match="n1 has no USB device 1d6b:0002 now") as refused:
        vm.run("n1", power.start, name="web1")
    assert "mcv device remove web1 usb 1d6b:0002" in refused.value.hint
    (row,) = devices.list_(vm.hosts["n2"], "web1")
    assert row.problem == "it is not there"

    take(vm)
    vm.run("n1", power.start, name="web1")


def test_what_could_not_be_taken_from_a_guest_is_told_and_can_be_tried_again(
    vm: FakeCluster,
) -> None:
    vm.run("n1", power.start, name="web1")
    give(vm)
    vm.domains["n1"].broken.add("detach")
    with pytest.raises(DoneInPart, match="Could not take 1d6b:0002"):
        take(vm)
    assert pending.pending(vm.hosts["n1"], "web1") == [
        "no USB device 1d6b:0002 of the host (its guest has it)"
    ]
    vm.domains["n1"].broken.clear()

    take(vm)

    assert pending.pending(vm.hosts["n1"], "web1") == []
    with pytest.raises(NotFound):
        take(vm)


def test_a_device_that_the_vm_has_not_is_not_found(vm: FakeCluster) -> None:
    with pytest.raises(NotFound, match=r"web1 has no USB device 1\.4"):
        take(vm, **PLACE)


def test_devices_are_listed_with_what_they_are(vm: FakeCluster) -> None:
    give(vm)

    (row,) = devices.list_(vm.hosts["n2"], "web1")
    assert (row.node, row.name, row.problem) == ("n1", "Linux stick", "")
    vm.down.add("n1")
    (row,) = devices.list_(vm.hosts["n2"], "web1")
    assert row.problem == "n1 does not tell"
    with pytest.raises(NotFound, match="no node n9"):
        devices.list_of_node(vm.hosts["n1"], "n9")
