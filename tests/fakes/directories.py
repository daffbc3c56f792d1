"""What stands in for the directories of disks of a host: as tests/contract says of them."""

from pathlib import Path

from mcv.document.disks import Format
from mcv.document.pools import DEFAULT_LOCATION
from mcv.drivers.open_devices import Holder
from mcv.errors import CommandFailed

GIB = 1024**3


class FakeDirectories:
    """Directories of a host that has 64 GiB free; the pool that every node has is among them."""

    def __init__(self) -> None:
        self.made: dict[str, dict[str, int]] = {DEFAULT_LOCATION: {}}
        self.formats: dict[str, Format] = {}
        self.open: dict[str, list[Holder]] = {}
        self.size = 64 * GIB
        self.broken: set[str] = set()

    def create(self, location: str, volume: str, size: int, format: Format) -> None:
        if location not in self.made:
            raise CommandFailed(f"There is no directory {location} on this host.")
        if volume in self.made[location]:
            return
        if "create" in self.broken:
            raise CommandFailed("`qemu-img` exited with 1: No space left on device")
        self.made[location][volume] = size
        self.formats[f"{location}/{volume}"] = format

    def remove(self, location: str, volume: str) -> None:
        if "remove" in self.broken:
            raise CommandFailed(f"{location}/{volume} cannot be removed.")
        self.made.get(location, {}).pop(volume, None)

    def exists(self, location: str, volume: str) -> bool:
        return volume in self.made.get(location, {})

    def holders(self, path: str) -> list[Holder]:
        return self.open.get(path, [])

    def is_dir(self, location: str) -> bool:
        return location in self.made

    def room(self, location: str) -> tuple[int, int]:
        return self.size, self.size

    def allocated(self, location: str, volume: str) -> int:
        return 0

    def names(self, location: str) -> list[str]:
        return sorted(self.made[location])

    def is_same_file_system(self, location: str, other: Path) -> bool:
        return location == DEFAULT_LOCATION

    def make(self, location: str) -> None:
        self.made.setdefault(location, {})
