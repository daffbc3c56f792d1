"""What operations may rely on in the cards of a domain that runs.

The guest has no driver: it is asked to let go of a card, and does not. br-lan and br-dmz are
bridges of the host.
"""

import xml.etree.ElementTree as ET

from mcv.document.networks import Network, Nic
from mcv.drivers import interface_xml
from mcv.drivers.libvirt import Hypervisor
from mcv.drivers.libvirt_nics import card_in, macs_in
from tests.contract.domains import NAME, OTHER
from tests.contract.live_disks import Stand

MAC = "52:54:00:00:00:0a"


def _card(bridge: str = "br-lan", link: str = "up") -> str:
    nic = Nic(network="lan", mac=MAC, link="down" if link == "down" else "up")
    element = interface_xml.element(nic, Network(name="lan", bridge=bridge), "n1")
    return ET.tostring(element, encoding="unicode")


def _running(stand: Stand) -> Hypervisor:
    stand.domains.define(stand.definition())
    stand.domains.start(NAME)
    return stand.domains


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


def a_domain_of_mcv_s_is_no_foreign_one(stand: Stand) -> None:
    domains = _running(stand)
    domains.nics.attach(NAME, MAC, _card())

    assert MAC not in domains.nics.foreign_macs()
    assert domains.nics.addresses(NAME) == {}
