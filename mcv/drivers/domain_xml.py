"""The XML by which libvirt knows a VM, built as a tree from the document and a node's facts."""

import secrets
import xml.etree.ElementTree as ET
from collections.abc import Mapping

from mcv.document import overlays
from mcv.document.disks import UNSEEN_ROLES, Disk
from mcv.document.hardware import USUAL_BOOT, Cpu
from mcv.document.model import Vm
from mcv.document.networks import Network
from mcv.drivers import domain_devices, host_device_xml, interface_xml, overlay
from mcv.drivers.domain_reading import INCARNATION, NAMESPACE, OVERLAY, PROCESSOR
from mcv.drivers.domain_source import Source as Source

MAC_PREFIX = "52:54:00"
MOST_CPUS = 255  # of a machine without an IOMMU
CPU_PERIOD = 100_000  # µs over which a limit of the CPU is kept
OF_BEFORE = "pc"  # the machine of a VM of before a VM had one
# The CD drive's name, which no disk has, and its place: the last of the first SATA controller's.
CD = "sdzz"
CD_ADDRESS = {"type": "drive", "controller": "0", "bus": "0", "target": "0", "unit": "5"}
USUAL_VIDEO = "vga"
# mcvd's unit makes it. AppArmor lets a domain NAME write to NAME.log below libvirt's logs.
CONSOLE_LOGS = "/var/log/libvirt/console"


def console_log(name: str) -> str:
    """Where a VM's serial console is logged."""
    return f"{CONSOLE_LOGS}/{name}.log"


def new_mac() -> str:
    """A random address in the range that QEMU guests have."""
    return ":".join([MAC_PREFIX, *(f"{byte:02x}" for byte in secrets.token_bytes(3))])


def domain_xml(
    vm: Vm,
    *,
    sources: Mapping[int, Source],
    networks: Mapping[str, Network],
    node: str,
    domain_type: str,
    emulator: str,
    cd: str = "",
) -> str:
    """The whole definition on a node: `sources` of its disks by id, its networks by name.

    The domain type is kvm, or qemu where there is no KVM. `cd` is the path of the image in its
    CD drive. A card in an unknown network is connected to no bridge.
    """
    domain = ET.Element("domain", type=domain_type)
    _leaf(domain, "name", vm.name)
    _leaf(domain, "uuid", vm.uuid)
    mark = ET.SubElement(ET.SubElement(domain, "metadata"), f"{{{NAMESPACE}}}vm")
    mark.set(INCARNATION, str(vm.incarnation))
    mark.set(PROCESSOR, domain_devices.cpu_words(vm.cpu))
    _leaf(domain, "memory", str(vm.memory), unit="b")
    _vcpu(domain, vm)
    _limit(domain, vm)
    _system(domain, vm, sources)
    _cpu(domain, vm.cpu, domain_type)
    domain_devices.add_clock(domain, vm)
    _leaf(domain, "on_poweroff", "destroy")
    _leaf(domain, "on_reboot", "restart")
    _leaf(domain, "on_crash", "destroy")
    devices = ET.SubElement(domain, "devices")
    _leaf(devices, "emulator", emulator)
    order = boot_order(vm)
    disks = [disk for disk in vm.disks if not disk.leaving and disk.role not in UNSEEN_ROLES]
    for disk in disks:
        _disk(devices, disk, sources[disk.id], order)
    for controller in domain_devices.controllers_of(disks).values():
        devices.append(controller)
    if has_cd_drive(vm):
        devices.append(cd_element(cd if vm.cd else "", order))
    for nic in vm.nics:
        devices.append(interface_xml.element(nic, networks.get(nic.network), node, order))
    if vm.machine:
        domain_devices.add(devices, vm)
    domain_devices.add_agent(devices, vm)
    domain_devices.add_watchdog(devices, vm)
    _consoles(devices, vm)
    for device in vm.devices:
        devices.append(host_device_xml.element(device))
    if vm.overlay:
        mark.set(OVERLAY, overlays.digest(vm.overlay))
        overlay.lay(overlays.parse(vm.overlay), domain)
    ET.indent(domain)
    return ET.tostring(domain, encoding="unicode") + "\n"


def most_cpus(vm: Vm) -> int:
    """How many CPUs the VM can have without another start: twice as many, and at least 4.

    A VM of before a VM had a machine stays as it was.
    """
    return min(MOST_CPUS, max(2 * vm.cpus, 4)) if vm.machine else vm.cpus


def _vcpu(domain: ET.Element, vm: Vm) -> None:
    most = most_cpus(vm)
    current = {"current": str(vm.cpus)} if most != vm.cpus else {}
    _leaf(domain, "vcpu", str(most), **current)


def _limit(domain: ET.Element, vm: Vm) -> None:
    """Hold all threads of the domain together down to the VM's limit, where it has one."""
    if vm.cpu_limit:
        tune = ET.SubElement(domain, "cputune")
        ET.SubElement(tune, "global_period").text = str(CPU_PERIOD)
        ET.SubElement(tune, "global_quota").text = str(quota_of(vm.cpu_limit))


def quota_of(percent: int) -> int:
    """The µs of CPU in each period that a limit in percent of one CPU comes to."""
    return percent * CPU_PERIOD // 100


def _system(domain: ET.Element, vm: Vm, sources: Mapping[int, Source]) -> None:
    system = ET.SubElement(domain, "os")
    _leaf(system, "type", "hvm", arch="x86_64", machine=vm.machine or OF_BEFORE)
    for disk in vm.disks:
        if disk.role == "efi":
            domain_devices.add_uefi(system, sources[disk.id])
    domain_devices.add_kernel(system, vm)
    features = ET.SubElement(domain, "features")
    # Without ACPI the guest never learns that it is asked to shut down.
    ET.SubElement(features, "acpi")
    ET.SubElement(features, "apic")


def _cpu(domain: ET.Element, cpu: Cpu | None, domain_type: str) -> None:
    """The processor; without KVM, QEMU's own unless a model is asked for."""
    if cpu is None or cpu.is_the_hosts:
        if domain_type == "kvm":
            ET.SubElement(domain, "cpu", mode=cpu.model if cpu else "host-model")
        return
    domain.append(domain_devices.cpu_element(cpu))


def boot_order(vm: Vm) -> dict[str, int]:
    """The place of each device in the order of booting: disks by target, cards by address."""
    of_kind = {
        "disk": [disk.target for disk in vm.disks if disk.role == "data" and not disk.leaving],
        "cd": [CD] if has_cd_drive(vm) else [],
        "net": [nic.mac for nic in vm.nics],
    }
    devices = [device for kind in vm.boot or USUAL_BOOT for device in of_kind[kind]]
    return {device: place for place, device in enumerate(devices, 1)}


def has_cd_drive(vm: Vm) -> bool:
    """Whether the VM has a CD drive: where its chipset has the bus, always, so that a CD can come.

    What the VM boots from does not depend on the CD in it.
    """
    return bool(vm.cd) or chipset_has_drive(vm)


def chipset_has_drive(vm: Vm) -> bool:
    return domain_devices.chipset(vm.machine) == domain_devices.Q35


def _disk(devices: ET.Element, disk: Disk, source: Source, order: Mapping[str, int]) -> None:
    element = ET.SubElement(devices, "disk", type=source.type, device="disk")
    # No page cache of the host in between: after a live migration the other host must
    # not read what it remembers.
    driver = ET.SubElement(element, "driver", name="qemu", type=disk.format, cache=disk.cache)
    if disk.cache in ("none", "directsync"):
        driver.set("io", "native")
    if disk.discard:
        driver.set("discard", "unmap")
    attribute = "dev" if source.type == "block" else "file"
    ET.SubElement(element, "source", {attribute: source.path})
    ET.SubElement(element, "target", dev=disk.target, bus=disk.bus)
    if disk.role == "seed":
        ET.SubElement(element, "readonly")
    if disk.iops or disk.bandwidth:
        limits = ET.SubElement(element, "iotune")
        if disk.bandwidth:
            _leaf(limits, "total_bytes_sec", str(disk.bandwidth))
        if disk.iops:
            _leaf(limits, "total_iops_sec", str(disk.iops))
    _boot(element, order.get(disk.target))


def disk_xml(disk: Disk, source: Source) -> str:
    """One disk alone, as libvirt takes it for a domain that runs."""
    devices = ET.Element("devices")
    _disk(devices, disk, source, {})
    return ET.tostring(devices[0], encoding="unicode")


def _boot(device: ET.Element, place: int | None) -> None:
    if place is not None:
        ET.SubElement(device, "boot", order=str(place))


def cd_element(path: str, order: Mapping[str, int]) -> ET.Element:
    """A CD drive on the bus that the machine's chipset has, with an image in it, or empty ("")."""
    element = ET.Element("disk", type="file", device="cdrom")
    ET.SubElement(element, "driver", name="qemu", type="raw")
    if path:
        ET.SubElement(element, "source", file=path)
    ET.SubElement(element, "target", dev=CD, bus="sata")
    ET.SubElement(element, "readonly")
    _boot(element, order.get(CD))
    ET.SubElement(element, "address", CD_ADDRESS)
    return element


def _consoles(devices: ET.Element, vm: Vm) -> None:
    serial = ET.SubElement(devices, "serial", type="pty")
    if vm.machine:
        ET.SubElement(serial, "log", file=console_log(vm.name), append="on")
    ET.SubElement(serial, "target", port="0")
    console = ET.SubElement(devices, "console", type="pty")
    ET.SubElement(console, "target", type="serial", port="0")
    graphics = ET.SubElement(devices, "graphics", type="vnc", port="-1", autoport="yes")
    if vm.keyboard:
        graphics.set("keymap", vm.keyboard)
    ET.SubElement(graphics, "listen", type="address", address="127.0.0.1")
    video = ET.SubElement(devices, "video")
    ET.SubElement(video, "model", type=vm.video or USUAL_VIDEO)
    ET.SubElement(devices, "memballoon", model="virtio")
    rng = ET.SubElement(devices, "rng", model="virtio")
    _leaf(rng, "backend", "/dev/urandom", model="random")


def _leaf(parent: ET.Element, tag: str, text: str, **attributes: str) -> None:
    ET.SubElement(parent, tag, attributes).text = text
