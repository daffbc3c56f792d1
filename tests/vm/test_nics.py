"""The cards of a VM: added, changed and taken away, in the document and in what runs."""

from typing import Any

import pytest
from msgspec.structs import replace

from mcv.document.networks import Network, Nic, tagged_bridge
from mcv.drivers.domain_reading import NAMESPACE, substance
from mcv.drivers.libvirt_nics import GuestAddress
from mcv.errors import Busy, DoneInPart, Failed, NotFound, Refused
from mcv.network import verbs as network
from mcv.status import vms
from mcv.vm import change, create, migrate, nics, power, register
from tests.documents import of_schema
from tests.fakes.cluster import FakeCluster

MAC = "52:54:00:aa:bb:cc"


@pytest.fixture
def web(vm: FakeCluster) -> FakeCluster:
    """web1 on n1 with a card in lan; there is a network dmz, too."""
    for bridges in vm.bridges.values():
        bridges.names = ("br-lan", "br-dmz")
    vm.run("n1", network.create, name="dmz", bridge="br-dmz")
    return vm


def cards(cluster: FakeCluster) -> tuple[Nic, ...]:
    return cluster.read().vm("web1").nics


def in_domain(cluster: FakeCluster, node: str = "n1") -> list[tuple[str, str]]:
    return list(substance(cluster.domains[node].xml("web1")).nics)


def defined(cluster: FakeCluster, node: str = "n1") -> list[tuple[str, str]]:
    return list(substance(cluster.domains[node].defined["web1"]).nics)


@pytest.mark.parametrize("runs", [False, True])
def test_a_card_is_added_and_taken_away(web: FakeCluster, runs: bool) -> None:
    if runs:
        web.run("n1", power.start, name="web1")
    before = in_domain(web)

    added = web.run("n1", nics.add, name="web1", network="dmz", mac=MAC.upper(), vlan=7)

    bridge = tagged_bridge("br-dmz", 7)
    assert added == nics.NicChanged(name="web1", mac=MAC, network="dmz", active=runs, pending=[])
    assert cards(web)[-1] == Nic(network="dmz", mac=MAC, vlan=7)
    assert in_domain(web) == defined(web) == [*before, (MAC, bridge)]
    assert web.bridges["n1"].tags == {bridge: ("br-dmz", 7)}
    web.run("n1", nics.remove, name="web1", nic="dmz")
    assert in_domain(web) == defined(web) == before and len(cards(web)) == 1


def test_a_card_is_connected_elsewhere_and_its_link_goes_down_at_once(web: FakeCluster) -> None:
    web.run("n1", power.start, name="web1")
    (card,) = cards(web)

    web.run("n1", nics.set_, name="web1", nic="lan", network="dmz", link="down")

    assert cards(web) == (replace(card, network="dmz", link="down"),)
    assert in_domain(web) == defined(web) == [(card.mac, "br-dmz")]
    assert '<link state="down" />' in web.domains["n1"].xml("web1")
    web.run("n1", nics.set_, name="web1", nic=card.mac, link="up")
    assert '<link state="up" />' in web.domains["n1"].xml("web1")


def test_the_model_of_a_card_waits_for_the_next_start(web: FakeCluster) -> None:
    web.run("n1", power.start, name="web1")

    answer = web.run("n1", nics.set_, name="web1", nic="lan", model="e1000")

    assert answer.pending == ["model e1000"] and cards(web)[0].model == "e1000"
    assert 'model type="virtio"' in web.domains["n1"].xml("web1")
    web.run("n1", power.stop, name="web1")
    web.run("n1", power.start, name="web1")
    assert 'model type="e1000"' in web.domains["n1"].xml("web1")


def test_an_addition_that_fails_leaves_document_and_domain_as_they_were(web: FakeCluster) -> None:
    web.run("n1", power.start, name="web1")
    before = (cards(web), in_domain(web), defined(web))
    web.domains["n1"].broken.add("attach")

    with pytest.raises(Failed):
        web.run("n1", nics.add, name="web1", network="dmz")

    assert (cards(web), in_domain(web), defined(web)) == before


def test_a_model_without_pci_express_is_not_plugged_into_what_runs(web: FakeCluster) -> None:
    web.run("n1", power.start, name="web1")

    with pytest.raises(Refused, match="takes no other e1000 until it stops"):
        web.run("n1", nics.add, name="web1", network="dmz", model="e1000")
    web.run("n1", nics.add, name="web1", network="dmz", model="e1000e")
    web.run("n1", power.stop, name="web1")
    web.run("n1", nics.add, name="web1", network="dmz", model="e1000")

    assert [nic.model for nic in cards(web)] == ["", "e1000e", "e1000"]


def test_a_change_that_libvirt_refuses_is_undone(web: FakeCluster) -> None:
    web.run("n1", power.start, name="web1")
    before = (cards(web), in_domain(web), defined(web))
    web.domains["n1"].broken.add("update")

    with pytest.raises(Failed):
        web.run("n1", nics.set_, name="web1", nic="lan", network="dmz")

    assert (cards(web), in_domain(web), defined(web)) == before


def test_a_guest_that_does_not_let_go_keeps_its_card_until_it_stops(web: FakeCluster) -> None:
    web.run("n1", power.start, name="web1")
    web.domains["n1"].nics.deaf.add("web1")

    with pytest.raises(DoneInPart, match="has not let go"):
        web.run("n1", nics.remove, name="web1", nic="lan")

    assert cards(web) == () and len(in_domain(web)) == 1 and defined(web) == []
    web.run("n1", power.stop, name="web1")
    web.run("n1", power.start, name="web1")
    assert in_domain(web) == []


def test_a_guest_that_keeps_a_card_is_told_of_and_asked_again(web: FakeCluster) -> None:
    web.run("n1", power.start, name="web1")
    (card,) = cards(web)
    deaf = web.domains["n1"].nics.deaf
    deaf.add("web1")
    for _ in range(2):
        with pytest.raises(DoneInPart, match=f"the guest of web1 has not let go of {card.mac}"):
            web.run("n1", nics.remove, name="web1", nic=card.mac)

    assert vms.info(web.hosts["n2"], "web1").pending == [
        f"no card {card.mac} (its guest has not let go of it)"
    ]
    deaf.clear()
    web.run("n1", nics.remove, name="web1", nic=card.mac)
    assert in_domain(web) == [] and vms.info(web.hosts["n2"], "web1").pending == []
    with pytest.raises(NotFound, match="no card"):
        web.run("n1", nics.remove, name="web1", nic=card.mac)


def test_a_paused_guest_is_asked_at_once_and_its_operator_told_why_it_keeps_the_card(
    web: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.run("n1", power.start, name="web1")
    web.domains["n1"].pause("web1")
    door = web.domains["n1"].nics
    waited: list[float] = []

    def keeps(name: str, mac: str, patience: float) -> bool:
        waited.append(patience)
        return False

    monkeypatch.setattr(door, "detach", keeps)

    with pytest.raises(DoneInPart, match="web1 is paused, so its guest has not let go") as told:
        web.run("n1", nics.remove, name="web1", nic="lan")

    assert waited == [0.0] and "mcv resume web1" in told.value.hint


def test_a_card_of_what_crashed_goes_with_it(web: FakeCluster) -> None:
    web.run("n1", power.start, name="web1")
    web.domains["n1"].crash("web1")

    gone = web.run("n1", nics.remove, name="web1", nic="lan")

    assert gone.active is False and cards(web) == () and defined(web) == []


def test_an_mtu_waits_for_the_next_start(web: FakeCluster) -> None:
    web.run("n1", network.create, name="small", bridge="br-lan", mtu=1400)
    web.run("n1", power.start, name="web1")
    (card,) = cards(web)

    moved = web.run("n1", nics.set_, name="web1", nic="lan", network="small")

    assert moved.pending == ["MTU 1400"]
    (pending,) = vms.info(web.hosts["n1"], "web1").pending
    assert pending == (
        f"card {card.mac} virtio on br-lan, MTU 1400, link up "
        "(it runs with virtio on br-lan, link up)"
    )
    web.run("n1", power.stop, name="web1")
    web.run("n1", power.start, name="web1")
    assert vms.info(web.hosts["n1"], "web1").pending == []


def test_an_addition_that_is_undone_ends_where_the_guest_keeps_the_card(
    web: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.run("n1", power.start, name="web1")
    web.run("n1", nics.add, name="web1", network="dmz", mac=MAC)
    before = (cards(web), defined(web))
    web.domains["n1"].nics.deaf.add("web1")
    attach = web.domains["n1"].nics.attach

    def then_fail(name: str, mac: str, card: str) -> None:
        attach(name, mac, card)
        raise Refused("QEMU said no more.")

    monkeypatch.setattr(web.domains["n1"].nics, "attach", then_fail)
    with pytest.raises(Failed, match="QEMU said no more"):
        web.run("n1", nics.add, name="web1", network="lan", mac="52:54:00:00:00:09")

    assert (cards(web), defined(web)) == before
    assert list(web.hosts["n1"].journal.entries()) == []
    (pending,) = vms.info(web.hosts["n1"], "web1").pending
    assert pending == "no card 52:54:00:00:00:09 (its guest has not let go of it)"


def test_every_reason_against_a_card_is_told_at_once(web: FakeCluster) -> None:
    before = web.picture()

    with pytest.raises(Refused) as refused:
        web.run(
            "n1",
            nics.add,
            name="web1",
            network="none",
            mac="01:02",
            model="abacus",
            vlan=5000,
            link="sideways",
        )

    said = "\n".join(message for message, _ in refused.value.problems)
    for part in ("no network none", "'01:02'", "no model abacus", "--vlan 5000", "--link sideways"):
        assert part in said
    assert web.picture() == before


FOREIGN = (
    "<domain type='qemu'><name>other</name><uuid>11111111-0000-4000-8000-000000000001</uuid>"
    f"<devices><interface type='bridge'><mac address='{MAC}'/></interface></devices></domain>"
)


@pytest.mark.parametrize("node", ["n1", "n2"])
def test_the_mac_of_a_domain_that_is_not_mcv_s_is_refused_on_whatever_node(
    web: FakeCluster, node: str
) -> None:
    web.domains[node].defined["other"] = FOREIGN

    with pytest.raises(Refused, match=f"{MAC} is that of the domain other on {node}"):
        web.run("n1", nics.add, name="web1", network="lan", mac=MAC)


def test_the_mac_of_another_vm_is_refused(web: FakeCluster) -> None:
    web.run("n2", create.create, name="web2", memory="64MiB", networks=["lan"])
    taken = web.read().vm("web2").nics[0].mac

    with pytest.raises(Refused, match=f"The MAC {taken} is web2's"):
        web.run("n1", nics.add, name="web1", network="lan", mac=taken)
    with pytest.raises(Refused, match="is web1's"):
        web.run("n1", nics.add, name="web1", network="lan", mac=cards(web)[0].mac)


def test_a_vm_is_not_registered_where_its_mac_is_taken(web: FakeCluster) -> None:
    web.domains["n1"].defined["other"] = FOREIGN.replace(MAC, cards(web)[0].mac)

    with pytest.raises(Refused, match="is that of the domain other on n1"):
        web.run("n1", register.register, name="web1")


def test_a_new_vm_gets_a_mac_that_nobody_has(
    web: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = iter([cards(web)[0].mac, MAC, MAC, "52:54:00:00:00:09"])
    monkeypatch.setattr("mcv.vm.macs.new_mac", lambda: next(drawn))

    web.run("n1", create.create, name="web2", memory="64MiB", networks=["lan", "lan"])

    found = [nic.mac for nic in web.read().vm("web2").nics]
    assert found == [MAC, "52:54:00:00:00:09"]


def test_a_card_that_is_not_there_or_not_the_only_one(web: FakeCluster) -> None:
    with pytest.raises(NotFound, match="no card dmz"):
        web.run("n1", nics.remove, name="web1", nic="dmz")
    web.run("n1", nics.add, name="web1", network="lan", mac=MAC)
    with pytest.raises(Busy, match="several cards in lan"):
        web.run("n1", nics.set_, name="web1", nic="lan", link="down")
    with pytest.raises(Refused, match="nothing to change"):
        web.run("n1", nics.set_, name="web1", nic=MAC)


def test_a_locked_vm_and_a_bridge_that_is_not_there(web: FakeCluster) -> None:
    web.run("n1", change.lock, name="web1")
    web.bridges["n1"].names = ("br-lan",)

    with pytest.raises(Refused) as refused:
        web.run("n1", nics.add, name="web1", network="dmz")

    said = [message for message, _ in refused.value.problems]
    assert len(said) == 2 and "n1 has no bridge br-dmz." in said


def test_a_network_by_nat_has_no_vlan(web: FakeCluster) -> None:
    web.run("n1", network.create, name="out", nat=True)
    web.bridges["n1"].names += (web.read().network("out").bridge,)

    with pytest.raises(Refused, match="has no VLANs"):
        web.run("n1", nics.add, name="web1", network="out", vlan=7)
    web.run("n1", nics.add, name="web1", network="out")
    assert defined(web)[-1][1] == "mcv-out"


def test_cards_stay_as_they_are_while_a_member_has_an_older_mcv(web: FakeCluster) -> None:
    old = of_schema(3, web.read())
    for host in web.hosts.values():
        host.consensus.begin(old)
    web.look("n1")

    with pytest.raises(Refused, match="cannot be changed yet"):
        web.run("n1", nics.add, name="web1", network="dmz")


def test_cards_go_along_when_their_vm_moves(web: FakeCluster) -> None:
    web.run("n1", nics.add, name="web1", network="dmz", mac=MAC, model="e1000", link="down")

    web.run("n1", migrate.migrate, name="web1", to="n2")

    xml = web.domains["n2"].defined["web1"]
    assert (MAC, "br-dmz") in in_domain(web, "n2") and 'type="e1000"' in xml
    assert '<link state="down" />' in xml and NAMESPACE in xml


def test_the_addresses_of_a_guest_are_told_with_their_source(web: FakeCluster) -> None:
    mac = cards(web)[0].mac
    told = {mac: [GuestAddress(address="192.0.2.7", source="arp")]}
    web.domains["n1"].nics.told["web1"] = told
    web.run("n1", power.start, name="web1")

    (row,) = nics.list_(web.hosts["n2"], "web1")
    (shown,) = vms.info(web.hosts["n2"], "web1").networks

    assert (
        row
        == shown
        == nics.NicRow(
            network="lan",
            mac=mac,
            model="virtio",
            vlan=0,
            link="up",
            addresses=["192.0.2.7"],
            source="arp",
        )
    )


def test_a_silent_owner_costs_the_addresses_alone(web: FakeCluster) -> None:
    web.down.add("n1")

    (row,) = nics.list_(web.hosts["n2"], "web1")

    assert (row.network, row.addresses, row.source) == ("lan", [], "")


def test_the_tag_of_a_card_comes_before_its_network_s() -> None:
    lan = Network(name="lan", bridge="br0", vlan=7, on={"n2": "br1"})

    assert Nic(network="lan", mac=MAC).bridge_in(lan, "n1") == tagged_bridge("br0", 7)
    assert Nic(network="lan", mac=MAC, vlan=9).bridge_in(lan, "n2") == tagged_bridge("br1", 9)


WRONG: list[dict[str, Any]] = [{"mac": "ff:ff:ff:ff:ff:ff"}, {"mac": "00:00:00:00:00:00"}]


@pytest.mark.parametrize("values", WRONG)
def test_a_mac_that_is_no_card_s_own_is_refused(web: FakeCluster, values: dict[str, Any]) -> None:
    with pytest.raises(Refused, match="no card's own"):
        web.run("n1", nics.add, name="web1", network="lan", **values)
