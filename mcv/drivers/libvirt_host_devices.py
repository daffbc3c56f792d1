"""Devices of the host that a running domain has: given and taken, by its live XML."""

import xml.etree.ElementTree as ET

from mcv.document.hardware import Device
from mcv.drivers import host_device_xml
from mcv.drivers.libvirt_connection import Connection, change, libvirt_module, read


class LiveHostDevices:
    """Talks to libvirt about the host's devices of a domain that runs."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @read
    def has(self, name: str, device: Device) -> bool:
        """Whether the domain that runs has a device; False where it does not run."""
        with self._connection.domain(name, "look at", missing_ok=True) as domain:
            if domain is None or not domain.isActive():
                return False
            return find(str(domain.XMLDesc(0)), device) is not None

    @change
    def attach(self, name: str, device: Device) -> None:
        """Give a device to the domain that runs; harmless where it has it, or does not run."""
        verb = f"give {device.type} {device.address} to"
        with self._connection.domain(name, verb, missing_ok=True) as domain:
            if domain is None or not domain.isActive():
                return
            if find(str(domain.XMLDesc(0)), device) is None:
                text = host_device_xml.text(device)
                domain.attachDeviceFlags(text, libvirt_module().VIR_DOMAIN_AFFECT_LIVE)

    @change
    def detach(self, name: str, device: Device) -> None:
        """Take a device from the domain that runs; harmless where it has it not."""
        verb = f"take {device.type} {device.address} from"
        with self._connection.domain(name, verb, missing_ok=True) as domain:
            if domain is None or not domain.isActive():
                return
            element = find(str(domain.XMLDesc(0)), device)
            if element is not None:
                text = ET.tostring(element, encoding="unicode")
                domain.detachDeviceFlags(text, libvirt_module().VIR_DOMAIN_AFFECT_LIVE)


def find(xml: str, device: Device) -> ET.Element | None:
    """The host's device in a definition, by the address that it was given by."""
    wanted = _source(host_device_xml.element(device))
    for element in ET.fromstring(xml).iterfind("devices/hostdev"):
        if element.get("type") == device.type and wanted.items() <= _source(element).items():
            return element
    return None


def any_in(xml: str) -> bool:
    """Whether a definition has a device of a host."""
    return ET.fromstring(xml).find("devices/hostdev") is not None


def _source(element: ET.Element) -> dict[str, int]:
    """What a device is named by, with numbers as such: libvirt writes them in its own way."""
    source = element.find("source")
    return {
        f"{child.tag} {key}": host_device_xml.number(value)
        for child in (source if source is not None else ())
        for key, value in child.attrib.items()
    }
