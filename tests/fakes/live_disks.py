"""What stands in for libvirt's disks of a running domain: as tests/contract/live_disks.py says."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

from mcv.drivers.libvirt_devices import LETTING_GO, controllers_in, medium_in, targets_in
from mcv.errors import HypervisorFailed

if TYPE_CHECKING:
    from tests.fakes.domains import FakeDomains

USUAL = 64 * 1024**2  # bytes of a disk that nobody has resized


class FakeLiveDisks:
    """The live XML of each active domain; a guest in `deaf` has no driver that lets go."""

    def __init__(self, domains: FakeDomains) -> None:
        self._domains = domains
        self.deaf: set[str] = set()
        self.pending: set[tuple[str, str]] = set()  # asked for, and not let go of
        self.sizes: dict[tuple[str, str], int] = {}  # by domain and target
        self.tuned: dict[tuple[str, str], tuple[int, int]] = {}

    def targets(self, name: str) -> list[str]:
        self._domains._ask()
        domain = self._domains._own(name)
        return targets_in(self._live(domain)) if domain in self._domains.active else []

    def attach(self, name: str, target: str, disk: str, controllers: dict[str, str]) -> None:
        domain = self._domains._find(f"give disk {target} to", name, must_run=True)
        if target in self.targets(name):
            return
        self._domains._may("attach", name)
        present = controllers_in(self._live(domain))
        wanted = [xml for key, xml in controllers.items() if key not in present]
        root = ET.fromstring(self._live(domain))
        devices = root.find("devices")
        assert devices is not None
        for xml in (*wanted, disk):
            devices.append(ET.fromstring(xml))
        self._domains._begun_with[domain] = ET.tostring(root, encoding="unicode")

    def detach(self, name: str, target: str, patience: float = LETTING_GO) -> bool:
        self._domains._may("detach", name)
        if target not in self.targets(name):
            return True
        self.pending.add((name, target))
        if name in self.deaf:
            return False
        self.let_go(name)
        return True

    def let_go(self, name: str) -> None:
        """The guest lets go of what it was asked for, or was reset."""
        domain = self._domains._own(name)
        assert domain is not None
        root = ET.fromstring(self._live(domain))
        devices = root.find("devices")
        assert devices is not None
        for element in devices.findall("disk"):
            target = element.find("target")
            if target is not None and (name, target.get("dev")) in self.pending:
                devices.remove(element)
        self.pending = {asked for asked in self.pending if asked[0] != name}
        self._domains._begun_with[domain] = ET.tostring(root, encoding="unicode")

    def medium(self, name: str, target: str) -> str | None:
        self._domains._ask()
        domain = self._domains._own(name)
        return medium_in(self._live(domain), target) if domain in self._domains.active else None

    def change_medium(self, name: str, target: str, path: str) -> None:
        domain = self._domains._find(f"change the CD in {target} of", name, must_run=True)
        if self.medium(name, target) in (None, path):
            return
        self._domains._may("change the CD", name)
        root = ET.fromstring(self._live(domain))
        for drive in root.iterfind("devices/disk[@device='cdrom']"):
            for source in drive.findall("source"):
                drive.remove(source)
            if path:
                ET.SubElement(drive, "source", file=path)
        self._domains._begun_with[domain] = ET.tostring(root, encoding="unicode")

    def capacity(self, name: str, target: str) -> int:
        self._require(name, target)
        return self.sizes.get((name, target), USUAL)

    def resize(self, name: str, target: str, size: int) -> None:
        self._require(name, target)
        self._domains._may("resize", name)
        self.sizes[name, target] = max(size, self.capacity(name, target))

    def throttle(self, name: str, target: str, iops: int, bandwidth: int) -> None:
        self._require(name, target)
        self._domains._may("throttle", name)
        self.tuned[name, target] = iops, bandwidth

    def limits(self, name: str, target: str) -> tuple[int, int]:
        self._require(name, target)
        return self.tuned.get((name, target), (0, 0))

    def _require(self, name: str, target: str) -> None:
        self._domains._find(f"look at disk {target} of", name, must_run=True)
        if target not in self.targets(name):
            raise HypervisorFailed(f"Could not look at disk {target} of {name}: invalid path.")

    def _live(self, domain: str | None) -> str:
        return self._domains._begun_with[domain or ""]
