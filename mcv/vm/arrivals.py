"""Arrivals of live migrations: a node accepts what it has noted, and nothing else."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from mcv.document.subject import Subject
from mcv.drivers.libvirt_identity import uuid_of
from mcv.errors import Refused, Unreadable
from mcv.host import Host
from mcv.network import tags
from mcv.system import files
from mcv.vm import as_it_runs, boot_files, definition, live_storage
from mcv.vm.arrival_note import ENDING, ArrivalNote

log = logging.getLogger(__name__)


def expect(
    host: Host, name: str, disks: Sequence[dict[str, Any]] = (), overlay: str | None = None
) -> None:
    """Define the VM here and note that it may arrive; a step, so the claim has been looked at.

    `disks` are entries of local disks as they will be here, whose volumes are there. Effect: the
    note allows the VM's owner, for the operation that claims the VM now, to send this very
    domain, with the bytes of these disks. `overlay` is the digest of the overlay that the guest
    began with, where that is not the VM's own any more. Errors: Refused on the owner itself, and
    for an overlay that no document of this node had.
    """
    vm = host.both()[-1].vm(name)
    if vm.claim is None or vm.node == host.name:
        raise Refused(f"No other node can send {name} to {host.name}.")
    moved = live_storage.entries(disks)
    note = read(host, name)
    if note is not None and (note.operation, note.resumed) == (vm.claim.operation, True):
        return
    arriving = live_storage.arriving(vm, moved)
    tags.bring_up(host, arriving)
    running = as_it_runs.began(host, arriving, overlay)
    host.domains.define(definition.of(host, running))
    boot_files.write_out(host, arriving)
    xml = host.domains.migration.expected(name)
    if overlay is not None:
        host.domains.define(definition.of(host, arriving))
    _write(
        host,
        ArrivalNote(
            name=name,
            source=vm.node,
            operation=vm.claim.operation,
            uuid=uuid_of(xml),
            xml=xml,
            mirrored=live_storage.mirrored(moved),
            with_disks=bool(moved),
        ),
    )


def _write(host: Host, note: ArrivalNote) -> None:
    files.write_atomically(_path(host, note.name), msgspec.json.encode(note).decode())


def mark_resumed(host: Host, name: str, resumed: bool = True) -> None:
    """Note durably, before an arrival with local disks is resumed, that it is.

    From then on the volumes here are newer than those of the source, also when this host dies
    and its domain with it. Without local disks, and without a note, nothing is done.
    """
    note = read(host, name)
    if note is not None and note.with_disks and note.resumed != resumed:
        _write(host, msgspec.structs.replace(note, resumed=resumed))


def was_resumed(host: Host, name: str) -> bool:
    """Whether a domain with local disks was resumed here by the operation that claims it."""
    note = read(host, name)
    if note is None or not note.resumed:
        return False
    claims = [cluster.claim_of(Subject.vm(name)) for cluster in host.both()]
    return any(claim and claim.operation == note.operation for claim in claims)


def require_expected(host: Host, name: str, sender: str) -> ArrivalNote:
    """The note of an arrival that a member begins.

    Errors: Refused unless the note is of this member and of the operation that claims the VM,
    on this member, in the document or the proposal.
    """
    note = read(host, name)
    if note is None or note.source != sender or note.resumed:
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
    """From now on nothing is expected; harmless when nothing was.

    That a domain with local disks was resumed is known until its operation is over.
    """
    note = read(host, name)
    if note is None or not note.resumed:
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
