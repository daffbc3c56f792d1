"""The XML of a domain that moves while it runs, as it is on the node that it moves to."""

import xml.etree.ElementTree as ET
from collections.abc import Mapping

from mcv.document.generation import Value
from mcv.drivers.domain_source import Source


class MovedDisks(Value, frozen=True, kw_only=True):
    """What a live migration takes along: disks, and cards to other bridges.

    `uri` is where QEMU's NBD server of the destination is reached; `mirrored` are the targets
    whose bytes go there. `sources` says by target where each disk is over there, `variables`
    where the firmware's are. `bridges` says by address which cards are on another bridge there.
    """

    uri: str
    mirrored: tuple[str, ...]
    sources: Mapping[str, Source]
    variables: Source | None = None
    bridges: Mapping[str, str] = {}


def for_destination(xml: str, disks: MovedDisks) -> str:
    """A domain's migratable XML, with disks and bridges as the destination has them.

    All else stays as it is: a guest sees no difference.
    """
    root = ET.fromstring(xml)
    for element in root.iterfind("devices/disk"):
        target = element.find("target")
        source = disks.sources.get("" if target is None else target.get("dev", ""))
        if source is not None:
            _point(element, source)
    for card in root.iterfind("devices/interface[@type='bridge']"):
        mac, bridged = card.find("mac"), card.find("source")
        bridge = disks.bridges.get("" if mac is None else mac.get("address", ""))
        if bridged is not None and bridge is not None:
            bridged.set("bridge", bridge)
    nvram = root.find("os/nvram")
    if nvram is not None and disks.variables is not None:
        nvram.text = None
        _point(nvram, disks.variables)
    return ET.tostring(root, encoding="unicode")


def _point(element: ET.Element, source: Source) -> None:
    """Have a disk, or the variables, be another volume."""
    element.set("type", source.type)
    for old in element.findall("source"):
        element.remove(old)
    attribute = "dev" if source.type == "block" else "file"
    element.insert(0, ET.Element("source", {attribute: source.path}))
