"""Devices of the host and the domain that has them: steps of plans, on this node.

The dispatcher holds the VM's lock and has checked the claim. Each step is harmless when it is
done, and where the VM is not active.
"""

from typing import Any

import msgspec
from msgspec.structs import replace

from mcv.document.hardware import Device
from mcv.host import Host
from mcv.vm import definition


def _read(device: dict[str, Any]) -> Device:
    return msgspec.convert(device, Device)


def withhold(host: Host, name: str, device: dict[str, Any]) -> None:
    """Define the VM without a device that it has in the document."""
    vm = host.both()[-1].vm(name)
    kept = tuple(each for each in vm.devices if each != _read(device))
    host.domains.define(definition.of(host, replace(vm, devices=kept)))


def attach(host: Host, name: str, device: dict[str, Any]) -> None:
    """Give a USB device to the guest that runs. A PCI device comes with the next start."""
    wanted = _read(device)
    if wanted.type == "usb":
        host.domains.host_devices.attach(name, wanted)


def detach(host: Host, name: str, device: dict[str, Any]) -> None:
    """Take a USB device from the guest that runs. A PCI device goes when the guest stops."""
    wanted = _read(device)
    if wanted.type == "usb":
        host.domains.host_devices.detach(name, wanted)
