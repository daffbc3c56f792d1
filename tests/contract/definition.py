"""The domain that the contract of libvirt is about: as mcv defines one, from a disk of its own."""

from mcv.document.model import Vm
from mcv.drivers.domain_xml import domain_xml
from mcv.drivers.libvirt_xml import Capabilities

# A file will do: what is below a domain's disk is not libvirt's promise.
DISK = """\
<devices>
    <disk type="file" device="disk">
      <driver name="qemu" type="raw" />
      <source file="{image}" />
      <target dev="vda" bus="virtio" />
    </disk>"""


def definition_of_disk(target: str, image: str) -> str:
    """One more disk of the domain, from another file."""
    bus = "scsi" if target.startswith("sd") else "virtio"
    return (
        '<disk type="file" device="disk"><driver name="qemu" type="raw"/>'
        f'<source file="{image}"/><target dev="{target}" bus="{bus}"/></disk>'
    )


def definition(can: Capabilities, name: str, uuid: str, memory_mib: int, image: str) -> str:
    vm = Vm(name=name, uuid=uuid, memory=memory_mib << 20, cpus=1, node="n1", nodes=("n1",))
    xml = domain_xml(
        vm, sources={}, networks={}, node="", domain_type=can.domain_type, emulator=can.emulator
    )
    return xml.replace("<devices>", DISK.format(image=image))


def unmarked(xml: str) -> str:
    """A definition without mcv's mark."""
    before, _, after = xml.partition("<metadata>")
    return before + after.partition("</metadata>")[2]
