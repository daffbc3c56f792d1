"""A VM's definition on this node."""

from mcv import storage
from mcv.document.model import Vm
from mcv.drivers.domain_devices import hardware
from mcv.drivers.domain_xml import domain_xml, substance
from mcv.host import Host
from mcv.storage import image_files


def of(host: Host, vm: Vm) -> str:
    """The domain's XML for this node: what the document says, in libvirt's words."""
    cluster = host.read()
    bridges = {nic.network: cluster.network(nic.network).bridge for nic in vm.nics}
    can = host.domains.capabilities()
    domain_type = host.settings.domain_type or can.domain_type
    emulator = host.settings.emulator or can.emulator
    return domain_xml(
        vm,
        sources=storage.sources(cluster, vm, host.name),
        bridges=bridges,
        nats=cluster.nats,
        domain_type=domain_type,
        emulator=emulator,
        cd=str(image_files.path(host, vm.cd)) if vm.cd else "",
    )


def are_equal(xml: str, other: str) -> bool:
    """Whether two definitions come down to the same VM."""
    return substance(xml) == substance(other) and hardware(xml) == hardware(other)
