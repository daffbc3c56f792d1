"""The cards of a domain that runs: plugged in, pulled out, connected elsewhere; their addresses."""

import contextlib
import time
import xml.etree.ElementTree as ET
from collections.abc import Collection, Iterable
from typing import Any

from mcv.document.generation import Value
from mcv.drivers.domain_devices import AGENT
from mcv.drivers.domain_reading import is_ours
from mcv.drivers.libvirt_connection import (
    Connection,
    change,
    ignoring_missing,
    libvirt_module,
    read,
    slow_read,
)

LETTING_GO = 15.0  # s that a guest has to let go of a card
PAUSE = 0.25
LINK_LOCAL = ("fe80:", "169.254.")


class GuestAddress(Value, frozen=True, kw_only=True):
    """An address of a guest's card, and who says so: its agent, the leases, or the host's ARP."""

    address: str
    source: str


Addresses = dict[str, list[GuestAddress]]


class LiveNics:
    """Talks to libvirt about the cards that a running domain has now: its live XML counts.

    A card is named by its MAC, in small letters. A domain that is not active has none.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @read
    def macs(self, name: str) -> list[str]:
        """The MACs of the cards that the domain has now."""
        with self._connection.domain(name, "look at", missing_ok=True) as domain:
            return [] if domain is None or not domain.isActive() else macs_in(_live(domain))

    @change
    def attach(self, name: str, mac: str, card: str) -> None:
        """Plug a card in; harmless where the domain has it."""
        with self._connection.domain(name, f"give card {mac} to") as domain:
            if mac not in macs_in(_live(domain)):
                domain.attachDeviceFlags(card, _live_only())

    @change
    def update(self, name: str, mac: str, card: str) -> None:
        """Connect a card, and set its link, as XML of it says; harmless where it is so.

        Its model stays what the guest knows.
        """
        with self._connection.domain(name, f"change card {mac} of") as domain:
            live = card_in(_live(domain), mac)
            if live is not None and (new := changed(live, card)) is not None:
                domain.updateDeviceFlags(new, _live_only())

    @change
    def detach(self, name: str, mac: str, patience: float = LETTING_GO) -> bool:
        """Ask the guest to let go of a card; whether the domain does not have it any more."""
        with self._connection.domain(name, f"take card {mac} from", missing_ok=True) as domain:
            until = time.monotonic() + patience
            while domain is not None and domain.isActive() and mac in macs_in(_live(domain)):
                _ask_to_let_go(domain, mac)
                if time.monotonic() > until:
                    return False
                time.sleep(PAUSE)
            return True

    @slow_read
    def addresses(self, name: str) -> Addresses:
        """The addresses of the domain's guest by MAC, each from the best source that has any.

        The guest's agent is asked where it is connected, then libvirt's leases are, and what the
        host has seen (ARP). Addresses of a link alone are left out.
        """
        with self._connection.domain(name, "look at", missing_ok=True) as domain:
            if domain is None or not domain.isActive():
                return {}
            found: Addresses = {}
            for source in _sources(_live(domain)):
                for mac, addresses in _told(domain, source).items():
                    found.setdefault(mac, addresses)
            return found

    @read
    def foreign_macs(self, known: Collection[str]) -> dict[str, str]:
        """The MACs of the cards of domains that are not mcv's, and the domains' names.

        With them those of cards that mcv's domains have now, and that are not `known`.
        """
        with self._connection.translated("Could not read the domains"):
            domains = self._connection.retrying(lambda connection: connection.listAllDomains(0))
            found: dict[str, str] = {}
            for domain in domains:
                with ignoring_missing():
                    xml = _live(domain)
                    own = set(known) if is_ours(xml) else set()
                    found |= dict.fromkeys(set(macs_in(xml)) - own, str(domain.name()))
            return found


def macs_in(xml: str) -> list[str]:
    """The MACs of the cards of a definition, in small letters."""
    cards = ET.fromstring(xml).iterfind("devices/interface/mac")
    return [card.get("address", "").lower() for card in cards]


def card_in(xml: str, mac: str) -> ET.Element | None:
    """The card of a MAC in a definition."""
    for card in ET.fromstring(xml).iterfind("devices/interface"):
        found = card.find("mac")
        if found is not None and found.get("address", "").lower() == mac:
            return card
    return None


def changed(live: ET.Element, card: str) -> str | None:
    """A live card connected, and linked, as another says; None where it is so."""
    wanted = ET.fromstring(card)
    key = "network" if wanted.get("type") == "network" else "bridge"
    is_connected = wanted.get("type") == live.get("type") and _of(live, "source", key) == _of(
        wanted, "source", key
    )
    link = _of(wanted, "link", "state") or "up"
    if is_connected and (_of(live, "link", "state") or "up") == link:
        return None
    if not is_connected:
        live.set("type", str(wanted.get("type")))
        for old in live.findall("source"):
            live.remove(old)
        ET.SubElement(live, "source", {key: _of(wanted, "source", key)})
    for old in live.findall("link"):
        live.remove(old)
    ET.SubElement(live, "link", state=link)
    return ET.tostring(live, encoding="unicode")


def _of(parent: ET.Element, tag: str, attribute: str) -> str:
    found = parent.find(tag)
    return "" if found is None else found.get(attribute, "")


def _sources(xml: str) -> Iterable[str]:
    channels = ET.fromstring(xml).iterfind("devices/channel/target")
    if any((one.get("name"), one.get("state")) == (AGENT, "connected") for one in channels):
        yield "agent"
    yield "lease"
    yield "arp"


def _told(domain: Any, source: str) -> Addresses:
    """What one source says; nothing where libvirt, or the guest, does not answer it."""
    libvirt = libvirt_module()
    number = getattr(libvirt, f"VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_{source.upper()}")
    told: dict[str, Any] = {}
    with contextlib.suppress(libvirt.libvirtError):
        told = domain.interfaceAddresses(number, 0) or {}
    return addresses_of(told, source)


def addresses_of(told: dict[str, Any], source: str) -> Addresses:
    """What libvirt says of a guest's interfaces, by MAC."""
    found: Addresses = {}
    for interface in told.values():
        mac = str(interface.get("hwaddr") or "").lower()
        known = found.setdefault(mac, [])
        for each in interface.get("addrs") or ():
            address = str(each["addr"])
            new = GuestAddress(address=address, source=source)
            if not address.lower().startswith(LINK_LOCAL) and new not in known:
                known.append(new)
    return {mac: addresses for mac, addresses in found.items() if mac and addresses}


def _live(domain: Any) -> str:
    return str(domain.XMLDesc(0))


def _live_only() -> int:
    return int(libvirt_module().VIR_DOMAIN_AFFECT_LIVE)


def _ask_to_let_go(domain: Any, mac: str) -> None:
    """Ask QEMU to pull the card out. Where it was asked already libvirt refuses to ask again."""
    libvirt = libvirt_module()
    card = card_in(_live(domain), mac)
    if card is None:
        return
    try:
        domain.detachDeviceFlags(ET.tostring(card, encoding="unicode"), _live_only())
    except libvirt.libvirtError as error:
        in_progress = "in the process of unplug" in error.get_error_message()
        is_gone = error.get_error_code() in (
            libvirt.VIR_ERR_DEVICE_MISSING,
            libvirt.VIR_ERR_OPERATION_FAILED,
        ) and mac not in macs_in(_live(domain))
        if not (in_progress or is_gone):
            raise
