"""MACs that are had already are refused at every way in, whoever has them."""

from typing import Any

import pytest
from msgspec.structs import replace

from mcv.errors import DoneInPart, Refused
from mcv.vm import create, edit, macs, nics, power, register
from tests.check.faults import record
from tests.fakes.cluster import FakeCluster

MAC = "52:54:00:aa:bb:cc"
FOREIGN = (
    "<domain type='qemu'><name>other</name><uuid>11111111-0000-4000-8000-000000000001</uuid>"
    f"<devices><interface type='bridge'><mac address='{MAC}'/></interface></devices></domain>"
)
OVERLAY = (
    "<domain><devices><interface type='bridge'><mac address='{}'/><source bridge='br-lan'/>"
    "</interface></devices></domain>"
)


def overlaid(cluster: FakeCluster, mac: str = MAC) -> None:
    """Lay an overlay with a card over web1."""
    cluster.run("n1", edit.edit, name="web1", overlay=OVERLAY.format(mac))


def taken_and_kept(cluster: FakeCluster) -> str:
    """Take web1's card away, which its guest does not let go of; its MAC."""
    mac = cluster.read().vm("web1").nics[0].mac
    cluster.run("n1", power.start, name="web1")
    cluster.domains["n1"].nics.deaf.add("web1")
    with pytest.raises(DoneInPart, match="has not let go"):
        cluster.run("n1", nics.remove, name="web1", nic="lan")
    return mac


@pytest.mark.parametrize("node", ["n1", "n2"])
def test_a_new_vm_gets_no_mac_of_a_domain_that_is_not_mcv_s(
    vm: FakeCluster, node: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    vm.domains[node].defined["other"] = FOREIGN
    fresh = (mac for number in range(9) for mac in (MAC, f"52:54:00:00:00:0{number}"))
    monkeypatch.setattr("mcv.vm.macs.new_mac", lambda: next(fresh))

    vm.run("n1", create.create, name="web2", memory="64MiB", networks=["lan"])
    vm.run("n1", nics.add, name="web1", network="lan")

    found = [nic.mac for name in ("web2", "web1") for nic in vm.read().vm(name).nics]
    assert MAC not in found and len(set(found)) == 3


def test_a_mac_of_an_overlay_is_taken(vm: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    overlaid(vm)
    vm.run("n2", create.create, name="web2", memory="64MiB", networks=["lan"])

    for node, name in (("n1", "web1"), ("n2", "web2")):
        with pytest.raises(Refused, match=f"The MAC {MAC} is web1's"):
            vm.run(node, nics.add, name=name, network="lan", mac=MAC)
    drawn = iter([MAC, "52:54:00:00:00:09"])
    monkeypatch.setattr("mcv.vm.macs.new_mac", lambda: next(drawn))
    assert macs.unused(vm.hosts["n2"]) == "52:54:00:00:00:09"


@pytest.mark.parametrize("node", ["n1", "n2"])
def test_an_overlay_gets_no_mac_of_a_domain_that_is_not_mcv_s(vm: FakeCluster, node: str) -> None:
    vm.domains[node].defined["other"] = FOREIGN
    before = vm.picture()

    with pytest.raises(Refused, match=f"{MAC} is that of the domain other on {node}"):
        overlaid(vm)

    assert vm.picture() == before


def test_a_vm_is_not_registered_where_the_mac_of_its_overlay_is_taken(vm: FakeCluster) -> None:
    overlaid(vm)
    vm.domains["n1"].defined["other"] = FOREIGN

    with pytest.raises(Refused, match="is that of the domain other on n1"):
        vm.run("n1", register.register, name="web1")


def test_an_overlay_is_changed_while_its_own_card_runs(vm: FakeCluster) -> None:
    overlaid(vm)
    vm.run("n1", power.start, name="web1")

    vm.run("n1", edit.edit, name="web1", overlay="")
    overlaid(vm)

    assert macs.of_domains(vm.hosts["n1"]) == {}


def test_the_mac_of_a_card_that_a_guest_keeps_is_not_free(vm: FakeCluster) -> None:
    vm.run("n2", create.create, name="web2", memory="64MiB")
    mac = taken_and_kept(vm)

    for node, name in (("n1", "web1"), ("n2", "web2")):
        with pytest.raises(Refused, match=f"{mac} is that of a card which the guest of web1 has"):
            vm.run(node, nics.add, name=name, network="lan", mac=mac)

    vm.run("n1", power.stop, name="web1")
    vm.run("n2", nics.add, name="web2", network="lan", mac=mac)


def test_a_node_that_does_not_tell_of_its_domains_is_passed_over(vm: FakeCluster) -> None:
    vm.domains["n2"].silence = "libvirt does not answer"

    vm.run("n1", nics.add, name="web1", network="lan", mac=MAC)

    assert vm.read().vm("web1").nics[-1].mac == MAC


def test_macs_that_are_had_twice_from_before_are_told_of_each_way(vm: FakeCluster) -> None:
    mac = vm.read().vm("web1").nics[0].mac
    vm.run("n2", create.create, name="web2", memory="64MiB", networks=["lan"])
    twin = vm.read().vm("web2")
    cards: tuple[Any, ...] = (replace(twin.nics[0], mac=mac.upper()),)
    record(vm, lambda document: document.with_vm(replace(twin, nics=cards)))

    with pytest.raises(Refused, match=f"The MAC {mac} is web1's"):
        vm.run("n2", register.register, name="web2")
