"""LVM of this host: volume groups and the logical volumes below DRBD."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcv.drivers.lvm_filter import LvmFilter
from mcv.drivers.volume_groups import UNITS, Group, VolumeGroups
from mcv.errors import CommandFailed
from mcv.system.process import Run, run

TAG = "mcv"
SECTOR = 512

# A large volume takes its time to be zeroed, hours where the disks are slow.
ZEROING_TIMEOUT = 48 * 3600.0

# DRBD's metadata by its own formula, and a little more for the versions to come.
SLACK = 64 * 1024


@dataclass(frozen=True)
class Volume:
    """A logical volume; `ours` is whether mcv made it.

    `pool` is the thin pool that a thin volume is of; of a thin pool itself `used_percent` and
    `metadata_percent` say how full it is, and `is_pool` is true.
    """

    group: str
    name: str
    size: int
    thin: bool
    ours: bool
    pool: str = ""
    used_percent: float = 0.0
    metadata_percent: float = 0.0
    is_pool: bool = False
    active: bool = True


class Lvm:
    """Talks to the LVM tools of this host; sizes are bytes in whole extents.

    Each command is shown the devices of one group of the host's, and no guest's.
    """

    def __init__(self, notes: Path, run: Run = run) -> None:
        self._run = run
        self._groups = VolumeGroups(notes, run)
        self.filter = LvmFilter(run=run)

    def groups(self) -> dict[str, Group]:
        """Every volume group of the host, by name."""
        return self._groups.all()

    def all(self) -> tuple[dict[str, Group], list[Volume]]:
        """Every group of the host, and the volumes of those that mcv may touch; one scan."""
        groups = self._groups.all()
        return groups, self._volumes([group for group in groups.values() if not group.problem])

    def volumes(self, group: str | None = None) -> list[Volume]:
        """Every logical volume, of one group or of all that mcv may touch."""
        _, volumes = self.all()
        return [volume for volume in volumes if group in (None, volume.group)]

    def volume(self, group: str, name: str) -> Volume | None:
        return self._volume(self._groups.find(group), name)

    def _volumes(self, groups: list[Group]) -> list[Volume]:
        names = {group.name for group in groups}
        only = [word for group in groups for word in group.only]
        if not only:
            return []
        columns = "vg_name,lv_name,lv_size,pool_lv,lv_tags,data_percent,metadata_percent,lv_attr"
        found = parse_volumes(self._run("lvs", *only, *UNITS, "--options", columns))
        return [volume for volume in found if volume.group in names]

    def _volume(self, group: Group | None, name: str) -> Volume | None:
        volumes = self._volumes([group]) if group else []
        return next((volume for volume in volumes if volume.name == name), None)

    def _existing(self, group: str) -> Group:
        found = self._groups.find(group)
        if found is None:
            raise CommandFailed(f"There is no volume group {group} on this host.", "See: vgs")
        return found

    def create(self, group: str, name: str, size: int) -> None:
        """Make a volume; harmless if mcv has made just this one already.

        What was on its extents before stays there, but for signatures at its beginning:
        see `zero`.
        """
        found = self._existing(group)
        known = self._volume(found, name)
        if known is not None and known.ours and not known.thin and known.size == size:
            return
        self._run(
            "lvcreate",
            *found.only,
            *("--yes", "--wipesignatures", "y"),
            *("--addtag", TAG),
            *("--name", name),
            *("--size", f"{size}b"),
            group,
        )

    def create_thin(self, group: str, pool: str, name: str, size: int) -> None:
        """Make a thin volume, which reads as zeros; harmless if mcv has made just this one."""
        found = self._existing(group)
        known = self._volume(found, name)
        if known is not None and known.ours and known.pool == pool and known.size >= size:
            return
        self._run(
            "lvcreate",
            *found.only,
            *("--yes", "--addtag", TAG),
            *("--name", name),
            *("--virtualsize", f"{rounded(size, found.extent_size)}b"),
            *("--thinpool", pool),
            group,
        )

    def extend(self, group: str, name: str, size: int) -> None:
        """Make a volume as large as this; harmless where it is.

        What was on the extents that it gets stays there: see `zero_part`.
        """
        found = self._existing(group)
        known = self._volume(found, name)
        if known is None or known.size < size:
            self._run("lvextend", *found.only, "--size", f"{size}b", f"{group}/{name}")

    def tag(self, group: str, name: str) -> None:
        """Take a volume over; harmless where it is mcv's."""
        found = self._existing(group)
        known = self._volume(found, name)
        if known is None or not known.ours:
            self._run("lvchange", *found.only, "--addtag", TAG, f"{group}/{name}")

    def remove(self, group: str, name: str) -> None:
        """Delete a volume with all that is on it; harmless if there is none."""
        found = self._groups.find(group)
        if found is not None and self._volume(found, name) is not None:
            self._run("lvremove", *found.only, "--force", f"{group}/{name}")

    def untag(self, group: str, name: str) -> None:
        """Take mcv's tag off a volume that is kept; harmless if it has none, or is gone."""
        found = self._groups.find(group)
        known = self._volume(found, name)
        if found is not None and known is not None and known.ours:
            self._run("lvchange", *found.only, "--deltag", TAG, f"{group}/{name}")

    def activate(self, group: str, name: str) -> None:
        """Make the volume's device appear; harmless when it is there."""
        only = self._existing(group).only
        self._run("lvchange", *only, "--activate", "y", f"{group}/{name}")

    def zero(self, path: str) -> None:
        """Fill a device with zeros."""
        self._run("blkdiscard", "--zeroout", path, timeout=ZEROING_TIMEOUT)

    def zero_part(self, path: str, offset: int, length: int) -> None:
        """Fill a part of a device with zeros, also while DRBD or QEMU has the device open."""
        part = ("--offset", str(offset), "--length", str(length))
        self._run("blkdiscard", "--zeroout", "--force", *part, path, timeout=ZEROING_TIMEOUT)


def parse_volumes(text: str) -> list[Volume]:
    """Read the JSON report of lvs."""
    return [
        Volume(
            group=row["vg_name"],
            name=row["lv_name"],
            size=int(row["lv_size"]),
            thin=bool(row["pool_lv"]),
            ours=TAG in row["lv_tags"].split(","),
            pool=row["pool_lv"],
            used_percent=float(row.get("data_percent") or 0),
            metadata_percent=float(row.get("metadata_percent") or 0),
            is_pool=row.get("lv_attr", "").startswith("t"),
            active=row.get("lv_attr", "")[4:5] != "-",
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
