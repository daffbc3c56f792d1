"""LVM of this host: volume groups and the logical volumes below DRBD."""

import json
from dataclasses import dataclass
from typing import Any

from mcv.system.process import Run, run

TAG = "mcv"
SECTOR = 512

# A large volume takes its time to be zeroed, hours where the disks are slow.
ZEROING_TIMEOUT = 48 * 3600.0

# DRBD's metadata by its own formula, and a little more for the versions to come.
SLACK = 64 * 1024

REPORT = ("--reportformat", "json", "--units", "b", "--nosuffix")


@dataclass(frozen=True)
class Group:
    """A volume group; all in bytes."""

    size: int
    free: int
    extent_size: int


@dataclass(frozen=True)
class Volume:
    """A logical volume; `ours` is whether mcv made it."""

    group: str
    name: str
    size: int
    thin: bool
    ours: bool


class Lvm:
    """Talks to the LVM tools of this host; sizes are bytes in whole extents."""

    def __init__(self, run: Run = run) -> None:
        self._run = run

    def groups(self) -> dict[str, Group]:
        """Every volume group, by name."""
        columns = "vg_name,vg_size,vg_free,vg_extent_size"
        return parse_groups(self._run("vgs", *REPORT, "--options", columns))

    def volumes(self, group: str | None = None) -> list[Volume]:
        """Every logical volume, of one group or of all."""
        columns = "vg_name,lv_name,lv_size,pool_lv,lv_tags"
        found = parse_volumes(self._run("lvs", *REPORT, "--options", columns))
        return [volume for volume in found if group in (None, volume.group)]

    def volume(self, group: str, name: str) -> Volume | None:
        return next((one for one in self.volumes(group) if one.name == name), None)

    def create(self, group: str, name: str, size: int) -> None:
        """Make a volume; harmless if mcv has made just this one already.

        What was on its extents before stays there, but for signatures at its beginning:
        see `zero`.
        """
        known = self.volume(group, name)
        if known is not None and known.ours and known.size == size:
            return
        self._run(
            "lvcreate",
            *("--yes", "--wipesignatures", "y"),
            *("--addtag", TAG),
            *("--name", name),
            *("--size", f"{size}b"),
            group,
        )

    def remove(self, group: str, name: str) -> None:
        """Delete a volume with all that is on it; harmless if there is none."""
        if self.volume(group, name) is not None:
            self._run("lvremove", "--force", f"{group}/{name}")

    def untag(self, group: str, name: str) -> None:
        """Take mcv's tag off a volume that is kept; harmless if it has none, or is gone."""
        known = self.volume(group, name)
        if known is not None and known.ours:
            self._run("lvchange", "--deltag", TAG, f"{group}/{name}")

    def activate(self, group: str, name: str) -> None:
        """Make the volume's device appear; harmless when it is there."""
        self._run("lvchange", "--activate", "y", f"{group}/{name}")

    def zero(self, path: str) -> None:
        """Fill a device with zeros."""
        self._run("blkdiscard", "--zeroout", path, timeout=ZEROING_TIMEOUT)


def parse_groups(text: str) -> dict[str, Group]:
    """Read the JSON report of vgs."""
    return {
        row["vg_name"]: Group(
            size=int(row["vg_size"]),
            free=int(row["vg_free"]),
            extent_size=int(row["vg_extent_size"]),
        )
        for row in _rows(text, "vg")
    }


def parse_volumes(text: str) -> list[Volume]:
    """Read the JSON report of lvs."""
    return [
        Volume(
            group=row["vg_name"],
            name=row["lv_name"],
            size=int(row["lv_size"]),
            thin=bool(row["pool_lv"]),
            ours=TAG in row["lv_tags"].split(","),
        )
        for row in _rows(text, "lv")
    ]


def _rows(text: str, kind: str) -> list[dict[str, Any]]:
    return [row for report in json.loads(text)["report"] for row in report[kind]]


def rounded(size: int, extent_size: int) -> int:
    """The size in whole extents that holds so many bytes."""
    return -(-size // extent_size) * extent_size


def metadata_size(volume_size: int) -> int:
    """What DRBD's internal metadata takes of a volume.

    One bit for every 4 KiB in the bitmap, the activity log and the superblock: the
    formula of the DRBD user's guide, in sectors ceil(Cs / 2^18) * 8 + 72.
    """
    sectors = -(-volume_size // SECTOR)
    return (-(-sectors // 2**18) * 8 + 72) * SECTOR


def drbd_size(size: int, extent_size: int) -> int:
    """How large a volume must be for the VM to get what was asked for from DRBD on it."""
    whole = rounded(size + metadata_size(size) + SLACK, extent_size)
    while whole - metadata_size(whole) < size:
        whole += extent_size
    return whole
