"""The side of a copy that a disk goes to: its volume, and who may write to it."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec

from mcv.document.disks import Disk
from mcv.document.subject import Subject
from mcv.drivers.blocks import Server
from mcv.errors import McvError, Refused
from mcv.host import Host
from mcv.rpc.tunnel import Granted
from mcv.sizes import shown
from mcv.storage import backings, copy_notes, paths
from mcv.storage.copy_notes import CopyNote
from mcv.storage.pieces import Digests
from mcv.storage.pieces import digests as digests_of
from mcv.system import files

log = logging.getLogger(__name__)

PURPOSE = "disk"  # what a stream says that it is for


def receive(host: Host, name: str, source: str, target: dict[str, Any], exact: int = 0) -> None:
    """Make the volume that a copy of a disk goes to, and note who may fill it; a step.

    Precondition: the VM's disk is elsewhere, and no volume has the target's name here, unless
    this very operation made it. Effect: the volume reads as zeros. Errors: McvError where it has
    not the `exact` bytes that are asked for, if any are.
    """
    disk = msgspec.convert(target, Disk)
    claim = host.both()[-1].claim_of(Subject.vm(name))
    if claim is None:
        raise Refused(f"Nobody has claimed {name}.")
    note = copy_notes.read(host, name, disk.id)
    if note is not None and note.operation != claim.operation:
        _clear(host, note)
        note = None
    if note is not None and note.begun:
        return
    if note is None:
        _require_free(host, name, disk)
        note = CopyNote(name=name, source=source, operation=claim.operation, target=disk)
        copy_notes.write(host, note)
    where = disk.places[host.name]
    size = backings.volume_size(host, disk)
    backings.of(host, disk).create(where, disk.volume, size, disk.format)
    if exact and not paths.is_file(disk):
        _require_exact(host, name, disk, exact)


def _require_exact(host: Host, name: str, disk: Disk, exact: int) -> None:
    """A running guest's disk cannot change its size: extents may make a volume larger here."""
    present = backings.of(host, disk).size(disk.places[host.name], disk.volume)
    if present != exact:
        raise McvError(
            f"Disk {disk.id} of {name} has {shown(exact)} and would have {shown(present)} on "
            f"{host.name}, whose volume group has other extents.",
            f"It moves when it is stopped: mcv migrate {name}",
        )


def _require_free(host: Host, name: str, disk: Disk) -> None:
    where = disk.places[host.name]
    if backings.of(host, disk).why_not_open(where, disk.volume) is None:
        raise McvError(
            f"There is {disk.volume} in {where} on {host.name} already, and nothing says that it "
            f"is a copy of disk {disk.id} of {name}.",
            "See: mcv cluster check",
        )


def discard(host: Host, name: str, disk: int) -> None:
    """Take an unfinished copy away, with its volume; harmless when there is none."""
    note = copy_notes.read(host, name, disk)
    if note is not None:
        _clear(host, note)


def clear_over(host: Host) -> None:
    """Take away what operations without a claim have left; a round of the daemon's loop.

    A copy whose operation ended well is a VM's disk by now, and stays. So does a volume with
    which a guest may have gone on here, when its operation was given up.
    """
    if host.consensus.in_contact:
        for note in copy_notes.over(host):
            _clear(host, note, keep=note.kept)


def _clear(host: Host, note: CopyNote, keep: bool = False) -> None:
    """Remove a note, and its volume unless document or proposal name that as a disk.

    With `keep` the volume stays, for a human: the check tells of it.
    """
    disk = note.target
    end(host, note)
    where = disk.places.get(host.name, "")
    if where and not is_a_disk(host, where, disk.volume) and not keep:
        backings.of(host, disk).remove(where, disk.volume)
    copy_notes.remove(host, note.name, disk.id)


def is_a_disk(host: Host, location: str, volume: str) -> bool:
    """Whether document or proposal name a volume of this node as a disk."""
    return any(
        (paths.location(cluster, disk, host.name), disk.volume) == (location, volume)
        for cluster in host.both()
        for _, disk in cluster.disks()
    )


def has_begun(host: Host, name: str, disk: int, sender: str) -> bool:
    """Whether bytes of a copy may have arrived here. Refused where the copy is not expected."""
    return copy_notes.require_expected(host, name, disk, sender).begun


def digests(host: Host, name: str, disk: int, offset: int, end: int, sender: str) -> Digests:
    """The digests of what has arrived; it is read from the disk, past the page cache."""
    note = copy_notes.require_expected(host, name, disk, sender)
    server = _serve(host, note, writable=False)
    try:
        with host.blocks.connect(server.socket) as nbd:
            return digests_of(nbd, offset, end)
    finally:
        server.end()


def target(host: Host, member: str, asked: Mapping[str, str]) -> Granted:
    """Where a member's stream of a disk leads: to the volume that is noted for it.

    A stream that takes the volume to be zeros is refused once another one has begun.
    """
    name, disk = asked.get("vm", ""), asked.get("disk", "")
    note = copy_notes.require_expected(host, name, int(disk) if disk.isdigit() else 0, member)
    server = open_for(host, note, is_zero=asked.get("zero") == "yes")
    return Granted(server.socket, end=server.end)


def open_for(host: Host, note: CopyNote, is_zero: bool) -> Server:
    if is_zero and note.begun:
        raise Refused(f"The copy of disk {note.target.id} of {note.name} has begun already.")
    copy_notes.write(host, msgspec.structs.replace(note, begun=True))
    return _serve(host, note, writable=True)


@contextmanager
def opened_here(host: Host, note: CopyNote, is_zero: bool) -> Iterator[Server]:
    """The same for a copy on this very node."""
    server = open_for(host, note, is_zero)
    try:
        yield server
    finally:
        server.end()


def _serve(host: Host, note: CopyNote, writable: bool) -> Server:
    """Serve the volume of a copy; a server of an earlier stream ends, its sender is gone."""
    disk = note.target
    key = f"{note.name}.{disk.id}"
    with host.receiving_lock:
        end(host, note)
        socket = files.child(host.settings.run, f"{key}.nbd")
        path = paths.path(host.both()[-1], disk, host.name)
        server = host.blocks.serve(path, disk.format, socket, writable)
        host.receiving[key] = server
    return server


def end(host: Host, note: CopyNote) -> None:
    """End the server of a copy's volume, if there is one."""
    server = host.receiving.pop(f"{note.name}.{note.target.id}", None)
    if server is not None:
        server.end()
