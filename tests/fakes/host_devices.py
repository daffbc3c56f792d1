"""The USB and PCI devices of a host that is not there, and of the domains on it."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

from mcv.document.hardware import Device
from mcv.drivers import host_device_xml
from mcv.drivers.host_devices import HostDevice
from mcv.drivers.libvirt_host_devices import find
from mcv.errors import HypervisorFailed

if TYPE_CHECKING:
    from tests.fakes.domains import FakeDomains

STICK = HostDevice(type="usb", address="1.4", product="1d6b:0002", name="Linux stick")
CARD = HostDevice(
    type="pci", address="0000:03:00.0", name="8086:10d3, class 0200", driver="e1000e", group="7"
)


class FakeHostDevices:
    """The devices of a host: a USB stick and a network card, each of its own."""

    def __init__(self) -> None:
        self.present = [STICK, CARD]
        self.iommu = True

    def all(self) -> list[HostDevice]:
        return list(self.present)

    def has_iommu(self) -> bool:
        return self.iommu


class FakeDevicesOfDomains:
    """The devices of the host that the running domains of FakeDomains have."""

    def __init__(self, domains: FakeDomains) -> None:
        self._domains = domains

    def has(self, name: str, device: Device) -> bool:
        domain = self._domains._own(name) or ""
        return domain in self._domains.active and find(self._xml(domain), device) is not None

    def attach(self, name: str, device: Device) -> None:
        domain = self._domains._own(name) or ""
        if domain not in self._domains.active or self.has(name, device):
            return
        if "attach" in self._domains.broken:
            raise HypervisorFailed(f"Could not give {device.address} to {name}: it is broken.")
        root = ET.fromstring(self._xml(domain))
        devices = root.find("devices")
        assert devices is not None
        devices.append(host_device_xml.element(device))
        self._domains._begun_with[domain] = ET.tostring(root, encoding="unicode")

    def detach(self, name: str, device: Device) -> None:
        domain = self._domains._own(name) or ""
        if not self.has(name, device):
            return
        if "detach" in self._domains.broken:
            raise HypervisorFailed(f"Could not take {device.address} from {name}: it is broken.")
        root = ET.fromstring(self._xml(domain))
        devices = root.find("devices")
        assert devices is not None
        for element in list(devices):
            text = f"<domain><devices>{ET.tostring(element, encoding='unicode')}</devices></domain>"
            if find(text, device) is not None:
                devices.remove(element)
        self._domains._begun_with[domain] = ET.tostring(root, encoding="unicode")

    def _xml(self, domain: str) -> str:
        return self._domains._begun_with[domain]
