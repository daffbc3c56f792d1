"""The way of a live migration: two unix sockets on either side, led through the daemons.

libvirt talks to the other libvirt, and QEMU sends the memory, as if both were on this host.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from mcv.document.subject import Subject
from mcv.errors import Refused
from mcv.host import Host
from mcv.system import files

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
        yield f"qemu+unix:///system?socket={ours}", f"unix://{memory}"


def target(host: Host, member: str, asked: dict[str, str]) -> Path:
    """Return the socket for a member's stream; raise Refused unless it holds the VM's claim."""
    name = asked.get("vm", "")
    claims = [cluster.claim_of(Subject.vm(name)) for cluster in host.both() if name in cluster.vms]
    if not any(claim is not None and claim.node == member for claim in claims):
        raise Refused(f"{member} has no claim on {name}.")
    if asked.get("for") == "memory":
        return _memory(name)
    if asked.get("for") == "libvirt":
        _make_room()
        return next((path for path in LIBVIRT if path.exists()), LIBVIRT[-1])
    raise Refused(f"There is no way to {asked.get('for')}.")


def clear(name: str) -> None:
    """Take away the socket that an arrival leaves."""
    with contextlib.suppress(OSError):
        _memory(name).unlink()


def _memory(name: str) -> Path:
    return MEMORY / SOCKET.format(name)


def _make_room() -> None:
    """Make the directory of the sockets, for QEMU's user; where it fails, QEMU's bind says so."""
    with contextlib.suppress(OSError):
        owner = QEMU_HOME.stat()
        MEMORY.mkdir(mode=0o700, exist_ok=True)
        os.chown(MEMORY, owner.st_uid, owner.st_gid)
