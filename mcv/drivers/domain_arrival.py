"""A domain that arrives by a live migration, compared with the domain that is expected.

The XML and the cookie come from another host and go to a libvirt that is root here. Each element
is one that this host's libvirt itself writes for the expected domain, or stands in a list below.
"""

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Sequence

from mcv.drivers import arrival_changes
from mcv.drivers.domain_reading import NAMESPACE

NUMBER = re.compile(r"[0-9]{1,18}")
# Names of CPU models, features, machines, hosts: nothing that QEMU's command line parses further.
WORD = re.compile(r"[A-Za-z0-9._+ -]{0,128}")
MOST_ELEMENTS = 2000
OF_NETWORKS = ("bridge", "portid")

# The expected elements that an arrival must have; of all others it may lack some.
REQUIRED = frozenset({"name", "uuid", "devices", "disk", "interface"})

# What describes a guest's CPU, in a definition and in a cookie: children by element.
CPU = {
    "cpu": ("model", "vendor", "feature", "topology", "cache", "maxphysaddr"),
    "model": (),
    "vendor": (),
    "feature": (),
    "topology": (),
    "cache": (),
    "maxphysaddr": (),
}
# What a cookie may say. It names no domain to define, no port and no file.
COOKIE = {
    "qemu-migration": (
        *("name", "uuid", "hostname", "hostuuid", "feature", "cpu"),
        *("capabilities", "statistics", "allowReboot"),
    ),
    **dict.fromkeys(("name", "uuid", "hostname", "hostuuid", "feature", "allowReboot"), ()),
    **CPU,
    "capabilities": ("cap",),
    "cap": (),
}


class Unexpected(Exception):
    """An arrival that is not the expected one; the message names the first difference."""


def require_expected(arriving: str, expected: str) -> None:
    """Precondition of an arrival: it is the expected domain as libvirt would write it here.

    `expected` is this host's libvirt's own text. Memory and CPUs may be those of an earlier
    definition, with which the domain was started. Errors: Unexpected.
    """
    _match(_parse(arriving), _parse(expected), "")


def disks_of(xml: str) -> tuple[str, ...]:
    """The targets of all disks and drives of a domain."""
    found = ET.fromstring(xml).iterfind("devices/disk/target")
    return tuple(target.get("dev", "") for target in found)


def require_plain_cookie(text: str, name: str, uuid: str, disks: Sequence[str] = ()) -> None:
    """Precondition of a migration's cookie: it is about this domain and says what it may.

    Where disks go along it may tell how large each of `disks` is: libvirt tells that of all disks
    of the domain, also of those that stay. Errors: Unexpected.
    """
    root = _parse(text)
    if root.tag != "qemu-migration":
        raise Unexpected(f"a cookie is no {_shown(root.tag)}")
    if (root.findtext("name"), root.findtext("uuid")) != (name, uuid):
        raise Unexpected("the cookie is another domain's")
    if len(root.findall("name")) != 1 or len(root.findall("uuid")) != 1:
        raise Unexpected("the cookie names several domains")
    for statistics in root.findall("statistics"):
        _require_numbers(statistics)
        root.remove(statistics)
    for sizes in root.findall("nbd") if disks else ():
        _require_sizes(sizes, disks)
        root.remove(sizes)
    _require_listed(root, COOKIE)


def _require_sizes(sizes: ET.Element, targets: Sequence[str]) -> None:
    """Precondition: an element names these disks and their sizes, and no port to listen at."""
    if sizes.attrib:
        raise Unexpected(f"nbd has {_shown(next(iter(sizes.attrib)))}")
    for disk in sizes:
        is_plain = disk.tag == "disk" and set(disk.attrib) == {"target", "capacity"}
        is_size = NUMBER.fullmatch(disk.get("capacity", ""))
        if not is_plain or len(disk) or not is_size or disk.get("target") not in targets:
            raise Unexpected(f"nbd/{_shown(disk.tag)} is not expected")


def _parse(text: str) -> ET.Element:
    """The tree of an XML text that every parser reads alike: no declaration, no entities."""
    if "<!" in text or "<?" in text:
        raise Unexpected("XML with a declaration is not taken")
    try:
        root = ET.fromstring(text)
    except (ET.ParseError, ValueError) as error:
        raise Unexpected("it is no XML") from error
    if sum(1 for _ in root.iter()) > MOST_ELEMENTS:
        raise Unexpected(f"XML of more than {MOST_ELEMENTS} elements is not taken")
    return root


def _match(arriving: ET.Element, expected: ET.Element, path: str) -> None:
    """Raise Unexpected for the first part of `arriving` that `expected` does not have."""
    where = f"{path}/{_shown(arriving.tag)}"
    if arriving.tag != expected.tag:
        raise Unexpected(f"{where} is not expected")
    _match_text(arriving, expected, where)
    for key, value in arriving.attrib.items():
        if expected.get(key) != value and not _may_differ(expected, key, value):
            raise Unexpected(f"{where} has {_shown(key)} {_shown(value)}")
    left = list(expected)
    for child in arriving:
        if _is_allowed(arriving.tag, child):
            continue
        left.remove(_partner(child, left, where))
    missing = [child.tag for child in left if child.tag in REQUIRED]
    if missing:
        raise Unexpected(f"{where} lacks {missing[0]}")


def _partner(child: ET.Element, candidates: list[ET.Element], where: str) -> ET.Element:
    """The expected element that an arriving one equals."""
    problem = Unexpected(f"{where}/{_shown(child.tag)} is not expected")
    for candidate in candidates:
        if candidate.tag != child.tag:
            continue
        try:
            _match(child, candidate, where)
            return candidate
        except Unexpected as different:
            problem = different
    raise problem


def _match_text(arriving: ET.Element, expected: ET.Element, where: str) -> None:
    text = (arriving.text or "").strip()
    is_count = arriving.tag in ("memory", "currentMemory", "vcpu") and not len(arriving)
    if is_count and NUMBER.fullmatch(text):
        return
    if text != (expected.text or "").strip():
        raise Unexpected(f"{where} is {_shown(text)}")


def _may_differ(expected: ET.Element, key: str, value: str) -> bool:
    """Whether an attribute may differ from the expected.

    The machine type may be of another QEMU. A card in a network of libvirt's own names the bridge
    and the port that it had; here libvirt gives it this host's.
    """
    is_machine = (expected.tag, key) == ("type", "machine")
    is_port = (
        expected.tag == "source" and expected.get("network") is not None and key in OF_NETWORKS
    )
    is_changed = arrival_changes.may_differ(expected.tag, key, value)
    return is_changed or ((is_machine or is_port) and bool(WORD.fullmatch(value)))


# What libvirt adds to a domain that runs, by parent and element.


def _is_metadata(element: ET.Element) -> bool:
    """Only mcv's own mark, which libvirt keeps and does not read."""
    mark = f"{{{NAMESPACE}}}"
    return all(inner.tag.startswith(mark) for inner in element.iter() if inner is not element)


def _is_cpu(element: ET.Element) -> bool:
    try:
        _require_listed(element, CPU)
    except Unexpected:
        return False
    return True


def _is_default_partition(element: ET.Element) -> bool:
    return [(inner.tag, inner.text, inner.attrib) for inner in element] == [
        ("partition", "/machine", {})
    ]


def _is_dynamic_label(element: ET.Element) -> bool:
    """A security label that this host's libvirt generates."""
    return (
        not len(element)
        and set(element.attrib) == {"type", "model", "relabel"}
        and (element.get("type"), element.get("relabel")) == ("dynamic", "yes")
        and bool(WORD.fullmatch(element.get("model", "")))
    )


def _is_empty(element: ET.Element) -> bool:
    return not len(element) and not element.attrib and not (element.text or "").strip()


def _is_bus_address(element: ET.Element) -> bool:
    return element.get("type") in ("pci", "drive", "virtio-serial", "usb") and not len(element)


def _is_boot_order(element: ET.Element) -> bool:
    """A place in the order of booting: a domain runs with that of its start.

    A disk that was plugged in since has none, and in the definition has moved the others.
    """
    is_plain = not len(element) and set(element.attrib) == {"order"}
    return is_plain and bool(NUMBER.fullmatch(element.get("order", "")))


def _is_up(element: ET.Element) -> bool:
    """A link that was down since the start, and is up again: a definition does not name it."""
    return not len(element) and element.attrib == {"state": "up"}


ALLOWED: dict[tuple[str, str], Callable[[ET.Element], bool]] = {
    ("domain", "metadata"): _is_metadata,
    ("domain", "cpu"): _is_cpu,
    ("domain", "resource"): _is_default_partition,
    ("domain", "seclabel"): _is_dynamic_label,
    ("disk", "backingStore"): _is_empty,
    ("disk", "boot"): _is_boot_order,
    ("interface", "boot"): _is_boot_order,
    **arrival_changes.ALLOWED,
    ("interface", "link"): _is_up,
    **{
        (device, "address"): _is_bus_address
        for device in (
            *("disk", "controller", "interface", "serial", "console", "input", "graphics"),
            *("video", "memballoon", "rng"),
        )
    },
}


def _is_allowed(parent: str, child: ET.Element) -> bool:
    allowed = ALLOWED.get((parent, child.tag))
    return allowed is not None and allowed(child)


# Lists of elements


def _require_listed(root: ET.Element, listed: dict[str, tuple[str, ...]]) -> None:
    """Raise Unexpected unless every element is listed under its parent, with plain words in it."""
    for element in root.iter():
        if not all(WORD.fullmatch(word) for word in _words(element)):
            raise Unexpected(f"{_shown(element.tag)} holds more than a word")
        for child in element:
            if child.tag not in listed.get(element.tag, ()):
                raise Unexpected(f"{_shown(element.tag)}/{_shown(child.tag)} is not expected")


def _require_numbers(statistics: ET.Element) -> None:
    for element in statistics:
        if len(element) or element.attrib or not NUMBER.fullmatch(element.text or ""):
            raise Unexpected(f"statistics/{_shown(element.tag)} is no number")


def _words(element: ET.Element) -> Iterator[str]:
    yield (element.text or "").strip()
    yield (element.tail or "").strip()
    yield from element.attrib.values()


def _shown(text: str) -> str:
    """A word from outside for a message: printable, in quotation marks where it is odd."""
    short = text if len(text) <= 60 else f"{text[:57]}..."
    return short if re.fullmatch(r"[A-Za-z0-9._/-]+", short) else ascii(short)
