"""The devices of a new VM's machine, and what of a machine is compared with the document."""

import xml.etree.ElementTree as ET
from collections.abc import Sequence

from msgspec.structs import asdict

from mcv.document.disks import BOOT_ROLES, Disk, Role
from mcv.document.generation import Value
from mcv.document.hardware import Cpu
from mcv.document.model import Vm
from mcv.drivers import firmware
from mcv.drivers.domain_source import Source

# libvirt itself leaves one free port, and the second device that is plugged in fails.
ROOT_PORTS = 16
ON_A_CONTROLLER = 15  # disks that libvirt puts on a SCSI controller
AGENT = "org.qemu.guest_agent.0"
LAST_SLOT = {"type": "pci", "domain": "0", "bus": "0", "slot": "0x1f", "function": "0"}
Q35, PC = "q35", "pc"
OF_PCI = ("e1000", "rtl8139", "ne2k_pci", "pcnet")  # cards that are no PCIe devices
# The same on every node: domains name it.
BOOT_FILES = "/var/lib/mcv/boot"
OUR_NETWORKS = "mcv-"


def add(devices: ET.Element, vm: Vm) -> None:
    """Add ports for devices that are plugged in later."""
    if chipset(vm.machine) == Q35:
        for index in range(1, ROOT_PORTS + 1):
            ET.SubElement(
                devices, "controller", type="pci", index=str(index), model="pcie-root-port"
            )
        _add_bridge(devices, vm)


def _add_bridge(devices: ET.Element, vm: Vm) -> None:
    """Add the bridge to PCI for devices that are no PCIe ones, behind the last port.

    libvirt would put it behind the first port: every device would have another address then, and
    the guest's network cards other names.
    """
    if vm.watchdog or any(nic.model in OF_PCI for nic in vm.nics):
        bridge = {"type": "pci", "index": str(ROOT_PORTS + 1), "model": "pcie-to-pci-bridge"}
        element = ET.SubElement(devices, "controller", bridge)
        ET.SubElement(element, "address", type="pci", bus=str(ROOT_PORTS), slot="0")


def add_agent(devices: ET.Element, vm: Vm) -> None:
    """Add the channel of the guest's agent.

    A VM of before a VM had a machine did not have it. Its controller gets a slot behind all
    others, so that its guest finds every other device where it was.
    """
    if not vm.machine:
        controller = ET.SubElement(devices, "controller", type="virtio-serial", index="0")
        ET.SubElement(controller, "address", LAST_SLOT)
    channel = ET.SubElement(devices, "channel", type="unix")
    ET.SubElement(channel, "target", type="virtio", name=AGENT)


def add_watchdog(devices: ET.Element, vm: Vm) -> None:
    """Add the watchdog, where the VM has one: what happens when its guest stops feeding it."""
    if vm.watchdog:
        ET.SubElement(devices, "watchdog", model="i6300esb", action=vm.watchdog)


def controllers_of(disks: Sequence[Disk]) -> dict[str, ET.Element]:
    """The controllers that disks need beside the machine's own, by kind and index: "scsi 0".

    libvirt adds what is missing by itself, but takes a SCSI controller that few guests know.
    """
    indices = sorted({(disk.id - 1) // ON_A_CONTROLLER for disk in disks if disk.bus == "scsi"})
    return {
        f"scsi {index}": ET.Element(
            "controller", type="scsi", index=str(index), model="virtio-scsi"
        )
        for index in indices
    }


def add_uefi(system: ET.Element, variables: Source) -> None:
    """Boot by UEFI, without Secure Boot, whose variables are what is named."""
    loader = ET.SubElement(system, "loader", readonly="yes", type="pflash")
    loader.text = str(firmware.CODE)
    nvram = ET.SubElement(system, "nvram", type=variables.type)
    attribute = "dev" if variables.type == "block" else "file"
    ET.SubElement(nvram, "source", {attribute: variables.path})


def boot_file(name: str, role: Role) -> str:
    """Where a node has the kernel or the initrd of a VM, for QEMU."""
    return f"{BOOT_FILES}/{name}.{role}"


def add_kernel(system: ET.Element, vm: Vm) -> None:
    """Boot a kernel directly, where the VM has one."""
    roles = [disk.role for disk in vm.disks if not disk.leaving]
    if "kernel" not in roles:
        return
    for role in BOOT_ROLES:
        if role in roles:
            ET.SubElement(system, role).text = boot_file(vm.name, role)
    if vm.append:
        ET.SubElement(system, "cmdline").text = vm.append


def add_clock(domain: ET.Element, vm: Vm) -> None:
    """Let the hardware clock show UTC, or the time of the host, or of a zone."""
    if vm.clock in ("", "utc", "localtime"):
        ET.SubElement(domain, "clock", offset=vm.clock or "utc")
    else:
        ET.SubElement(domain, "clock", offset="timezone", timezone=vm.clock)


def cpu_words(cpu: Cpu | None) -> str:
    """What processor was asked for, in a line; "" for what is usual."""
    if cpu is None:
        return ""
    signs = {"require": "+", "disable": "-"}
    features = [f"{signs[policy]}{feature}" for feature, policy in sorted(cpu.features.items())]
    return " ".join([cpu.model, *features])


def cpu_element(cpu: Cpu) -> ET.Element:
    """A processor in libvirt's words."""
    element = ET.Element("cpu", mode="custom", match="exact")
    # Another model than the one that was asked for would be another machine after a move.
    ET.SubElement(element, "model", fallback="forbid").text = cpu.model
    for feature, policy in sorted(cpu.features.items()):
        ET.SubElement(element, "feature", policy=policy, name=feature)
    return element


def network_name(network: str) -> str:
    """What libvirt calls a network of the document that is libvirt's own."""
    return f"{OUR_NETWORKS}{network}"


def chipset(machine: str) -> str:
    """The kind of machine: libvirt writes pc-q35-7.2 for q35, and pc-i440fx-7.2 for pc."""
    return Q35 if Q35 in machine.split("-") else PC


class Hardware(Value, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """What a definition says of the machine; it crosses between nodes."""

    machine: str  # its chipset
    cd: str = ""  # the file in the CD drive
    nvram: str = ""  # where the variables of UEFI are
    kernel: str = ""  # what is booted directly, its words and its initrd
    initrd: str = ""
    append: str = ""
    boot: tuple[str, ...] = ()  # what it boots from: targets of disks, addresses of cards


def hardware(xml: str) -> Hardware:
    """Read a definition, one of mcv's or as libvirt gives it back."""
    root = ET.fromstring(xml)
    kind = root.find("os/type")
    drive = root.find("devices/disk[@device='cdrom']/source")
    return Hardware(
        machine=chipset("" if kind is None else kind.get("machine", "")),
        cd="" if drive is None else drive.get("file", ""),
        nvram=_nvram(root),
        kernel=root.findtext("os/kernel", ""),
        initrd=root.findtext("os/initrd", ""),
        append=root.findtext("os/cmdline", ""),
        boot=_boot(root),
    )


def _nvram(root: ET.Element) -> str:
    """The path of the variables; libvirt writes a file's as the element's text."""
    nvram = root.find("os/nvram")
    if nvram is None:
        return ""
    source = nvram.find("source")
    if source is None:
        return (nvram.text or "").strip()
    return source.get("dev", "") or source.get("file", "")


def differing(wanted: Hardware, defined: Hardware) -> list[str]:
    """The parts of the machine in which two definitions differ."""
    both = (asdict(wanted), asdict(defined))
    return [part for part in both[0] if both[0][part] != both[1][part]]


def _boot(root: ET.Element) -> tuple[str, ...]:
    places: dict[int, str] = {}
    for device in (*root.iterfind("devices/disk"), *root.iterfind("devices/interface")):
        place, name = device.find("boot"), _name(device)
        if place is not None and place.get("order", "").isdigit():
            places[int(place.get("order", ""))] = name
    return tuple(name for _, name in sorted(places.items()))


def _name(device: ET.Element) -> str:
    """What the document's order of booting calls a device."""
    mac, target = device.find("mac"), device.find("target")
    if device.tag == "interface":
        return "" if mac is None else mac.get("address", "")
    return "" if target is None else target.get("dev", "")
