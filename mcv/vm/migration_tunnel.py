"""The way of a live migration: unix sockets on either side, led through the daemons.

libvirt talks to the other libvirt, and QEMU sends the memory and the bytes of local disks, as if
both were on this host.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mcv.drivers.libvirt_rpc import Arrival, ArrivalFilter
from mcv.errors import Refused
from mcv.host import Host
from mcv.rpc.tunnel import Granted
from mcv.system import files
from mcv.vm import arrivals

# Where libvirt answers: its daemon for QEMU alone, or the daemon for every driver.
LIBVIRT = (Path("/run/libvirt/virtqemud-sock"), Path("/run/libvirt/libvirt-sock"))
# QEMU binds the socket that the memory arrives at. It runs as a user of its own, which owns the
# directory; and its AppArmor profile allows it no socket but one of this name below /run/libvirt
# (the name that libvirt's own tunnelled migration uses).
MEMORY = Path("/run/libvirt/mcv")
SOCKET = "mcv.tunnelmigrate.dest.{}"
# QEMU's NBD server, where the bytes of disks arrive.
DISKS = "mcv-disks.tunnelmigrate.dest.{}"
QEMU_HOME = Path("/var/lib/libvirt/qemu")


class Way(NamedTuple):
    """The URIs of the other libvirt, for the memory, and for the bytes of disks."""

    libvirt: str
    memory: str
    disks: str


@contextlib.contextmanager
def opened(host: Host, name: str, to: str, with_disks: bool = False) -> Iterator[Way]:
    """The way to another node, as long as this lasts; disks are led where there are any."""
    _make_room()
    ours = files.child(host.settings.run, f"{name}.libvirt")
    memory, disks = _memory(name), _disks(name)
    with contextlib.ExitStack() as tunnels:
        tunnels.enter_context(host.tunnel(ours, to, {"vm": name, "for": "libvirt"}))
        tunnels.enter_context(host.tunnel(memory, to, {"vm": name, "for": "memory"}))
        if with_disks:
            tunnels.enter_context(host.tunnel(disks, to, {"vm": name, "for": "disks"}))
            _give_to_qemu(disks)
        yield Way(f"qemu+unix:///system?socket={ours}", _uri(memory), _uri(disks))


def target(host: Host, member: str, asked: dict[str, str]) -> Granted:
    """Where a member's stream leads: to the expected domain's memory or disks, or to libvirt.

    To libvirt nothing passes but that domain's migration, which lets QEMU serve no disks but
    those that are expected with the domain. Errors: Refused where this node does
    not expect the domain from the member.
    """
    name = asked.get("vm", "")
    note = arrivals.require_expected(host, name, member)
    memory = _memory(name)
    if asked.get("for") == "memory":
        return Granted(memory)
    if asked.get("for") == "disks" and note.mirrored:
        return Granted(_disks(name))
    if asked.get("for") == "libvirt":
        _make_room()
        path = next((path for path in LIBVIRT if path.exists()), LIBVIRT[-1])
        arrival = Arrival(
            name=name,
            uuid=note.uuid,
            xml=note.xml,
            memory=_uri(memory),
            mirrored=note.mirrored,
            disks=_uri(_disks(name)),
        )
        return Granted(path, ArrivalFilter(arrival))
    raise Refused("A stream leads to libvirt, or to a domain's memory or disks.")


def clear(name: str) -> None:
    """Take away the sockets that an arrival leaves."""
    for path in (_memory(name), _disks(name)):
        with contextlib.suppress(OSError):
            path.unlink()


def _memory(name: str) -> Path:
    return MEMORY / SOCKET.format(name)


def _disks(name: str) -> Path:
    return MEMORY / DISKS.format(name)


def _uri(path: Path) -> str:
    return f"unix://{path}"


def _give_to_qemu(path: Path) -> None:
    """Let QEMU connect, which runs as a user of its own; where it may not, its mirror says so."""
    with contextlib.suppress(OSError):
        owner = QEMU_HOME.stat()
        os.chown(path, owner.st_uid, owner.st_gid)


def _make_room() -> None:
    """Make the directory of the sockets, for QEMU's user; where it fails, QEMU's bind says so."""
    with contextlib.suppress(OSError):
        owner = QEMU_HOME.stat()
        MEMORY.mkdir(mode=0o700, exist_ok=True)
        os.chown(MEMORY, owner.st_uid, owner.st_gid)
