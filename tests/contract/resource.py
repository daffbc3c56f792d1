"""The resource that the contract of DRBD is about, and how a promise looks at it."""

import re
from typing import Protocol

from mcv.drivers.drbd import Drbd
from mcv.drivers.drbd_status import Status
from tests.contract import eventually

RESOURCE = "mcv-contract-1"
MINOR = 100


class Stand(Protocol):
    """A resource with a file and a volume on both hosts; each promise begins with its state.

    The fence-peer handler says of every peer that is away that it is dead.
    """

    here: Drbd
    there: Drbd
    backing: str

    def born(self) -> None:
        """Given: both replicas are up, connected and UpToDate, nobody is primary."""

    def wiped(self) -> None:
        """Given: the resource is down and without metadata, on both hosts."""

    def differ(self) -> None:
        """Make 4 KiB of both replicas differ, which nobody has seen yet."""

    def detach(self) -> None:
        """Have DRBD let go of the volume there, as after an I/O error."""

    def give_size(self, size: int) -> None:
        """Write a size of the device, in bytes, into the resource's file on both hosts."""

    def hold(self) -> None:
        """Keep the device open here, so that its role cannot change."""

    def release(self) -> None: ...

    def slow_down(self) -> None:
        """Let a verification begun here take so long that it can be cut off."""

    def speed_up(self) -> None:
        """Let verifications begun here end by themselves again."""


def with_size(text: str, size: int) -> str:
    """The text of a resource file with another size in it."""
    bare = re.sub(r"\n *size \d+s;", "", text)
    return bare.replace("    disk {\n", f"    disk {{\n        size {size // 512}s;\n", 1)


def now(door: Drbd) -> Status:
    seen = door.status(RESOURCE)
    assert seen is not None
    return seen


def wait_connected(stand: Stand) -> None:
    eventually(lambda: now(stand.here).connected and now(stand.there).connected)


def wait_well(stand: Stand) -> None:
    eventually(lambda: now(stand.here).both_up_to_date and now(stand.there).both_up_to_date)


def state(door: Drbd) -> tuple[str, str, str]:
    seen = now(door)
    return seen.role, seen.disk, seen.connection
