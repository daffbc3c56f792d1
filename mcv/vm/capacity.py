"""What a node can give to a new VM: room, minors, ports, memory, bridges."""

import os

from msgspec import Struct

from mcv.drivers import firmware
from mcv.errors import McvError
from mcv.host import Host
from mcv.storage import drbd
from mcv.storage.rooms import Room, rooms


class Capacity(Struct, frozen=True, kw_only=True):
    """What a node can give to a new VM; `rooms` are its pools by name.

    Minors and ports are in use already; memory is the host's, in bytes. `machines` are those
    that its QEMU knows; a silent libvirt, and an mcv of before, tell none. `has_uefi` is
    whether the firmware is installed.
    """

    rooms: dict[str, Room]
    minors: list[int]
    ports: list[int]
    memory: int
    bridges: list[str]
    machines: list[str] = []
    has_uefi: bool = False


def capacity(host: Host) -> Capacity:
    """What this node can give to a new VM; what LVM does not tell is a problem of its pools."""
    return Capacity(
        rooms=rooms(host),
        minors=drbd.minors(host),
        ports=_ports(),
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        bridges=host.bridges.list(),
        machines=_machines(host),
        has_uefi=firmware.is_there(),
    )


def _machines(host: Host) -> list[str]:
    try:
        return list(host.domains.capabilities().machines)
    except McvError:
        return []


def _ports() -> list[int]:
    """TCP ports that some socket of this host is bound to."""
    found = set()
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(path, encoding="ascii") as file:
                rows = file.read().splitlines()[1:]
        except FileNotFoundError:
            continue
        found |= {int(row.split()[1].rpartition(":")[2], 16) for row in rows}
    return sorted(found)
