"""The way of a live migration: two unix sockets on either side, led through the daemons.

libvirt talks to the other libvirt, and QEMU sends the memory, as if both were on this host.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

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
QEMU_HOME = Path("/var/lib/libvirt/qemu")


@contextlib.contextmanager
def opened(host: Host, name: str, to: str) -> Iterator[tuple[str, str]]:
    """The URIs of the other libvirt, and for the memory, as long as this lasts."""
    _make_room()
    ours = files.child(host.settings.run, f"{name}.libvirt")
    memory = _memory(name)
    with (
        host.tunnel(ours, to, {"vm": name, "for": "libvirt"}),
        host.tunnel(memory, to, {"vm": name, "for": "memory"}),
    ):
        yield f"qemu+unix:///system?socket={ours}", _uri(memory)


def target(host: Host, member: str, asked: dict[str, str]) -> Granted:
    """Where a member's stream leads: to the expected domain's memory, or to libvirt for it.

    To libvirt nothing passes but that domain's migration. Errors: Refused where this node does
    not expect the domain from the member.
    """
    name = asked.get("vm", "")
    note = arrivals.require_expected(host, name, member)
    memory = _memory(name)
    if asked.get("for") == "memory":
        return Granted(memory)
    if asked.get("for") == "libvirt":
        _make_room()
        path = next((path for path in LIBVIRT if path.exists()), LIBVIRT[-1])
        arrival = Arrival(name=name, uuid=note.uuid, xml=note.xml, memory=_uri(memory))
        return Granted(path, ArrivalFilter(arrival))
    raise Refused("A stream leads to libvirt or to a domain's memory.")


def clear(name: str) -> None:
    """Take away the socket that an arrival leaves."""
    with contextlib.suppress(OSError):
        _memory(name).unlink()


def _memory(name: str) -> Path:
    return MEMORY / SOCKET.format(name)


def _uri(memory: Path) -> str:
    return f"unix://{memory}"


def _make_room() -> None:
    """Make the directory of the sockets, for QEMU's user; where it fails, QEMU's bind says so."""
    with contextlib.suppress(OSError):
        owner = QEMU_HOME.stat()
        MEMORY.mkdir(mode=0o700, exist_ok=True)
        os.chown(MEMORY, owner.st_uid, owner.st_gid)
