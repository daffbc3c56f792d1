"""An overlay laid over a domain's XML: what it names is set or added, and nothing is taken away.

An element of the overlay means an element of the domain at the same place: the element of the same
name there, and of several the one with the same words in what IDENTITIES lists for it. Where there
is none, the element is added. Of an element that is there attributes and text are set, and its
children are laid over in turn.
"""

import copy
import xml.etree.ElementTree as ET

from mcv.document import overlays
from mcv.document.overlays import QEMU

# What tells elements of one name apart: attributes of the element or of its children. Elements
# that are not listed are single: the overlay means the one that is there.
IDENTITIES: dict[str, tuple[str, ...]] = {
    "interface": ("mac/@address",),
    "controller": ("@type", "@index"),
    "channel": ("target/@name",),
    "serial": ("target/@port",),
    "parallel": ("target/@port",),
    "console": ("target/@type", "target/@port"),
    "graphics": ("@type",),
    "input": ("@type", "@bus"),
    "sound": ("@model",),
    "rng": ("@model",),
    "panic": ("@model",),
    "filesystem": ("target/@dir",),
    "shmem": ("@name",),
    "smartcard": ("@mode",),
    "audio": ("@id",),
    "timer": ("@name",),
    "feature": ("@name",),
    "cell": ("@id",),
    "page": ("@size", "@nodeset"),
    "vcpupin": ("@vcpu",),
    "vcpusched": ("@vcpus",),
    "iothreadpin": ("@iothread",),
    "sysinfo": ("@type",),
    "entry": ("@name",),
    f"{{{QEMU}}}env": ("@name",),
}
# Each of these is another one.
ADDED = frozenset({"hostdev", "redirdev", "hub", f"{{{QEMU}}}arg"})
ADDED_AT = frozenset({"devices/memory"})


def lay(overlay: ET.Element, domain: ET.Element) -> None:
    """Lay an overlay over a domain's tree, in place."""
    _lay(overlay, domain, "")


def bridges(text: str) -> list[str]:
    """The bridges that the NICs of an overlay are connected to."""
    found = overlays.parse(text).iterfind("devices/interface/source") if text else ()
    return [source.get("bridge", "") for source in found if source.get("bridge")]


def _lay(overlay: ET.Element, target: ET.Element, path: str) -> None:
    target.attrib.update(overlay.attrib)
    if (overlay.text or "").strip():
        target.text = overlay.text
    for child in overlay:
        there = partner(child, target, path)
        if there is None:
            target.append(_plain(child))
        else:
            _lay(child, there, f"{path}{child.tag}/")


def partner(child: ET.Element, parent: ET.Element, path: str = "") -> ET.Element | None:
    """The element below `parent` that an element of the overlay means; None: a new one."""
    if child.tag in ADDED or f"{path}{child.tag}" in ADDED_AT:
        return None
    same = (each for each in parent if each.tag == child.tag)
    return next((each for each in same if identity(each) == identity(child)), None)


def identity(element: ET.Element) -> tuple[str | None, ...]:
    """The words that tell an element from others of its name."""
    return tuple(_word(element, where) for where in IDENTITIES.get(element.tag, ()))


def _word(element: ET.Element, where: str) -> str | None:
    path, _, attribute = where.rpartition("@")
    holder = element.find(path.rstrip("/")) if path else element
    word = None if holder is None else holder.get(attribute)
    return None if word is None else word.strip().lower()


def _plain(element: ET.Element) -> ET.Element:
    """A copy without what stood around it: the whole tree is indented anew."""
    copied = copy.deepcopy(element)
    for each in copied.iter():
        each.tail = None
        if len(each) and not (each.text or "").strip():
            each.text = None
    return copied
