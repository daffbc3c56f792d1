"""What stands in for QEMU's mirrors: as tests/contract/live_mirrors.py says.

The guest of a disk that is mirrored writes all the time that it runs: to where its domain writes,
and the mirror's volume lacks its last writes until the domain goes over.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import TYPE_CHECKING

from mcv.drivers.domain_source import Source
from mcv.drivers.libvirt_devices import disk_element
from mcv.drivers.libvirt_mirrors import Mirror, source_of
from mcv.errors import HypervisorFailed

if TYPE_CHECKING:
    from tests.fakes.domains import FakeDomains

TOTAL = 64 * 1024**2


class FakeMirrors:
    """Mirrors of active domains, by domain and target; they end with their domain.

    `copy` copies a volume to another one, `write` is the guest's next write to a volume; a
    mirror in `full` ends by itself when it is looked at.
    """

    def __init__(self, domains: FakeDomains) -> None:
        self._domains = domains
        self.at_work: dict[tuple[str, str], tuple[Source, int]] = {}  # and how often seen
        self.moved: set[tuple[str, str]] = set()
        self.copy: Callable[[str, str], None] = lambda source, to: None
        self.write: Callable[[str], None] = lambda path: None
        self.phase: Callable[[str], None] = lambda phase: None  # may raise
        self.full: set[str] = set()

    def source(self, name: str, target: str) -> str:
        self._domains._ask()
        domain = self._domains._own(name)
        if domain not in self._domains.active:
            return ""
        return source_of(self._domains._begun_with[domain or ""], target)

    def seen(self, name: str, target: str) -> Mirror | None:
        if not self.source(name, target):
            self.at_work.pop((name, target), None)
            return None
        if name in self.full:
            self.at_work.pop((name, target), None)
        if (name, target) not in self.at_work:
            return None
        to, looks = self.at_work[name, target]
        self.copy(self.source(name, target), to.path)
        self.at_work[name, target] = to, looks + 1
        self.guest_writes(name)
        return Mirror(path=to.path, ready=looks > 0, done=TOTAL, total=TOTAL)

    def begin(self, name: str, target: str, to: Source, format: str) -> None:
        self._domains._find(f"mirror disk {target} of", name, must_run=True)
        self._domains._may("mirror", name)
        if not self.source(name, target):
            raise HypervisorFailed(f"Could not mirror disk {target} of {name}: no such disk.")
        present = self.seen(name, target)
        if present is not None and present.path != to.path:
            raise HypervisorFailed(f"Disk {target} of {name} is mirrored to {present.path}.")
        if present is None and self.source(name, target) != to.path:
            self.at_work[name, target] = to, 0
            self.guest_writes(name)
            self.phase("mirror begun")

    def pivot(self, name: str, target: str, path: str) -> None:
        domain = self._domains._find(f"move disk {target} of", name, must_run=True)
        if self.source(name, target) == path:
            return
        self._domains._may("pivot", name)
        self.guest_writes(name)
        to, looks = self.at_work.get((name, target), (None, 0))
        if to is None or to.path != path or not looks:
            raise HypervisorFailed(f"Could not move disk {target} of {name}: no ready mirror.")
        self.phase("mirror is to end")
        self.copy(self.source(name, target), path)
        self._place(domain, target, to)
        del self.at_work[name, target]
        self.moved.add((name, target))
        self.guest_writes(name)
        self.phase("mirror has ended")

    def end(self, name: str, target: str) -> None:
        self._domains._may("end", name)
        self.at_work.pop((name, target), None)
        self.guest_writes(name)

    def guest_writes(self, name: str) -> None:
        """A guest that runs writes to each of its disks that is, or was, mirrored."""
        if self._domains.state(name) == "running":
            for domain, target in sorted({*self.at_work, *self.moved}):
                if domain == name:
                    self.write(self.source(name, target))

    def _place(self, domain: str, target: str, to: Source) -> None:
        xml = self._domains._begun_with[domain]
        root = ET.fromstring(xml)
        for element in root.iterfind("devices/disk"):
            found = element.find("target")
            if found is not None and found.get("dev") == target:
                old = element.find("source")
                assert old is not None and disk_element(xml, target) is not None
                element.set("type", to.type)
                old.attrib.clear()
                old.set("dev" if to.type == "block" else "file", to.path)
        self._domains._begun_with[domain] = ET.tostring(root, encoding="unicode")
