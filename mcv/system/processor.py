"""How busy the processors of this host were since it came up."""

from pathlib import Path

from msgspec import Struct

STAT = Path("/proc/stat")
IDLE = (3, 4)  # the columns that count as idle: idle, and waiting for I/O
GUEST = 8  # from here on columns count what others count already


class Spent(Struct, frozen=True, kw_only=True):
    """Time of all processors together, in the kernel's ticks."""

    busy: int
    total: int


def spent(stat: Path = STAT) -> Spent:
    """The time that was spent so far."""
    with stat.open(encoding="ascii") as file:
        ticks = [int(text) for text in file.readline().split()[1:][:GUEST]]
    idle = sum(ticks[column] for column in IDLE if column < len(ticks))
    return Spent(busy=sum(ticks) - idle, total=sum(ticks))
