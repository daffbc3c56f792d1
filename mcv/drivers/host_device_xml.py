"""USB and PCI devices of a host: the addresses that mcv takes, and libvirt's words for them."""

import re
import xml.etree.ElementTree as ET

from mcv.document.hardware import Device

USB_PLACE = re.compile(r"([0-9]{1,3})\.([0-9]{1,3})")
USB_PRODUCT = re.compile(r"([0-9a-f]{4}):([0-9a-f]{4})")
PCI = re.compile(r"([0-9a-f]{4}):([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])")


def canonical(type: str, address: str) -> str:
    """The one spelling of an address; "" for what is none.

    USB: `bus.device` ("1.4") or `vendor:product` ("1d6b:0002"). PCI: `0000:00:02.0`, whose domain
    may be left out.
    """
    text = address.strip().lower()
    if type == "usb":
        if place := USB_PLACE.fullmatch(text):
            return f"{int(place[1])}.{int(place[2])}"
        return text if USB_PRODUCT.fullmatch(text) else ""
    text = text if text.count(":") == 2 else f"0000:{text}"
    return text if PCI.fullmatch(text) else ""


def is_place(device: Device) -> bool:
    """Whether a USB device is named by where it is plugged in, which changes at a replug."""
    return device.type == "usb" and "." in device.address


def element(device: Device) -> ET.Element:
    """A device in libvirt's words: taken from the host's driver, and given back to it."""
    hostdev = ET.Element("hostdev", mode="subsystem", type=device.type, managed="yes")
    source = ET.SubElement(hostdev, "source")
    if device.type == "pci":
        numbers = PCI.fullmatch(device.address)
        assert numbers is not None
        names = ("domain", "bus", "slot", "function")
        words = {name: f"0x{number}" for name, number in zip(names, numbers.groups(), strict=True)}
        ET.SubElement(source, "address", words)
    elif is_place(device):
        bus, number = device.address.split(".")
        ET.SubElement(source, "address", bus=bus, device=number)
    else:
        vendor, product = device.address.split(":")
        ET.SubElement(source, "vendor", id=f"0x{vendor}")
        ET.SubElement(source, "product", id=f"0x{product}")
    return hostdev


def words_of(hostdev: ET.Element) -> str:
    """A host's device of a definition, in the words of its address as libvirt and mcv write it."""
    named = {
        f"{child.tag} {key}": number(value)
        for child in hostdev.iterfind("source/*")
        for key, value in child.attrib.items()
    }
    kind = hostdev.get("type", "")
    if kind == "usb" and "product id" in named:
        return f"USB device {named['vendor id']:04x}:{named['product id']:04x}"
    if kind == "usb":
        return f"USB device {named.get('address bus')}.{named.get('address device')}"
    if kind == "pci":
        names = ("domain", "bus", "slot", "function")
        domain, bus, slot, function = (named.get(f"address {name}", 0) for name in names)
        return f"PCI device {domain:04x}:{bus:02x}:{slot:02x}.{function:x}"
    return f"{kind} device"


def number(text: str) -> int:
    """A number as libvirt writes it; -1 for what is none."""
    try:
        return int(text, 16 if text.startswith("0x") else 10)
    except ValueError:
        return -1


def text(device: Device) -> str:
    """A device alone, as libvirt takes it for a domain that runs."""
    return ET.tostring(element(device), encoding="unicode")
