"""Which volume group is the host's: found without a look at guests' disks, known by its UUID.

A guest's disk may hold a volume group of any name, the host's name too. LVM tells groups
apart by name, so mcv hands each of its commands the devices of one group, and writes down
the UUID of each group that it has used: `notes/NAME.volume-group.json`.
"""

import json
import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from mcv.errors import CommandFailed, McvError, Unreadable
from mcv.system import files
from mcv.system.process import Run

log = logging.getLogger(__name__)

# What is on DRBD's devices and on mcv's volumes is a guest's. LVM opens none of them: a
# device that is held open cannot be demoted.
GUESTS = ("r|^/dev/drbd|", "r|^/dev/[^/]+/mcv-|", "r|^/dev/mapper/.+-mcv--|")

UNITS = ("--reportformat", "json", "--units", "b", "--nosuffix")
COLUMNS = "pv_name,vg_name,vg_uuid,vg_size,vg_free,vg_extent_size"
ANYTHING = ['"a|.*|"']  # what lvmconfig says where no filter is set
TEXT = re.compile(r'"(?:[^"\\]|\\.)*"')


@dataclass(frozen=True)
class Group:
    """A volume group of the host; sizes in bytes. `problem` is why mcv does not touch it."""

    name: str
    uuid: str
    size: int
    free: int
    extent_size: int
    devices: tuple[str, ...] = ()
    problem: str = ""
    hint: str = ""

    @property
    def only(self) -> list[str]:
        """Options that show a command of LVM this group's devices and no others."""
        return [word for device in self.devices for word in ("--devices", device)]


class NotedGroup(msgspec.Struct, frozen=True):
    """The note about a volume group that mcv has used."""

    uuid: str


class VolumeGroups:
    """The volume groups of this host, and the notes of those that mcv has used."""

    def __init__(self, notes: Path, run: Run) -> None:
        self._notes = notes
        self._run = run

    def all(self) -> dict[str, Group]:
        """Every volume group of the host by name; changes no note.

        Of several groups of the same name the noted group is answered. A group that cannot be
        told from another, or that is not the noted one, is answered with its problem.
        """
        by_name: dict[str, list[Group]] = {}
        for group in self._scan():
            by_name.setdefault(group.name, []).append(group)
        return {name: self._known(name, groups) for name, groups in sorted(by_name.items())}

    def find(self, name: str) -> Group | None:
        """The group of that name; None where the host has none.

        Effect: the group's UUID is noted at its first use. Errors: CommandFailed where the
        group is not the noted one, where several have the name, or where the note cannot be
        read.
        """
        group = self.all().get(name)
        if group is None:
            return None
        if group.problem:
            raise CommandFailed(group.problem, group.hint)
        self._note(group)
        return group

    def _scan(self) -> list[Group]:
        told = self._run("pvs", *UNITS, "--options", COLUMNS, "--config", self._config())
        return parse_groups(told)

    def _config(self) -> str:
        """LVM's configuration for a scan: the host's own filter, behind the guests' devices.

        Hints of earlier scans are not used: they may be of a scan with other devices.
        """
        told = self._run("lvmconfig", "--typeconfig", "full", "devices/filter")
        own = TEXT.findall(told)  # one pattern alone stands in no brackets
        patterns = [*map(json.dumps, GUESTS), *(own if own != ANYTHING else [])]
        return f'devices {{ filter=[{", ".join(patterns)}] hints="none" }}'

    # Notes

    def _path(self, name: str) -> Path:
        return files.child(self._notes, f"{name}.volume-group.json")

    def _known(self, name: str, groups: list[Group]) -> Group:
        path = self._path(name)
        try:
            note = files.read_as(path, NotedGroup)
        except Unreadable as error:
            return replace(
                groups[0],
                problem=f"{error.message} It tells the volume group {name} from a guest's.",
                hint=f"It is written anew when it is gone: mv {path} {path}.unreadable",
            )
        return chosen(groups, note.uuid if note else "", path)

    def _note(self, group: Group) -> None:
        """Write the group's UUID down, where that is not done. Without room it is done later."""
        path = self._path(group.name)
        if path.exists():
            return
        try:
            files.write_atomically(path, msgspec.json.encode(NotedGroup(group.uuid)).decode())
        except McvError as error:
            log.warning("the volume group %s is not noted: %s", group.name, error)


def chosen(groups: list[Group], noted: str, note: Path) -> Group:
    """Which of the groups of one name is mcv's: the noted one, or the only one.

    Another group than the noted one may be a foreign disk's. A group made anew holds none
    of the volumes that mcv knows. Either is left alone until an administrator says so.
    """
    name = groups[0].name
    match = next((group for group in groups if group.uuid == noted), None)
    if match is not None:
        return match
    if noted:
        return replace(
            groups[0],
            problem=f"The volume group {name} is another one (UUID {groups[0].uuid}) than mcv "
            f"has used here (UUID {noted}): it was made anew, or its disk is not here.",
            hint=f"If it was made anew on purpose: rm {note}",
        )
    if len(groups) > 1:
        uuids = ", ".join(group.uuid for group in groups)
        return replace(
            groups[0],
            problem=f"There are {len(groups)} volume groups {name} (UUIDs {uuids}).",
            hint="Rename the one that is not to be used: vgrename UUID NAME",
        )
    return groups[0]


def parse_groups(text: str) -> list[Group]:
    """Read the JSON report of pvs: a row for each device, also for those of no group."""
    groups: dict[str, Group] = {}
    for row in _rows(text):
        uuid, device = row["vg_uuid"], row["pv_name"]
        if not uuid or is_guests(device):
            continue
        group = groups.get(uuid) or Group(
            name=row["vg_name"],
            uuid=uuid,
            size=int(row["vg_size"]),
            free=int(row["vg_free"]),
            extent_size=int(row["vg_extent_size"]),
        )
        there = (device,) if device.startswith("/") else ()  # "[unknown]" is a missing disk
        groups[uuid] = replace(group, devices=(*group.devices, *there))
    return [group for group in groups.values() if group.devices]


def _rows(text: str) -> Iterable[dict[str, str]]:
    return (row for report in json.loads(text)["report"] for row in report["pv"])


def is_guests(device: str) -> bool:
    """Whether a device is a guest's disk, by any of its names.

    A pattern of the host's own filter may accept another name of the same device.
    """
    names = {device, str(Path(device).resolve())}
    return any(re.search(pattern[2:-1], name) for pattern in GUESTS for name in names)
