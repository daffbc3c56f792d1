"""A disk and the domain that has it: plugged in and out on this node; steps of plans.

The dispatcher holds the VM's lock and has checked the claim. Each step is harmless when it is
done, and where the VM is not active.
"""

import xml.etree.ElementTree as ET

from msgspec.structs import replace

from mcv import storage
from mcv.document.disks import Disk
from mcv.document.model import Cluster, Vm
from mcv.drivers.domain_devices import controllers_of
from mcv.drivers.domain_xml import disk_xml
from mcv.errors import McvError, Refused
from mcv.host import Host
from mcv.vm import definition


def _find(host: Host, name: str, disk: int) -> tuple[Cluster, Vm, Disk]:
    cluster = host.both()[-1]
    vm = cluster.vm(name)
    return cluster, vm, vm.disk(disk)


def withhold(host: Host, name: str, disk: int) -> None:
    """Define the VM without a disk that it has in the document: the way back of its definition."""
    _, vm, _ = _find(host, name, disk)
    kept = tuple(known for known in vm.disks if known.id != disk)
    host.domains.define(definition.of(host, replace(vm, disks=kept)))


def attach(host: Host, name: str, disk: int) -> None:
    """Open the disk and plug it into the domain that runs here. What failed is closed again."""
    if not host.domains.is_active(name):
        return
    cluster, _, wanted = _find(host, name, disk)
    kind = storage.of(wanted)
    kind.open(host)
    controllers = {
        key: ET.tostring(element, encoding="unicode")
        for key, element in controllers_of([wanted]).items()
    }
    source = storage.sources(cluster, cluster.vm(name), host.name)[disk]
    try:
        host.domains.disks.attach(name, wanted.target, disk_xml(wanted, source), controllers)
    except McvError:
        if wanted.target not in host.domains.disks.targets(name):
            kind.close(host)
        raise


def detach(host: Host, name: str, disk: int) -> None:
    """Have the guest let go of the disk, and close it.

    Raises Refused where the guest does not let go: the disk is open then, and stays.
    """
    _, _, wanted = _find(host, name, disk)
    if not host.domains.disks.detach(name, wanted.target):
        raise Refused(
            f"the guest of {name} has not let go of disk {disk} ({wanted.target})",
            f"It goes, with its volume, when the guest lets go or stops: mcv shutdown {name}",
        )
    storage.of(wanted).close(host)


def close(host: Host, name: str, disk: int) -> None:
    """Close a disk that no domain has. Raises Refused where a domain, or anything else, has it."""
    _, _, wanted = _find(host, name, disk)
    if wanted.target in host.domains.disks.targets(name):
        raise Refused(f"The guest of {name} has disk {disk} still.")
    if holders := storage.of(wanted).holders(host):
        raise Refused(
            f"Disk {disk} of {name} is open on {host.name}: {', '.join(map(str, holders))}.",
            f"End that on {host.name}.",
        )
    storage.of(wanted).close(host)


def tell_size(host: Host, name: str, disk: int) -> None:
    """Let the guest see the size that the document has; upwards only."""
    _, _, wanted = _find(host, name, disk)
    if wanted.target in host.domains.disks.targets(name):
        host.domains.disks.resize(name, wanted.target, wanted.size)


def throttle(host: Host, name: str, disk: int) -> None:
    """Hold the disk down as the document says, at once."""
    _, _, wanted = _find(host, name, disk)
    if wanted.target in host.domains.disks.targets(name):
        host.domains.disks.throttle(name, wanted.target, wanted.iops, wanted.bandwidth)
