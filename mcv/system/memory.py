"""Memory of this host."""

from pathlib import Path

from msgspec import Struct

MEMINFO = Path("/proc/meminfo")


class Memory(Struct, frozen=True, kw_only=True):
    """In bytes; `free` is what a new process can have without swapping."""

    total: int
    free: int


def memory(meminfo: Path = MEMINFO) -> Memory:
    """The memory of this host now."""
    rows = (line.split() for line in meminfo.read_text(encoding="ascii").splitlines())
    kib = {row[0].rstrip(":"): int(row[1]) for row in rows}
    return Memory(total=kib["MemTotal"] * 1024, free=kib["MemAvailable"] * 1024)
