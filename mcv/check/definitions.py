"""The definition of a domain compared with what the document says of its VM."""

from pathlib import PurePath

from msgspec.structs import replace

from mcv import storage
from mcv.check.inventory import Domain
from mcv.document.model import Cluster, Vm
from mcv.drivers import domain_devices
from mcv.drivers.domain_devices import hardware
from mcv.drivers.domain_reading import substance
from mcv.drivers.domain_xml import domain_xml
from mcv.rules import overlay
from mcv.storage import image_files


def differing(cluster: Cluster, vm: Vm, domain: Domain) -> list[str]:
    """What of a definition is not as the document says: memory, cpus, disks, nics, machine."""
    if vm.overlay and overlay.problems(cluster, vm, vm.overlay):
        return ["overlay"]  # it is laid over no domain
    xml = domain_xml(
        vm,
        sources=storage.sources(cluster, vm, vm.node),
        networks=cluster.networks,
        node=vm.node,
        domain_type="",
        emulator="",
        cd=_cd_file(cluster, vm),
    )
    wanted = substance(xml)
    names = ("memory", "cpus", "disks", "nics")
    parts = [name for name in names if getattr(wanted, name) != getattr(domain.substance, name)]
    if domain.hardware is None:
        return parts
    # The directory of images is each node's own; a file's name is the same on all.
    defined = replace(domain.hardware, cd=PurePath(domain.hardware.cd).name)
    return parts + domain_devices.differing(hardware(xml), defined)


def _cd_file(cluster: Cluster, vm: Vm) -> str:
    """The name of the file in a VM's CD drive, "" without any; an unknown image has its name."""
    image = cluster.images.get(vm.cd)
    return image_files.file_name(vm.cd, image) if image else vm.cd
