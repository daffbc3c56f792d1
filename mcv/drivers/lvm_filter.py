"""Whether the host's own LVM looks at guests' disks, and the line that hides them.

mcv's own calls need no such line. The administrator's commands and the host's services do:
`vgchange --activate y` activates a guest's volumes, and their disk cannot be demoted then.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from mcv.errors import Refused
from mcv.system import files
from mcv.system.process import Run, run

LINE = 'global_filter = [ "r|^/dev/drbd|" ]'
FULL = ["lvmconfig", "--typeconfig", "full"]
SETTINGS = ("global_filter", "filter", "use_devicesfile", "scan_lvs")

# Names that udev gives to a disk of mcv's, and to the volume below it.
DRBD_NAMES = ("/dev/drbd100", "/dev/drbd/by-res/mcv-web1-1/0", "/dev/drbd/by-disk/vg0/mcv-web1-1")
VOLUME_NAMES = ("/dev/vg0/mcv-web1-1", "/dev/mapper/vg0-mcv--web1--1")

FILTER_LINE = re.compile(r"^\s*(devices/)?global_filter\s*=")
DEVICES = re.compile(r"^\s*devices\s*\{\s*(#.*)?$")
CLOSING = {"{": "}", "[": "]", "(": ")"}


class Sight(Struct, frozen=True, kw_only=True):
    """What LVM of a host sees of guests; `line` is the filter's place, FILE:LINE, or ""."""

    file: str
    disks: bool = False
    volumes: bool = False
    line: str = ""


class LvmFilter:
    """LVM's configuration on this host, as far as guests' disks are concerned."""

    def __init__(self, etc: Path = Path("/etc/lvm"), run: Run = run) -> None:
        self._etc = etc
        self._run = run
        self._file = etc / "lvm.conf"

    def sight(self) -> Sight:
        """What this host's LVM sees. Raises CommandFailed where its configuration is not read."""
        told = self._run(*FULL, *(f"devices/{name}" for name in SETTINGS))
        settings = dict(line.strip().split("=", 1) for line in told.splitlines() if "=" in line)
        filters = [re.findall(r'"([^"]*)"', settings.get(name, "")) for name in SETTINGS[:2]]

        def sees(names: Sequence[str]) -> bool:
            return all(accepts(patterns, names) for patterns in filters)

        volumes = settings.get("scan_lvs") == "1" and sees(VOLUME_NAMES)
        listed = self._listed() if settings.get("use_devicesfile") == "1" else None
        disks = sees(DRBD_NAMES) if listed is None else "/dev/drbd" in listed
        return Sight(file=str(self._file), disks=disks, volumes=volumes, line=self._line())

    def _listed(self) -> str | None:
        """The text of the devices file, which alone says what LVM uses; None where there is none.

        LVM takes a missing file for a file that is switched off.
        """
        return files.read_or_none(self._etc / "devices" / "system.devices")

    def _line(self) -> str:
        for name in ("lvmlocal.conf", "lvm.conf"):
            text = files.read_or_none(self._etc / name) or ""
            for number, line in enumerate(text.splitlines(), 1):
                if FILTER_LINE.match(line):
                    return f"{self._etc / name}:{number}"
        return ""

    def add(self) -> None:
        """Write LINE into lvm.conf, where no filter is set.

        Errors: Refused, nothing was changed: there is a filter already, or LVM does not read
        the file with the line.
        """
        if line := self._line():
            raise Refused(f"{line} has a global_filter, which is the administrator's.")
        path = self._file.resolve()
        before = files.read_or_none(path) or ""
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
        files.write_atomically(path, with_line(before), mode)
        try:
            if self.sight().disks:
                raise Refused(f"LVM sees guests' disks all the same with {LINE} in {path}.")
        except Exception:
            files.write_atomically(path, before, mode)
            raise


def with_line(text: str) -> str:
    """The text of lvm.conf with LINE in its section `devices`."""
    added = ["\t# mcv: what is on DRBD's devices is a guest's.", f"\t{LINE}"]
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if DEVICES.match(line):
            return "\n".join([*lines[: number + 1], *added, *lines[number + 1 :]]) + "\n"
    return "\n".join([*lines, "devices {", *added, "}"]) + "\n"


def accepts(patterns: Sequence[str], names: Sequence[str]) -> bool:
    """Whether a filter lets a device pass, by LVM's rule (lvm.conf, devices/filter).

    The first pattern that matches a name decides for the name. A device is accepted if one
    of its names is, or if no pattern matches any of them.
    """
    verdicts = [verdict for name in names if (verdict := _verdict(patterns, name)) is not None]
    return any(verdicts) or not verdicts


def _verdict(patterns: Sequence[str], name: str) -> bool | None:
    for pattern in patterns:
        if len(pattern) < 3 or pattern[0] not in "ar":
            continue
        end = pattern.rfind(CLOSING.get(pattern[1], pattern[1]))
        try:
            if re.search(pattern[2:end], name):
                return pattern[0] == "a"
        except re.error:
            continue
    return None
