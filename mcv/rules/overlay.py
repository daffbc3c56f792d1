"""What an overlay may not touch: judged on the parsed tree, so every spelling is one."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator

from mcv.document import overlays
from mcv.document.model import Cluster, Vm
from mcv.drivers import overlay as laying
from mcv.drivers.domain_devices import AGENT
from mcv.errors import Refused

MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
OF_QEMU = f"{{{overlays.QEMU}}}"

UPDATE = "mcv update {} --help"
ITS_OWN = "It is how the VM is known."
ENDS = "mcv has to see that the guest has ended."
BOOT = "What a VM boots is a disk of it: mcv create --help, mcv disk --help"

# What is refused by its place, and what to do instead. "@" begins an attribute.
UNTOUCHABLE = {
    "@type": ITS_OWN,
    "@id": ITS_OWN,
    "name": "mcv rename {} NEW",
    "uuid": ITS_OWN,
    "metadata": ITS_OWN,
    "memory": UPDATE,
    "currentMemory": UPDATE,
    "maxMemory": UPDATE,
    "vcpu": UPDATE,
    "vcpus": UPDATE,
    "seclabel": "libvirt keeps guests apart by it.",
    "on_poweroff": ENDS,
    "on_crash": ENDS,
    "cpu/@mode": UPDATE,
    "cpu/@match": UPDATE,
    "cpu/model": UPDATE,
    "os/@firmware": BOOT,
    "os/type": UPDATE,
    "os/loader": BOOT,
    "os/nvram": BOOT,
    "os/kernel": BOOT,
    "os/initrd": BOOT,
    "os/cmdline": BOOT,
    "devices/emulator": "mcv.conf names it: emulator",
    "devices/disk": "mcv disk --help",
}


def problems(cluster: Cluster, vm: Vm, text: str) -> list[Refused]:
    """Everything that forbids to lay this text over the VM's domain, all at once."""
    try:
        root = overlays.parse(text)
    except Refused as problem:
        return [problem]
    found = [
        *_foreign(root),
        *_untouchable(vm, root),
        *_secrets(root),
        *(problem for device in root.iterfind("devices/*") for problem in _device(vm, device)),
        *_taken(cluster, vm, overlays.macs(text)),
    ]
    return list({problem.message: problem for problem in found}.values())


def require(cluster: Cluster, vm: Vm) -> None:
    """Raise Refused where the overlay that the document holds touches what it may not.

    A member that lies can propose any. Before a node hands one to its libvirt it looks itself.
    """
    if vm.overlay and (found := problems(cluster, vm, vm.overlay)):
        first = found[0]
        raise Refused(
            f"The overlay of {vm.name} is not laid over its domain: {first.message}",
            f"mcv edit {vm.name}, or without it: mcv start {vm.name} --without-overlay",
        )


def _foreign(root: ET.Element) -> Iterator[Refused]:
    """Elements and attributes of namespaces that libvirt does not read by their whole name."""
    for element in root.iter():
        for word in (element.tag, *element.attrib):
            if word.startswith("{") and not word.startswith(OF_QEMU):
                yield Refused(
                    f"{_shown(word)} is in a namespace that is not libvirt's.",
                    f"qemu: is {overlays.QEMU}.",
                )
        for child in element:
            is_misplaced = child.tag.startswith(OF_QEMU) and element is not root
            if is_misplaced and not element.tag.startswith(OF_QEMU):
                yield Refused(f"{_shown(child.tag)} stands right below <domain>, if anywhere.")


def _secrets(root: ET.Element) -> Iterator[Refused]:
    """A password would be in the document, and in its history for good."""
    if any("passwd" in element.attrib for element in root.iter()):
        yield Refused("An overlay holds no password (passwd): the document's history keeps it.")


def _untouchable(vm: Vm, root: ET.Element) -> Iterator[Refused]:
    for where, hint in UNTOUCHABLE.items():
        path, is_attribute, attribute = where.partition("@")
        places = root.iterfind(path.rstrip("/")) if path else iter([root])
        if any(not is_attribute or attribute in place.attrib for place in places):
            words = f"{path}{attribute}" if is_attribute else f"<{where}>"
            yield Refused(f"{words} of {vm.name} is no overlay's.", hint.format(vm.name))


def _device(vm: Vm, device: ET.Element) -> Iterator[Refused]:
    for part in ("mac", "target"):
        if len(device.findall(part)) > 1:
            yield Refused(f"A <{device.tag}> of the overlay has several <{part}>.")
    judge = DEVICES.get(device.tag)
    if judge is not None:
        yield from judge(vm, device)


def _interface(vm: Vm, device: ET.Element) -> Iterator[Refused]:
    (mac,) = laying.identity(device)
    if mac is None or not MAC.fullmatch(mac):
        yield Refused(
            "An <interface> of the overlay has no <mac address='52:54:00:…'/>.",
            "Without it the NIC would have another one at each start.",
        )
    if mac in [nic.mac.lower() for nic in vm.nics]:
        yield Refused(f"The NIC {mac} of {vm.name} is no overlay's.", f"mcv nic list {vm.name}")


def _channel(vm: Vm, device: ET.Element) -> Iterator[Refused]:
    if laying.identity(device) == (AGENT,):
        yield Refused(f"The guest agent's channel of {vm.name} is no overlay's.")


def _serial(vm: Vm, device: ET.Element) -> Iterator[Refused]:
    port = laying.identity(device)[0]
    if port is None or not port.strip("0"):
        yield Refused(
            f"The first serial port of {vm.name} is no overlay's.",
            "Another one has <target port='1'/>.",
        )


def _console(vm: Vm, device: ET.Element) -> Iterator[Refused]:
    if laying.identity(device)[0] in (None, "serial"):
        yield Refused(
            f"The serial console of {vm.name} is no overlay's.",
            "Another one has <target type='virtio' port='1'/>.",
        )


def _graphics(vm: Vm, device: ET.Element) -> Iterator[Refused]:
    if laying.identity(device)[0] in (None, "vnc"):
        yield Refused(
            f"The screen of {vm.name} by VNC is no overlay's.", f"See: mcv info {vm.name}"
        )


DEVICES: dict[str, Callable[[Vm, ET.Element], Iterator[Refused]]] = {
    "interface": _interface,
    "channel": _channel,
    "serial": _serial,
    "console": _console,
    "graphics": _graphics,
}


def _taken(cluster: Cluster, vm: Vm, macs: tuple[str, ...]) -> Iterator[Refused]:
    """Addresses of the overlay's NICs that another NIC of the cluster has."""
    for mac in sorted({mac for mac in macs if macs.count(mac) > 1}):
        yield Refused(f"The overlay has the MAC {mac} twice.")
    for other in cluster.vms.values():
        if other.name != vm.name:
            theirs = {*(nic.mac.lower() for nic in other.nics), *overlays.macs(other.overlay)}
            for mac in sorted(theirs & set(macs)):
                yield Refused(f"The MAC {mac} is {other.name}'s already.")


def _shown(word: str) -> str:
    return ascii(word) if len(word) <= 80 else ascii(f"{word[:77]}...")
