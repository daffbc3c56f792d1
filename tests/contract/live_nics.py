"""What operations may rely on in the cards of a domain that runs.

The guest has no driver: it is asked to let go of a card, and does not. br-lan and br-dmz are
bridges of the host.
"""

import xml.etree.ElementTree as ET

import pytest

from mcv.document.networks import Network, Nic
from mcv.drivers import interface_xml
from mcv.drivers.domain_shape import NicShape, shape
from mcv.drivers.libvirt import Hypervisor
from mcv.drivers.libvirt_nics import card_in, macs_in
from mcv.errors import HypervisorFailed
from tests.contract.definition import unmarked
from tests.contract.domains import NAME, NOBODYS_UUID, OTHER, Stand

MAC = "52:54:00:00:00:0a"
SECOND = "52:54:00:00:00:0b"


def _card(
    bridge: str = "br-lan", link: str = "up", mac: str = MAC, model: str = "", mtu: int = 0
) -> str:
    nic = Nic(network="lan", mac=mac, model=model, link="down" if link == "down" else "up")
    element = interface_xml.element(nic, Network(name="lan", bridge=bridge, mtu=mtu), "n1")
    return ET.tostring(element, encoding="unicode")


def _running(stand: Stand) -> Hypervisor:
    stand.domains.define(stand.definition())
    stand.domains.start(NAME)
    return stand.domains


def _shapes(domains: Hypervisor) -> dict[str, NicShape]:
    return shape(domains.xml(NAME)).nics


def what_does_not_run_has_no_card(stand: Stand) -> None:
    assert stand.domains.nics.macs(NAME) == []
    stand.domains.define(stand.definition())

    assert stand.domains.nics.macs(NAME) == []
    assert stand.domains.nics.detach(NAME, MAC) is True
    assert stand.domains.nics.detach(OTHER, MAC) is True
    assert stand.domains.nics.addresses(NAME) == {}


def a_card_is_plugged_into_what_runs_and_not_into_its_definition(stand: Stand) -> None:
    domains = _running(stand)

    for _ in range(2):
        domains.nics.attach(NAME, MAC, _card())

        assert domains.nics.macs(NAME) == [MAC]
    assert macs_in(domains.definitions()[NAME].xml) == []


def a_card_goes_to_another_bridge_and_its_link_down_and_up(stand: Stand) -> None:
    domains = _running(stand)
    domains.nics.attach(NAME, MAC, _card())

    for bridge, link in (
        ("br-dmz", "up"),
        ("br-dmz", "down"),
        ("br-lan", "down"),
        ("br-lan", "up"),
    ):
        for _ in range(2):
            domains.nics.update(NAME, MAC, _card(bridge, link))

            live = card_in(domains.xml(NAME), MAC)
            assert live is not None
            connected, state = live.find("source"), live.find("link")
            assert connected is not None and connected.get("bridge") == bridge
            assert ("up" if state is None else state.get("state")) == link


def a_card_that_is_not_there_is_not_changed(stand: Stand) -> None:
    domains = _running(stand)

    domains.nics.update(NAME, MAC, _card())

    assert domains.nics.macs(NAME) == []


def what_does_not_run_is_given_no_card(stand: Stand) -> None:
    stand.domains.define(stand.definition())

    for name in (NAME, OTHER):
        with pytest.raises(HypervisorFailed, match=name):
            stand.domains.nics.attach(name, MAC, _card())
    with pytest.raises(HypervisorFailed, match=OTHER):
        stand.domains.nics.update(OTHER, MAC, _card())
    stand.domains.nics.update(NAME, MAC, _card())
    assert macs_in(stand.domains.definitions()[NAME].xml) == []


def cards_are_changed_each_by_itself(stand: Stand) -> None:
    domains = _running(stand)
    domains.nics.attach(NAME, MAC, _card())
    domains.nics.attach(NAME, SECOND, _card(mac=SECOND, link="down"))

    domains.nics.update(NAME, SECOND, _card("br-dmz", mac=SECOND))

    assert domains.nics.macs(NAME) == [MAC, SECOND]
    lan = NicShape(network="br-lan", model="virtio", vlan=0, mtu=0, link="up")
    dmz = NicShape(network="br-dmz", model="virtio", vlan=0, mtu=0, link="up")
    assert _shapes(domains) == {MAC: lan, SECOND: dmz}


def a_card_keeps_its_model_and_its_mtu_while_it_runs(stand: Stand) -> None:
    domains = _running(stand)
    domains.nics.attach(NAME, MAC, _card(mtu=1400))

    domains.nics.update(NAME, MAC, _card("br-dmz", model="e1000e", mtu=1300))

    kept = NicShape(network="br-dmz", model="virtio", vlan=0, mtu=1400, link="up")
    assert _shapes(domains) == {MAC: kept}


def a_guest_without_a_driver_keeps_its_card_until_it_stops(stand: Stand) -> None:
    domains = _running(stand)
    domains.nics.attach(NAME, MAC, _card())

    for _ in range(2):
        assert domains.nics.detach(NAME, MAC, 0.5) is False
        assert domains.nics.macs(NAME) == [MAC]
    domains.stop(NAME)
    assert domains.nics.detach(NAME, MAC) is True
    domains.start(NAME)
    assert domains.nics.macs(NAME) == []


def a_paused_guest_is_given_a_card_and_keeps_it(stand: Stand) -> None:
    domains = _running(stand)
    domains.pause(NAME)

    domains.nics.attach(NAME, MAC, _card())
    domains.nics.update(NAME, MAC, _card("br-dmz"))

    assert domains.nics.detach(NAME, MAC, 0) is False
    assert _shapes(domains)[MAC].network == "br-dmz"


def a_domain_of_mcv_s_is_no_foreign_one_but_for_cards_that_are_not_known(stand: Stand) -> None:
    domains = _running(stand)
    domains.nics.attach(NAME, MAC, _card())

    assert domains.nics.foreign_macs([MAC]) == {}
    assert domains.nics.foreign_macs([]) == {MAC: NAME}
    assert domains.nics.addresses(NAME) == {}


def the_cards_of_domains_that_are_not_mcv_s_are_told(stand: Stand) -> None:
    xml = unmarked(stand.definition(uuid=NOBODYS_UUID))
    stand.define_as_others_do(xml.replace("</devices>", f"{_card(mac=MAC)}</devices>"))

    assert stand.domains.nics.foreign_macs([MAC]) == {MAC: NAME}
