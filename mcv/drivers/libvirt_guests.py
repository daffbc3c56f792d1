"""What libvirt-guests, libvirt's own script, does to guests when its host goes down or comes up."""

import shlex
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

# The script sets its defaults, which differ between distributions, and then reads its settings.
SOURCES = (
    "usr/lib/libvirt/libvirt-guests.sh",
    "usr/libexec/libvirt-guests.sh",
    "etc/default/libvirt-guests",
    "etc/sysconfig/libvirt-guests",
)


class GuestsSettings(Struct, frozen=True, kw_only=True):
    """What is done to guests: `start` or `ignore` at boot, `shutdown` or `suspend` at the end."""

    on_boot: str = "ignore"
    on_shutdown: str = "shutdown"


def parse(text: str) -> Mapping[str, str]:
    """The assignments of a shell script that stand on lines of their own; the last one counts."""
    values = {}
    for line in text.splitlines():
        key, is_assignment, rest = line.partition("=")
        if not is_assignment or not key.isidentifier():
            continue
        try:
            words = shlex.split(rest, comments=True)
        except ValueError:
            continue
        values[key] = words[0] if words else ""
    return values


def settings(root: Path = Path("/")) -> GuestsSettings:
    """The settings of this host."""
    values: dict[str, str] = {}
    for source in SOURCES:
        try:
            values |= parse((root / source).read_text(encoding="utf-8", errors="replace"))
        except OSError:
            continue
    return GuestsSettings(
        on_boot=values.get("ON_BOOT", "ignore"), on_shutdown=values.get("ON_SHUTDOWN", "shutdown")
    )
