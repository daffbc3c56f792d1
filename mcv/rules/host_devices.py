"""May a VM be given a device of its host, and may it start with it: values in, refusals out.

Addresses are per host: the same one on another node is another device.
"""

from collections.abc import Iterator, Sequence

from mcv.document.hardware import Device
from mcv.document.model import Cluster, Vm
from mcv.drivers import host_device_xml
from mcv.drivers.host_devices import HostDevice
from mcv.errors import Refused

VFIO = "vfio-pci"  # the driver that a device has while a guest has it


def in_words(device: Device) -> str:
    return f"{device.type.upper()} device {device.address}"


def meant(device: Device, present: Sequence[HostDevice]) -> list[HostDevice]:
    """The devices of a host that a device of the document may be."""
    return [each for each in present if each.is_meant(device)]


def why_not_add(
    cluster: Cluster, vm: Vm, device: Device, present: Sequence[HostDevice], has_iommu: bool
) -> list[Refused]:
    """Everything that forbids to give a VM a device of its owner."""
    if device in vm.devices:
        return [Refused(f"{vm.name} has {in_words(device)} already.", _listed(vm))]
    problems = _why_not_there(vm, device, present)
    if device.type == "pci" and not problems:
        problems += list(_why_not_apart(device, present, has_iommu))
    return [*problems, *_taken(cluster, vm, device, present)]


def why_not_start(vm: Vm, node: str, present: Sequence[HostDevice]) -> list[Refused]:
    """What forbids a start of the VM on a node that has these devices now."""
    problems = []
    for device in vm.devices:
        if device.node != node:
            problems.append(
                Refused(f"{vm.name} has {in_words(device)} of {device.node}.", _away(vm, device))
            )
        else:
            problems += _why_not_there(vm, device, present)
    return problems


def _why_not_there(vm: Vm, device: Device, present: Sequence[HostDevice]) -> list[Refused]:
    """What is wrong with a device on its host now, whoever is to have it."""
    found = meant(device, present)
    if not found:
        hint = f"mcv device list --node {device.node}"
        if device in vm.devices:
            hint += f"; without it: {_away(vm, device)}"
        return [Refused(f"{device.node} has no {in_words(device)} now.", hint)]
    if len(found) > 1:
        places = ", ".join(each.address for each in found)
        return [
            Refused(
                f"{device.node} has {len(found)} devices {device.address}.",
                f"Say which by its place: {places}",
            )
        ]
    if found[0].used:
        return [
            Refused(
                f"{device.node} itself uses {in_words(device)}: {found[0].used}.",
                f"End that on {device.node} first: a guest would take it from the host.",
            )
        ]
    return []


def _why_not_apart(
    device: Device, present: Sequence[HostDevice], has_iommu: bool
) -> Iterator[Refused]:
    """Why a PCI device cannot be kept apart from the rest of the host."""
    (found,) = meant(device, present)
    if not has_iommu or not found.group:
        yield Refused(
            f"{device.node} has no IOMMU in use, so a guest's PCI device could reach all memory.",
            f"Switch it on in the firmware of {device.node} (VT-d, AMD-Vi) and on its kernel's "
            "command line (intel_iommu=on)",
        )
        return
    others = [
        f"{each.address} ({each.driver})"
        for each in present
        if each.group == found.group and each != found and each.driver not in ("", VFIO)
    ]
    if others:
        yield Refused(
            f"{in_words(device)} shares IOMMU group {found.group} of {device.node} with "
            f"{', '.join(others)}, which the host uses.",
            "A group is a guest's as a whole.",
        )


def _taken(
    cluster: Cluster, vm: Vm, device: Device, present: Sequence[HostDevice]
) -> Iterator[Refused]:
    """The VM that has the device already, be it under its other address."""
    for other in cluster.vms.values():
        for theirs in other.devices:
            if theirs.node == device.node and _are_one(device, theirs, present):
                yield Refused(
                    f"{in_words(device)} of {device.node} is {other.name}'s already"
                    f"{f' ({theirs.address})' if theirs.address != device.address else ''}.",
                    _away(other, theirs),
                )


def _are_one(device: Device, other: Device, present: Sequence[HostDevice]) -> bool:
    is_same = (device.type, device.address) == (other.type, other.address)
    return is_same or any(each.is_meant(device) and each.is_meant(other) for each in present)


def _away(vm: Vm, device: Device) -> str:
    return f"mcv device remove {vm.name} {device.type} {device.address}"


def _listed(vm: Vm) -> str:
    return f"See: mcv device list {vm.name}"


def caution(device: Device) -> str:
    """What to know of an address that was given; "" for nothing."""
    if host_device_xml.is_place(device):
        return "An address bus.device changes when it is plugged in anew; vendor:product does not."
    return ""
