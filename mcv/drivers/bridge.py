"""The bridges of this host: looked at, never made."""

from pathlib import Path

Names = list[str]


class Bridges:
    """Reads which network devices are bridges from the kernel's own files."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._devices = root / "sys/class/net"

    def exists(self, name: str) -> bool:
        """Whether there is a bridge of this name on this host."""
        return name in self.list()

    def list(self) -> Names:
        """The names of this host's bridges."""
        return sorted(path.parent.name for path in self._devices.glob("*/bridge"))
