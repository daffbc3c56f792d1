"""This host's network cards, and the magic packet that wakes another host by the MAC of its own."""

import contextlib
import ipaddress
import json
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mcv.errors import CommandFailed, McvError, of_system
from mcv.system.process import Run, run

DEVICES = Path("/sys/class/net")
PORT = 9  # discard: no host answers there
TIMES = 3  # that a packet is sent: nobody confirms one
EVERYBODY = "255.255.255.255"
ALL_NODES = "ff02::1"  # IPv6 has no broadcast


class Place(NamedTuple):
    """Where a packet goes: an address, and the device by which it leaves, "" for the usual one."""

    address: str
    device: str

    def __str__(self) -> str:
        return f"{self.address} by {self.device}" if self.device else self.address


Send = Callable[[Place, bytes], None]
Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface


def macs(run: Run = run, devices: Path = DEVICES) -> list[str]:
    """The MACs by which this host can be woken: of its cards, as they were made.

    Bridges, bonds, VLANs, ends of guests and virtual functions are no cards. Raises CommandFailed.
    """
    found = set()
    for link in _listed(run("ip", "-json", "link", "show", timeout=5)):
        card = devices / str(link.get("ifname", ""))
        if not (card / "device").exists() or (card / "device" / "physfn").exists():
            continue
        # A card in a bond shows the bond's MAC, and is woken by its own.
        mac = str(link.get("permaddr") or link.get("address", "")).lower()
        if link.get("link_type") == "ether" and mac.strip("0:"):
            found.add(mac)
    return sorted(found)


def magic(mac: str) -> bytes:
    """The packet that wakes the card with this MAC."""
    return b"\xff" * 6 + bytes.fromhex(mac.replace(":", "")) * 16


def places(addresses: Sequence[str], own: str, run: Run = run) -> list[Place]:
    """Where a packet reaches a host with these addresses, from one with the address `own`.

    In a network that this host shares with it: everybody there, and the network's broadcast
    address. For an address in no such network: the broadcast address that it has if that network
    is as large as the one of `own`; a router may pass that on. Raises CommandFailed.
    """
    networks = list(_networks(run("ip", "-json", "address", "show", "up", timeout=5)))
    found: list[Place] = []
    for text in addresses:
        address = ipaddress.ip_address(text)
        shared = [(device, one) for device, one in networks if address in one.network]
        for device, interface in shared:
            found += _of_network(device, interface)
        if not shared and address.version == 4:
            length = next((one.network.prefixlen for _, one in networks if str(one.ip) == own), 24)
            far = ipaddress.IPv4Network((int(address), min(length, 30)), strict=False)
            found.append(Place(str(far.broadcast_address), ""))
    return list(dict.fromkeys(found))


def _of_network(device: str, interface: Interface) -> list[Place]:
    if isinstance(interface, ipaddress.IPv6Interface):
        return [Place(ALL_NODES, device)]
    return [Place(EVERYBODY, device), Place(str(interface.network.broadcast_address), device)]


def _networks(text: str) -> Iterator[tuple[str, Interface]]:
    """The devices of this host, and its addresses there with their networks."""
    for link in _listed(text):
        for entry in link.get("addr_info", []):
            with contextlib.suppress(ValueError, KeyError):
                interface = ipaddress.ip_interface(f"{entry['local']}/{entry['prefixlen']}")
                if not interface.ip.is_loopback:
                    yield str(link["ifname"]), interface


def _listed(text: str) -> list[dict[str, Any]]:
    try:
        links = json.loads(text or "[]")
    except ValueError as error:
        raise CommandFailed("`ip` printed no list of links.") from error
    return [link for link in links if isinstance(link, dict)]


def send(place: Place, packet: bytes, port: int = PORT) -> None:
    """Send a packet to an address, as a broadcast where it is one. Raises OSError."""
    is_v6 = ":" in place.address
    with socket.socket(socket.AF_INET6 if is_v6 else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        if is_v6:
            index = socket.if_nametoindex(place.device)
            sock.sendto(packet, (place.address, port, 0, index))
            return
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        if place.device:
            # To everybody it would leave by the device of the default route alone.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, place.device.encode())
        sock.sendto(packet, (place.address, port))


def wake(
    macs: Sequence[str], addresses: Sequence[str], own: str, run: Run = run, send: Send = send
) -> list[str]:
    """Send magic packets for these MACs to a host with these addresses; where they went.

    Raises McvError where none could be sent.
    """
    went: list[str] = []
    trouble: McvError | None = None
    for place in places(addresses, own, run):
        try:
            for mac in list(macs) * TIMES:
                send(place, magic(mac))
        except OSError as error:
            trouble = of_system(error)
        else:
            went.append(str(place))
    if not went:
        raise trouble or McvError("There is no network to send a magic packet to.")
    return went
