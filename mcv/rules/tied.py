"""What ties a VM to the host that it is on: one judge, of the domain that results.

A VM that uses a thing of one host can be on no other: it is moved by no migration, drained by no
drain, and taken over by nobody, until the thing is taken from it. Its disks are storage's to judge.
"""

import functools
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence

from mcv.document import overlays
from mcv.document.hardware import Device
from mcv.document.model import Vm
from mcv.drivers import overlay as laying
from mcv.drivers.domain_xml import domain_xml
from mcv.errors import Refused
from mcv.rules.finding import Finding, Severity

# Devices that are the same on every host.
EVERYWHERE = frozenset({"/dev/random", "/dev/urandom", "/dev/null"})
OF_A_HOST = frozenset({"hostdev", "shmem", f"{{{overlays.QEMU}}}commandline"})
WORDS = frozenset({"title", "description"})
HOST_NICS = frozenset({"direct", "hostdev", "vhostuser", "vdpa", "ethernet"})


def reasons(vm: Vm) -> list[Refused]:
    """Everything that ties a VM to its host: what it is, and how it is taken away."""
    return [*map(functools.partial(_by_device, vm), vm.devices), *_by_overlay(vm)]


def is_tied(vm: Vm) -> bool:
    return bool(reasons(vm))


def why_not_move(vm: Vm) -> list[Refused]:
    """What forbids that a VM leaves the node that it is on, in whatever way."""
    return [
        Refused(f"{vm.name} is tied to {vm.node}: {reason.message}", reason.hint)
        for reason in reasons(vm)
    ]


def nodes(vm: Vm) -> tuple[str, ...]:
    """Where a VM may run: on its owner alone while something ties it there."""
    return (vm.node,) if is_tied(vm) else vm.nodes


def finding(vm: Vm) -> Finding | None:
    """A note for a VM that cannot move; None for a VM that nothing ties."""
    found = reasons(vm)
    if not found:
        return None
    said = " ".join(reason.message for reason in found)
    hint = "; ".join(dict.fromkeys(reason.hint for reason in found))
    return Finding(
        severity=Severity.NOTE, message=f"{vm.name} is tied to {vm.node}: {said}", hint=hint
    )


def _by_device(vm: Vm, device: Device) -> Refused:
    words = f"{device.type.upper()} device {device.address} of {device.node}"
    return Refused(
        f"it has the {words}.", f"mcv device remove {vm.name} {device.type} {device.address}"
    )


def _by_overlay(vm: Vm) -> list[Refused]:
    hint = f"mcv edit {vm.name}"
    try:
        things = _things(vm.overlay, vm.machine) if vm.overlay else ()
    except Refused as problem:
        return [Refused(f"its overlay cannot be judged: {problem.message}", hint)]
    return [Refused(f"its overlay gives it {thing}.", hint) for thing in things]


@functools.lru_cache(maxsize=256)
def _things(overlay: str, machine: str) -> Sequence[str]:
    """What of hosts the domain has that results, and mcv's own has not."""
    bare = Vm(name="vm", uuid="vm", memory=1, cpus=1, node="n", nodes=("n",), machine=machine)
    text = domain_xml(bare, sources={}, networks={}, node="n", domain_type="", emulator="")
    own, result = ET.fromstring(text), ET.fromstring(text)
    laying.lay(overlays.parse(overlay), result)
    known = {path for each in own.iter() for path in _paths(each)}
    return tuple(dict.fromkeys(thing for each in result.iter() for thing in _of_host(each, known)))


def _of_host(element: ET.Element, known: set[str]) -> Iterator[str]:
    if element.tag in OF_A_HOST:
        yield f"<{element.tag.replace(f'{{{overlays.QEMU}}}', 'qemu:')}>, which is of one host"
    if element.tag == "interface" and element.get("type") in HOST_NICS:
        yield f"an <interface type='{element.get('type')}'>, which is of one host"
    if element.tag == "backend" and element.get("type") == "emulator":
        yield "a TPM, whose state is on one host"
    for path in _paths(element) if element.tag not in WORDS else ():
        if path not in known and path not in EVERYWHERE:
            yield f"{path} of the host"


def _paths(element: ET.Element) -> Iterator[str]:
    """The paths of a host that an element names."""
    for word in ((element.text or "").strip(), *element.attrib.values()):
        if word.strip().startswith("/"):
            yield word.strip()
