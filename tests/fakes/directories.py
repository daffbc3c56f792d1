"""What stands in for the directories of disks of a host: as tests/contract says of them."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mcv.document.disks import Format
from mcv.document.pools import DEFAULT_LOCATION
from mcv.drivers.directories import HANGS, LOCK, UNMOUNTED, Shape, View
from mcv.drivers.image_lock import Hold
from mcv.drivers.open_devices import Holder
from mcv.errors import CommandFailed, McvError

GIB = 1024**3
STATE = "of the state"


@dataclass
class About:
    """A directory: its file system, its mark, and what is odd about it."""

    mark: str = ""
    device: str = "of its own"
    size: int = 64 * GIB
    free: int = 64 * GIB
    real: str = ""
    closed: list[str] = field(default_factory=list)
    no_disks: str = ""
    hangs: bool = False
    locked: set[str] = field(default_factory=set)  # the files that some QEMU has open
    probed: bool = False  # whether the file is there by which locks are tried
    excludes: bool = True  # whether a lock of one host keeps another out


class FakeDirectories:
    """Directories of a host with 64 GiB free; the pool that every node has is among them."""

    def __init__(self) -> None:
        self.made: dict[str, dict[str, int]] = {DEFAULT_LOCATION: {}}
        self.about: dict[str, About] = {DEFAULT_LOCATION: About(device=STATE)}
        self.formats: dict[str, Format] = {}
        self.contents: dict[str, dict[int, bytes]] = {}  # by path, see tests/fakes/blocks.py
        self.open: dict[str, list[Holder]] = {}
        self.broken: set[str] = set()

    def at(self, location: str) -> About:
        """What is said of a directory, for a test to change."""
        return self.about.setdefault(location, About())

    def _at(self, location: str) -> About:
        if self.at(location).hangs:
            raise CommandFailed(f"{location} does not answer.", HANGS)
        if location not in self.made:
            raise CommandFailed(f"There is no directory {location} on this host.", UNMOUNTED)
        return self.at(location)

    def create(self, location: str, volume: str, size: int, format: Format) -> None:
        if self.exists(location, volume):
            return
        if "create" in self.broken:
            raise CommandFailed("`qemu-img` exited with 1: No space left on device")
        self.made[location][volume] = size
        self.formats[f"{location}/{volume}"] = format
        self.contents[f"{location}/{volume}"] = {}

    def remove(self, location: str, volume: str) -> None:
        if "remove" in self.broken:
            raise CommandFailed(f"{location}/{volume} cannot be removed.")
        if location in self.made:
            self.made[location].pop(_child(volume), None)

    def exists(self, location: str, volume: str) -> bool:
        self._at(location)
        return _child(volume) in self.made[location]

    def shape(self, location: str, volume: str) -> Shape:
        if not self.exists(location, volume):
            path = f"{location}/{volume}"
            raise CommandFailed(f"{path} cannot be read: No such file or directory.")
        format = self.formats.get(f"{location}/{volume}", "raw")
        return Shape(format=format, size=self.made[location][volume])

    def guest_size(self, location: str, volume: str) -> int:
        if volume not in self.made.get(location, {}):
            raise CommandFailed(f"{location}/{volume} cannot be read: No such file or directory.")
        if self.formats.get(f"{location}/{volume}") != "qcow2":
            raise CommandFailed(f"{location}/{volume} cannot be read: it is no qcow2 image.")
        return self.made[location][volume]

    def grow(self, location: str, volume: str, size: int) -> None:
        present = self.guest_size(location, volume)
        if size < present:
            raise CommandFailed(f"{location}/{volume} has {present} bytes: it does not shrink.")
        if "grow" in self.broken:
            raise CommandFailed("`qemu-img resize` exited with 1: No space left on device")
        self.made[location][volume] = size

    def holders(self, path: str) -> list[Holder]:
        location = str(Path(path).parent)
        if self.at(location).hangs:
            raise CommandFailed(f"{location} does not answer.", HANGS)
        return self.open.get(path, [])

    def view(self, location: str) -> View:
        there = self._at(location)
        volumes = dict.fromkeys(self.made[location], 0)
        return View(size=there.size, free=there.free, device=there.device, volumes=volumes)

    def room(self, location: str) -> tuple[int, int]:
        return self._at(location).size, self._at(location).free

    def volumes(self, location: str) -> dict[str, int]:
        return self.view(location).volumes

    def device_of(self, path: Path) -> str:
        return STATE

    def real(self, location: str) -> str:
        return self._at(location).real or location

    def closed(self, location: str) -> list[str]:
        return self._at(location).closed

    def why_no_disks(self, location: str) -> str:
        return self._at(location).no_disks

    def mark(self, location: str) -> str:
        return self._at(location).mark if location in self.made else ""

    def write_mark(self, location: str, id: str) -> None:
        self._at(location).mark = id

    def remove_mark(self, location: str) -> None:
        self.at(location).mark = ""

    @contextlib.contextmanager
    def lock_probe(self, location: str) -> Iterator[Hold]:
        about = self._at(location)
        about.probed = True
        try:
            yield lambda: self._held(about)
        finally:
            about.probed = False

    @contextlib.contextmanager
    def _held(self, about: About) -> Iterator[None]:
        about.locked.add(LOCK)
        try:
            yield
        finally:
            about.locked.discard(LOCK)

    def is_free(self, location: str, volume: str = LOCK) -> bool:
        about = self._at(location)
        if not (about.probed if volume == LOCK else self.exists(location, volume)):
            raise CommandFailed(f"Could not open '{location}/{volume}': No such file or directory")
        return volume not in about.locked or not about.excludes

    def make(self, location: str) -> None:
        self.made.setdefault(location, {})


def _child(volume: str) -> str:
    """The name of a file; McvError for a name that is hidden, or itself a path."""
    if not volume or volume.startswith(".") or "/" in volume:
        raise McvError(f"{volume!r} is no name for a file of mcv's.")
    return volume
