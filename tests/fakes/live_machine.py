"""What stands in for the live machine of libvirt: as tests/contract/live_machine.py says."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

from mcv.drivers.domain_reading import bytes_of
from mcv.errors import HypervisorFailed

if TYPE_CHECKING:
    from tests.fakes.domains import FakeDomains


class FakeLiveMachine:
    """The live XML of each active domain; a guest in `deaf` has no driver of the balloon."""

    def __init__(self, domains: FakeDomains) -> None:
        self._domains = domains
        self.deaf: set[str] = set()

    def set_memory(self, name: str, size: int) -> None:
        domain, root = self._live("change the memory of", name)
        if size > bytes_of(root.find("memory")):
            raise HypervisorFailed(f"Could not change the memory of {name}: it is too much.")
        if name not in self.deaf:
            current = root.find("currentMemory")
            current = ET.SubElement(root, "currentMemory") if current is None else current
            current.text = str(size // 1024)
        self._keep(domain, root)

    def set_cpus(self, name: str, number: int) -> None:
        domain, root = self._live("give CPUs to", name)
        vcpu = root.find("vcpu")
        assert vcpu is not None
        if number > int(vcpu.text or "1"):
            raise HypervisorFailed(f"Could not give CPUs to {name}: it is too many.")
        if number > int(vcpu.get("current", vcpu.text or "1")):
            vcpu.set("current", str(number))
        self._keep(domain, root)

    def set_cpu_limit(self, name: str, percent: int) -> None:
        domain, root = self._live("limit the CPU of", name)
        for old in root.findall("cputune"):
            root.remove(old)
        tune = ET.SubElement(root, "cputune")
        ET.SubElement(tune, "global_period").text = "100000"
        ET.SubElement(tune, "global_quota").text = str(percent * 1000 if percent else -1)
        self._keep(domain, root)

    def _live(self, verb: str, name: str) -> tuple[str, ET.Element]:
        domain = self._domains._find(verb, name, must_run=True)
        self._domains._may(verb, name)
        return domain, ET.fromstring(self._domains._begun_with[domain])

    def _keep(self, domain: str, root: ET.Element) -> None:
        self._domains._begun_with[domain] = ET.tostring(root, encoding="unicode")
