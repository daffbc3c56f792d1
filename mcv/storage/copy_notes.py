"""Notes of copies: a node takes the bytes of a disk for the operation that it noted, alone."""

import logging
from pathlib import Path

import msgspec
from msgspec import Struct

from mcv.document.disks import Disk
from mcv.document.names import Name
from mcv.document.subject import Subject
from mcv.errors import Refused
from mcv.host import Host
from mcv.system import files

log = logging.getLogger(__name__)

ENDING = ".copy.json"


class CopyNote(Struct, frozen=True, kw_only=True):
    """A volume of this node that a copy of a VM's disk goes to.

    `source` is the node that sends it, by the operation that claims the VM. The volume was made
    for it and read as zeros until the copy has `begun`. With a volume that is `kept` a guest may
    have gone on here: it may be newer than the source.
    """

    name: Name
    source: Name
    operation: str
    target: Disk
    begun: bool = False
    kept: bool = False


def read(host: Host, name: str, disk: int) -> CopyNote | None:
    """The note about a disk; None where there is none, or none that can be read."""
    return _read(_path(host, name, disk))


def write(host: Host, note: CopyNote) -> None:
    path = _path(host, note.name, note.target.id)
    files.write_atomically(path, msgspec.json.encode(note).decode())


def keep(host: Host, name: str) -> None:
    """Note durably, before a guest goes on with the copies of its disks, that they stay."""
    for path in sorted(host.settings.notes.glob(f"{name}.*{ENDING}")):
        note = _read(path)
        if note is not None and note.name == name and is_under_way(host, note):
            write(host, msgspec.structs.replace(note, kept=True))


def remove(host: Host, name: str, disk: int) -> None:
    """From now on nothing is expected; harmless when nothing was."""
    files.remove(_path(host, name, disk))


def require_expected(host: Host, name: str, disk: int, sender: str) -> CopyNote:
    """The note of a copy that a member sends.

    Errors: Refused unless the note is of this member and of the operation that claims the VM,
    on this member, in the document or the proposal.
    """
    note = read(host, name, disk)
    if note is None or note.source != sender:
        raise Refused(f"{host.name} expects no disk {disk} of {name} of {sender}.")
    for cluster in host.both():
        claim = cluster.claim_of(Subject.vm(name))
        if claim is not None and (claim.node, claim.operation) == (sender, note.operation):
            return note
    raise Refused(f"{sender} has no claim on {name} for which its disk is expected.")


def over(host: Host) -> list[CopyNote]:
    """The notes whose operation has no claim any more."""
    notes = [_read(path) for path in sorted(host.settings.notes.glob(f"*{ENDING}"))]
    return [note for note in notes if note is not None and not is_under_way(host, note)]


def is_under_way(host: Host, note: CopyNote) -> bool:
    claims = [cluster.claim_of(Subject.vm(note.name)) for cluster in host.both()]
    return any(claim and claim.operation == note.operation for claim in claims)


def _read(path: Path) -> CopyNote | None:
    text = files.read_or_none(path)
    try:
        return msgspec.json.decode(text, type=CopyNote) if text else None
    except msgspec.DecodeError as error:
        log.warning("%s cannot be read, so nothing is expected: %s", path, error)
        return None


def _path(host: Host, name: str, disk: int) -> Path:
    return files.child(host.settings.notes, f"{name}.{disk}{ENDING}")
