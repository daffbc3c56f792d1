"""What libvirt says of cards and their addresses, read."""

import xml.etree.ElementTree as ET
from typing import Any

import pytest

from mcv.drivers.libvirt_nics import GuestAddress, addresses_of, card_in, changed, macs_in

MAC = "52:54:00:aa:bb:cc"
LIVE = """
<domain><devices><interface type='bridge'>
  <mac address='52:54:00:AA:BB:CC'/><source bridge='br0'/><target dev='vnet0'/>
  <model type='virtio'/><alias name='net0'/><address type='pci' slot='0x03'/>
</interface></devices></domain>
"""


def live() -> ET.Element:
    found = card_in(LIVE, MAC)
    assert found is not None
    return found


def card(source: str, more: str = "", type_: str = "bridge") -> str:
    return (
        f"<interface type='{type_}'><mac address='{MAC}'/>{source}<model type='e1000'/>{more}"
        "</interface>"
    )


def test_a_card_is_found_by_its_mac_in_small_letters() -> None:
    assert macs_in(LIVE) == [MAC]
    assert card_in(LIVE, "52:54:00:00:00:00") is None


@pytest.mark.parametrize("more", ["", "<link state='up'/>"])
def test_a_card_that_is_as_it_should_be_is_left_alone(more: str) -> None:
    assert changed(live(), card("<source bridge='br0'/>", more)) is None


@pytest.mark.parametrize(
    ("source", "type_", "found"),
    [
        ("<source bridge='br1'/>", "bridge", {"bridge": "br1"}),
        ("<source network='mcv-out'/>", "network", {"network": "mcv-out"}),
        ("<source bridge='br0'/>", "bridge", {"bridge": "br0"}),
    ],
)
def test_a_card_keeps_all_but_where_it_is_connected(
    source: str, type_: str, found: dict[str, str]
) -> None:
    text = changed(live(), card(source, "<link state='down'/>", type_))

    assert text is not None
    new = ET.fromstring(text)
    (connected,) = new.findall("source")
    (link,) = new.findall("link")
    assert (new.get("type"), connected.attrib, link.get("state")) == (type_, found, "down")
    kept = {child.tag: child.attrib for child in new}
    assert kept["model"] == {"type": "virtio"} and kept["alias"] == {"name": "net0"}
    assert kept["target"] == {"dev": "vnet0"} and kept["address"]["slot"] == "0x03"


def test_a_link_that_was_down_comes_up() -> None:
    down = live()
    ET.SubElement(down, "link", state="down")

    text = changed(down, card("<source bridge='br0'/>"))

    assert text is not None and '<link state="up" />' in text


def test_addresses_are_by_mac_and_those_of_a_link_alone_are_left_out() -> None:
    told: dict[str, Any] = {
        "lo": {"hwaddr": "00:00:00:00:00:00", "addrs": None},
        "eth0": {
            "hwaddr": MAC.upper(),
            "addrs": [
                {"addr": "192.0.2.7", "prefix": 24, "type": 0},
                {"addr": "fe80::1", "prefix": 64, "type": 1},
                {"addr": "2001:db8::7", "prefix": 64, "type": 1},
                {"addr": "192.0.2.7", "prefix": 0, "type": 0},
            ],
        },
        "eth1": {"hwaddr": "52:54:00:00:00:02", "addrs": []},
    }

    found = addresses_of(told, "agent")

    assert found == {
        MAC: [
            GuestAddress(address="192.0.2.7", source="agent"),
            GuestAddress(address="2001:db8::7", source="agent"),
        ]
    }
