"""What stands in for libvirt's cards of a running domain: as tests/contract/live_nics.py says."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Collection
from typing import TYPE_CHECKING

from mcv.drivers.domain_reading import is_ours
from mcv.drivers.libvirt_nics import LETTING_GO, Addresses, card_in, changed, macs_in

if TYPE_CHECKING:
    from tests.fakes.domains import FakeDomains


class FakeLiveNics:
    """The live XML of each active domain; a guest in `deaf` has no driver that lets go."""

    def __init__(self, domains: FakeDomains) -> None:
        self._domains = domains
        self.deaf: set[str] = set()
        self.told: dict[str, Addresses] = {}

    def macs(self, name: str) -> list[str]:
        self._domains._ask()
        domain = self._domains._own(name)
        return macs_in(self._live(domain)) if domain in self._domains.active else []

    def attach(self, name: str, mac: str, card: str) -> None:
        domain = self._domains._find(f"give card {mac} to", name, must_run=True)
        if mac not in self.macs(name):
            self._domains._may("attach", name)
            self._change(domain, None, ET.fromstring(card))

    def update(self, name: str, mac: str, card: str) -> None:
        domain = self._domains._find(f"change card {mac} of", name)
        if domain not in self._domains.active:
            return
        live = card_in(self._live(domain), mac)
        if live is not None and (new := changed(live, card)) is not None:
            self._domains._may("update", name)
            self._change(domain, mac, ET.fromstring(new))

    def detach(self, name: str, mac: str, patience: float = LETTING_GO) -> bool:
        self._domains._may("detach", name)
        if mac not in self.macs(name):
            return True
        if name in self.deaf:
            return False
        self._change(self._domains._own(name) or "", mac, None)
        return True

    def addresses(self, name: str) -> Addresses:
        self._domains._ask()
        return self.told.get(name, {})

    def foreign_macs(self, known: Collection[str]) -> dict[str, str]:
        self._domains._ask()
        present = {
            name: self._live(name) if name in self._domains.active else xml
            for name, xml in self._domains._all().items()
        }
        return {
            mac: name
            for name, xml in present.items()
            for mac in macs_in(xml)
            if not (is_ours(xml) and mac in known)
        }

    def _change(self, domain: str, mac: str | None, new: ET.Element | None) -> None:
        root = ET.fromstring(self._live(domain))
        devices = root.find("devices")
        assert devices is not None
        for card in devices.findall("interface"):
            found = card.find("mac")
            if found is not None and found.get("address", "").lower() == mac:
                devices.remove(card)
        if new is not None:
            devices.append(new)
        self._domains._begun_with[domain] = ET.tostring(root, encoding="unicode")

    def _live(self, domain: str | None) -> str:
        return self._domains._begun_with[domain or ""]
