"""Sizes as people type them (512MiB, 8G, 10 GB) and as they read them."""

import re
from fractions import Fraction

from mcv.errors import Refused

UNITS = {
    "B": 1,
    "KiB": 1024,
    "MiB": 1024**2,
    "GiB": 1024**3,
    "TiB": 1024**4,
    "PiB": 1024**5,
    # As qemu-img and LVM mean them.
    "K": 1024,
    "M": 1024**2,
    "G": 1024**3,
    "T": 1024**4,
    "P": 1024**5,
    "kB": 1000,
    "KB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "TB": 1000**4,
    "PB": 1000**5,
}
_SIZE = re.compile(r"\s*(\d{1,18}(?:\.\d{1,9})?)\s*([A-Za-z]*)\s*")


def parse(text: str, what: str) -> int:
    """Return the bytes of a size; raise Refused for no size or a fraction of a byte."""
    found = _SIZE.fullmatch(text)
    unit = found.group(2) if found else ""
    if found is None or unit not in UNITS:
        raise Refused(
            f"{text!r} is no size for {the(what)}.", "Sizes look like 512MiB, 8GiB, 10GB or 2TiB."
        )
    size = Fraction(found.group(1)) * UNITS[unit]
    if size.denominator != 1:
        raise Refused(f"{text!r} is no whole number of bytes for {the(what)}.")
    if size == 0:
        raise Refused(f"The {'size of ' * _is_numbered(what)}{what} cannot be 0.")
    return int(size)


def the(what: str) -> str:
    """A thing with its article: "the memory", but "disk 1"."""
    return what if _is_numbered(what) else f"the {what}"


def _is_numbered(what: str) -> bool:
    return what[-1:].isdigit()


def shown(size: float) -> str:
    """A size for human eyes, exact where a binary unit divides it: 64MiB, 1.5GiB."""
    for unit in ("PiB", "TiB", "GiB", "MiB", "KiB"):
        if size >= UNITS[unit]:
            return f"{size / UNITS[unit]:.1f}".removesuffix(".0") + unit
    return f"{size:.0f}B"


def exact(size: int) -> str:
    """A size for human eyes that leaves nothing out: 64MiB, or 2500000000 bytes."""
    for unit in ("PiB", "TiB", "GiB", "MiB", "KiB"):
        if size >= UNITS[unit]:
            return shown(size) if 10 * size % UNITS[unit] == 0 else f"{size} bytes"
    return f"{size} bytes"
