"""Network cards of a host, and the packet that wakes another one."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from mcv.errors import CommandFailed, McvError
from mcv.system import cards
from mcv.system.cards import Place
from mcv.system.process import Run

MAC = "52:54:00:10:99:03"


def link(name: str, mac: str, **values: Any) -> dict[str, Any]:
    return {"ifname": name, "link_type": "ether", "address": mac, **values}


def printed(links: list[dict[str, Any]]) -> Run:
    """A host on which `ip` prints these links."""
    return lambda *command, **_: json.dumps(links)


def network(name: str, *addresses: str) -> dict[str, Any]:
    pairs = (address.split("/") for address in addresses)
    return {"ifname": name, "addr_info": [{"local": ip, "prefixlen": int(n)} for ip, n in pairs]}


LO = network("lo", "127.0.0.1/8", "::1/128")
BR0 = network("br0", "10.0.0.1/24", "fd00::1/64")
DRBD = network("eth1", "10.1.0.1/30")


@pytest.fixture
def devices(tmp_path: Path) -> Path:
    """eth0 and eth1 are cards, eth1v0 a virtual function of the latter; br0 is no card."""
    for name in ("eth0", "eth1", "eth1v0"):
        (tmp_path / name / "device").mkdir(parents=True)
    (tmp_path / "eth1v0" / "device" / "physfn").mkdir()
    (tmp_path / "br0").mkdir()
    return tmp_path


def test_the_cards_of_a_host_are_known_by_the_macs_that_they_were_made_with(devices: Path) -> None:
    run = printed(
        [
            link("br0", "52:54:00:00:00:01"),
            link("eth0", "52:54:00:00:00:03", permaddr="52:54:00:00:00:0A"),
            link("eth1", "52:54:00:00:00:02"),
            link("eth1v0", "52:54:00:00:00:04"),
        ]
    )

    assert cards.macs(run, devices) == ["52:54:00:00:00:02", "52:54:00:00:00:0a"]


def test_what_has_no_mac_of_ethernets_is_no_card(devices: Path) -> None:
    run = printed(
        [link("eth0", "00:00:00:00:00:00"), link("eth1", "00:11:22", link_type="infiniband")]
    )

    assert cards.macs(run, devices) == []
    with pytest.raises(CommandFailed, match="printed no list"):
        cards.macs(lambda *command, **_: "Cannot open netlink socket", devices)


def test_the_packet_is_the_mac_sixteen_times_behind_six_bytes_of_ones() -> None:
    packet = cards.magic(MAC)

    assert packet == b"\xff" * 6 + b"\x52\x54\x00\x10\x99\x03" * 16 and len(packet) == 102


def test_in_a_shared_network_it_goes_to_everybody_and_to_the_broadcast_address() -> None:
    found = cards.places(["10.0.0.3", "10.1.0.2"], "10.0.0.1", printed([LO, BR0, DRBD]))

    assert found == [
        Place("255.255.255.255", "br0"),
        Place("10.0.0.255", "br0"),
        Place("255.255.255.255", "eth1"),
        Place("10.1.0.3", "eth1"),
    ]


def test_ipv6_has_a_group_of_all_nodes_instead() -> None:
    assert cards.places(["fd00::3"], "fd00::1", printed([LO, BR0])) == [Place("ff02::1", "br0")]


@pytest.mark.parametrize(
    ("own", "broadcast"), [("10.0.0.1", "10.9.7.255"), ("10.1.0.1", "10.9.7.7")]
)
def test_in_another_network_its_broadcast_address_is_as_far_as_in_ones_own(
    own: str, broadcast: str
) -> None:
    found = cards.places(["10.9.7.5"], own, printed([LO, BR0, DRBD]))

    assert found == [Place(broadcast, "")]


def test_each_card_is_woken_three_times_at_each_place() -> None:
    sent: list[tuple[str, bytes]] = []

    def send(place: Place, packet: bytes) -> None:
        if place.address == "10.0.0.255":
            raise OSError(101, "Network is unreachable")
        sent.append((str(place), packet))

    went = cards.wake([MAC], ["10.0.0.3"], "10.0.0.1", printed([BR0]), send)

    assert went == ["255.255.255.255 by br0"]
    assert sent == [("255.255.255.255 by br0", cards.magic(MAC))] * 3


def test_a_host_that_can_send_nothing_says_why() -> None:
    def send(place: Place, packet: bytes) -> None:
        raise OSError(101, "Network is unreachable")

    with pytest.raises(McvError, match="Network is unreachable"):
        cards.wake([MAC], ["10.0.0.3"], "10.0.0.1", printed([BR0]), send)
    with pytest.raises(McvError, match="no network"):
        cards.wake([MAC], ["fd00::3"], "10.0.0.1", printed([LO]), send)


@pytest.mark.parametrize("device", ["", "lo"])
def test_a_packet_leaves_by_the_device_that_is_named(device: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
        ear.bind(("127.0.0.1", 0))
        ear.settimeout(5)

        cards.send(Place("127.0.0.1", device), cards.magic(MAC), ear.getsockname()[1])

        assert ear.recv(200) == cards.magic(MAC)
