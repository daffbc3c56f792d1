"""Arrivals of live migrations: a node accepts what it has noted, and nothing else."""

import logging
import os
from pathlib import Path

import msgspec
from msgspec import Struct

from mcv.document.names import Name
from mcv.document.subject import Subject
from mcv.drivers.libvirt_identity import uuid_of
from mcv.errors import Refused, Unreadable
from mcv.host import Host
from mcv.system import files
from mcv.vm import definition

log = logging.getLogger(__name__)

ENDING = ".arrival.json"


class ArrivalNote(Struct, frozen=True, kw_only=True):
    """A domain that may arrive here: from which owner, by which operation, and as what.

    `xml` is the definition by this node's own libvirt.
    """

    name: Name
    source: Name
    operation: str
    uuid: str
    xml: str


def expect(host: Host, name: str) -> None:
    """Define the VM here and note that it may arrive; a step, so the claim has been looked at.

    Effect: the note allows the VM's owner, for the operation that claims the VM now, to send
    this very domain. Errors: Refused on the owner itself.
    """
    vm = host.both()[-1].vm(name)
    if vm.claim is None or vm.node == host.name:
        raise Refused(f"No other node can send {name} to {host.name}.")
    host.domains.define(definition.of(host, vm))
    xml = host.domains.migration.expected(name)
    note = ArrivalNote(
        name=name, source=vm.node, operation=vm.claim.operation, uuid=uuid_of(xml), xml=xml
    )
    files.write_atomically(_path(host, name), msgspec.json.encode(note).decode())


def require_expected(host: Host, name: str, sender: str) -> ArrivalNote:
    """The note of an arrival that a member begins.

    Errors: Refused unless the note is of this member and of the operation that claims the VM,
    on this member, in the document or the proposal.
    """
    note = read(host, name)
    if note is None or note.source != sender:
        raise Refused(f"{host.name} expects no {name} of {sender}.")
    for cluster in host.both():
        claim = cluster.claim_of(Subject.vm(name))
        if claim is not None and (claim.node, claim.operation) == (sender, note.operation):
            return note
    raise Refused(f"{sender} has no claim on {name} for which it is expected.")


def read(host: Host, name: str) -> ArrivalNote | None:
    """The note about a VM; None where there is none, or none that can be read."""
    return _read(_path(host, name))


def is_noted(host: Host, name: str) -> bool:
    """Whether there is a note about a VM, readable or not."""
    return os.path.lexists(_path(host, name))


def _read(path: Path) -> ArrivalNote | None:
    try:
        return files.read_as(path, ArrivalNote)
    except Unreadable as error:
        log.warning("%s Nothing is expected.", error.message)
        return None


def forget(host: Host, name: str) -> None:
    """From now on nothing is expected; harmless when nothing was."""
    files.remove(_path(host, name))


def forget_over(host: Host) -> None:
    """Remove the notes whose operation has no claim any more; a round of the daemon's loop."""
    if not host.consensus.in_contact:
        return
    for path in host.settings.notes.glob(f"*{ENDING}"):
        note = _read(path)
        name = path.name.removesuffix(ENDING)
        claims = [cluster.claim_of(Subject.vm(name)) for cluster in host.both()]
        if not any(note and claim and claim.operation == note.operation for claim in claims):
            files.remove(path)


def _path(host: Host, name: str) -> Path:
    return files.child(host.settings.notes, f"{name}{ENDING}")
