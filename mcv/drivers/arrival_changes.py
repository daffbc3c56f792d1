"""What a domain that arrives may have otherwise than its definition: what `update` changes later.

A domain runs with what it was started with, and with CPUs and limits that came since. Each of
these is plain: it names no file, no address and no host.
"""

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import get_args

from mcv.document.hardware import Video, Watchdog

NUMBER = re.compile(r"-?[0-9]{1,18}")
ZONE = re.compile(r"[A-Za-z0-9_+-]{1,32}(/[A-Za-z0-9_+-]{1,32}){0,2}")
KEYMAP = re.compile(r"[a-z]{2,8}(-[a-z]{2,8})?")
PLAIN = re.compile(r"[A-Za-z0-9-]{0,32}")
OF_VCPU = {"id", "enabled", "hotpluggable", "order"}
PORTS = ("pcie-root-port", "pcie-to-pci-bridge")


def _has_only(element: ET.Element, *children: str) -> bool:
    """Whether an element has no children but these, which have none, and no text of its own."""
    texts = [element.text or "", *(child.tail or "" for child in element)]
    return not "".join(texts).strip() and all(
        child.tag in children and not len(child) for child in element
    )


def _is_plain(element: ET.Element) -> bool:
    return all(PLAIN.fullmatch(value) for value in element.attrib.values())


def _are_vcpus(element: ET.Element) -> bool:
    """Which of its CPUs a domain has now."""
    return (
        not element.attrib
        and _has_only(element, "vcpu")
        and all({*vcpu.attrib} <= OF_VCPU and _is_plain(vcpu) for vcpu in element)
        and not any((vcpu.text or "").strip() for vcpu in element)
    )


def _is_limit(element: ET.Element) -> bool:
    return (
        not element.attrib
        and _has_only(element, "global_period", "global_quota")
        and all(not each.attrib and NUMBER.fullmatch(each.text or "") for each in element)
    )


def _is_clock(element: ET.Element) -> bool:
    keys = {"offset", "timezone", "adjustment", "basis"}
    return (
        {*element.attrib} <= keys
        and _has_only(element)
        and all(ZONE.fullmatch(value) for value in element.attrib.values())
    )


def _is_watchdog(element: ET.Element) -> bool:
    return (
        {*element.attrib} <= {"model", "action"}
        and element.get("model") == "i6300esb"
        and element.get("action") in get_args(Watchdog)
        and _has_plain(element, "address")
    )


def _is_video(element: ET.Element) -> bool:
    model = element.find("model")
    return (
        not element.attrib
        and model is not None
        and model.get("type") in get_args(Video)
        and _has_plain(element, "model", "address")
    )


def _is_port(element: ET.Element) -> bool:
    """A port of PCI Express, or the bridge from it to PCI."""
    return (
        (element.get("type"), element.get("model") in PORTS) == ("pci", True)
        and {*element.attrib} <= {"type", "index", "model"}
        and _is_plain(element)
        and _has_plain(element, "model", "target", "address")
    )


def _has_plain(element: ET.Element, *children: str) -> bool:
    return _has_only(element, *children) and all(
        _is_plain(child) and not (child.text or "").strip() for child in element
    )


ALLOWED: dict[tuple[str, str], Callable[[ET.Element], bool]] = {
    ("domain", "vcpus"): _are_vcpus,
    ("domain", "cputune"): _is_limit,
    ("domain", "clock"): _is_clock,
    ("devices", "watchdog"): _is_watchdog,
    ("devices", "video"): _is_video,
    ("devices", "controller"): _is_port,
}


def may_differ(tag: str, key: str, value: str) -> bool:
    """Whether an attribute may be another one: how many CPUs it has, its keyboard, its limits."""
    if (tag, key) == ("graphics", "keymap"):
        return KEYMAP.fullmatch(value) is not None
    return (tag, key) == ("vcpu", "current") and NUMBER.fullmatch(value) is not None
