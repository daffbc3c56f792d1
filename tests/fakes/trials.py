"""Trial definitions of FakeDomains: what they do not like is listed."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

from mcv.drivers.libvirt_trials import PREFIX, as_trial
from mcv.errors import HypervisorFailed

if TYPE_CHECKING:
    from tests.fakes.domains import FakeDomains


class FakeTrials:
    """Takes every definition but those with an element in `unknown`."""

    def __init__(self, domains: FakeDomains) -> None:
        self._domains = domains
        self.unknown: set[str] = {"nonsense"}
        self.tried: list[str] = []

    def why_not(self, xml: str) -> str:
        if "trial" in self._domains.broken:
            raise HypervisorFailed("Could not try a definition: it is broken.")
        trial = as_trial(xml)
        self.tried.append(trial)
        tags = {element.tag for element in ET.fromstring(trial).iter()}
        odd = sorted(tags & self.unknown)
        return f"Element {odd[0]} is not known" if odd else ""

    def remove_left(self) -> list[str]:
        left = [name for name in self._domains.defined if name.startswith(PREFIX)]
        for name in left:
            del self._domains.defined[name]
        return left
