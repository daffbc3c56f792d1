"""What mcv reads of a domain's XML: its own mark, and what the definition comes down to."""

import xml.etree.ElementTree as ET

from mcv.document.generation import Value

NAMESPACE = "urn:mcv:vm:1"
PREFIX = "mcv"
INCARNATION = "incarnation"
PROCESSOR = "cpu"
OVERLAY = "overlay"
MIB = 1024**2

ET.register_namespace(PREFIX, NAMESPACE)


def is_ours(xml: str) -> bool:
    """Whether a definition bears mcv's mark."""
    return ET.fromstring(xml).find(f"metadata/{{{NAMESPACE}}}vm") is not None


class Mark(Value, frozen=True, kw_only=True):
    """What mcv writes into a definition: whose it is, and the VM's incarnation at that time.

    `cpu` is the processor that was asked for, which libvirt does not tell of a domain that runs;
    None where an mcv of before wrote the mark. `overlay` tells which overlay it has, "" for none.
    """

    uuid: str
    incarnation: int
    cpu: str | None = None
    overlay: str = ""


def mark_of(xml: str) -> Mark | None:
    """Read mcv's mark; None for a definition without it, and for what is no definition.

    A mark of before there were incarnations is of incarnation 0.
    """
    try:
        root = ET.fromstring(xml)
    except ET.ParseError:
        return None
    mark = root.find(f"metadata/{{{NAMESPACE}}}vm")
    if mark is None:
        return None
    number = mark.get(INCARNATION, "0")
    return Mark(
        uuid=root.findtext("uuid", "").lower(),
        incarnation=int(number) if number.isascii() and number.isdigit() else -1,
        cpu=mark.get(PROCESSOR),
        overlay=mark.get(OVERLAY, ""),
    )


def mark_xml(incarnation: int, begun: Mark | None = None) -> str:
    """The mark alone, as libvirt takes it for a domain that runs: it adds the namespace.

    Of the mark that the domain began with the rest stays.
    """
    mark = ET.Element("vm", {INCARNATION: str(incarnation)})
    if begun is not None and begun.cpu is not None:
        mark.set(PROCESSOR, begun.cpu)
    if begun is not None and begun.overlay:
        mark.set(OVERLAY, begun.overlay)
    return ET.tostring(mark, encoding="unicode")


class SavedState(Value, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """The saved memory of a domain, and of which incarnation of its VM; None: not to be read.

    It crosses between nodes.
    """

    incarnation: int | None


class Substance(Value, frozen=True, kw_only=True):
    """What a definition comes down to; libvirt adds the rest by itself."""

    uuid: str
    memory: int  # MiB, as fine as libvirt keeps it
    cpus: int
    disks: tuple[tuple[str, str], ...]  # (target, source)
    nics: tuple[tuple[str, str], ...]  # (mac, bridge)


def substance(xml: str) -> Substance:
    """Read a definition, one of mcv's or as libvirt gives it back."""
    root = ET.fromstring(xml)
    disks = [disk for disk in root.iterfind("devices/disk") if disk.get("device") == "disk"]
    nics = root.findall("devices/interface")
    return Substance(
        uuid=root.findtext("uuid", ""),
        memory=bytes_of(root.find("memory")) // MIB,
        cpus=_cpus(root),
        disks=tuple((_of(disk, "target", "dev"), _source(disk)) for disk in disks),
        nics=tuple((_of(nic, "mac", "address"), network_of(nic)) for nic in nics),
    )


def _cpus(root: ET.Element) -> int:
    vcpu = root.find("vcpu")
    return 1 if vcpu is None else int(vcpu.get("current") or vcpu.text or "1")


def network_of(nic: ET.Element) -> str:
    """Where a card is connected; libvirt names the bridge of its own network beside it."""
    return _of(nic, "source", "network") or _of(nic, "source", "bridge")


def bytes_of(memory: ET.Element | None) -> int:
    """An amount of memory of a definition, in bytes."""
    if memory is None:
        return 0
    unit = memory.get("unit", "KiB")
    factor = 1 if unit in ("b", "bytes") else 1024 ** ("KMGT".index(unit[0].upper()) + 1)
    return int(memory.text or "0") * factor


def _source(disk: ET.Element) -> str:
    return _of(disk, "source", "dev") or _of(disk, "source", "file")


def _of(parent: ET.Element, tag: str, attribute: str) -> str:
    found = parent.find(tag)
    return "" if found is None else found.get(attribute, "")
