"""Overlays: XML that is laid over a VM's domain, read so that it says one thing to everybody.

A document never holds an overlay that cannot be read: every member parses it before it accepts it.
"""

import functools
import hashlib
import xml.etree.ElementTree as ET

from mcv.errors import Refused

ROOT = "domain"
# libvirt reads elements of this namespace; of any other it may read the name alone.
QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"
MOST_CHARACTERS = 64 * 1024
MOST_ELEMENTS = 1000
MOST_DEPTH = 16

ET.register_namespace("qemu", QEMU)


class _Builder(ET.TreeBuilder):
    """Builds the tree, and stops at what would make one text mean two things, or too much."""

    def __init__(self) -> None:
        super().__init__()
        self._depth = 0
        self._elements = 0

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        """Told before the first entity is declared: none is ever expanded."""
        raise Refused("An overlay has no DOCTYPE and declares no entities.")

    def start(self, tag: str, attrs: dict[str, str], /) -> ET.Element:
        self._depth += 1
        self._elements += 1
        if self._depth > MOST_DEPTH:
            raise Refused(f"An overlay has elements at most {MOST_DEPTH} deep.")
        if self._elements > MOST_ELEMENTS:
            raise Refused(f"An overlay has at most {MOST_ELEMENTS} elements.")
        return super().start(tag, attrs)

    def end(self, tag: str, /) -> ET.Element:
        self._depth -= 1
        return super().end(tag)


def parse(text: str) -> ET.Element:
    """The tree of an overlay's text. Raises Refused for what is no overlay, and says why."""
    if len(text) > MOST_CHARACTERS:
        raise Refused(f"An overlay has at most {MOST_CHARACTERS // 1024} KiB.")
    parser = ET.XMLParser(target=_Builder())
    try:
        parser.feed(text)
        root = parser.close()
    except (ET.ParseError, UnicodeError, ValueError) as error:
        raise Refused(f"The overlay is no XML: {error}.") from error
    if not isinstance(root, ET.Element) or root.tag != ROOT:
        raise Refused("An overlay is a <domain> with what is laid over the VM's domain in it.")
    return root


def effective(text: str) -> str:
    """The overlay, "" for a domain with nothing in it; what is no XML as it is."""
    try:
        root = parse(text)
    except Refused:
        return text
    return text if len(root) or root.attrib else ""


def digest(text: str) -> str:
    """What tells an overlay from another one; "" without any."""
    return hashlib.sha256(text.encode()).hexdigest()[:16] if text else ""


def macs(text: str) -> tuple[str, ...]:
    """The addresses of the NICs that an overlay adds, as libvirt writes them."""
    return _macs(text) if text else ()


@functools.lru_cache(maxsize=256)
def _macs(text: str) -> tuple[str, ...]:
    found = parse(text).iterfind("devices/interface/mac")
    return tuple(mac.get("address", "").strip().lower() for mac in found)
