"""The program that libvirt asks before it begins a domain: by documents and notes alone.

It calls neither mcvd, which may be down, nor libvirt, which waits for the answer. libvirt
begins nothing where the exit code is not 0, and puts what stderr says into its error. Nothing
is printed to stdout: for RESTORE and MIGRATE that would be another definition.
"""

import sys
from pathlib import Path

from mcv import printable
from mcv import settings as settings_module
from mcv.document import place
from mcv.document.arms import has_leases
from mcv.document.model import Cluster
from mcv.drbd import notes
from mcv.drbd.handler import read_documents
from mcv.drivers.domain_reading import Mark, mark_of
from mcv.drivers.libvirt_identity import name_of
from mcv.errors import McvError, Unreadable
from mcv.rules import beginning
from mcv.rules.beginning import Beginning, Operation
from mcv.settings import Settings
from mcv.system import files, lease
from mcv.system.start_gate import StartGate
from mcv.vm import arrival_note, start_permit

LET, REFUSE = 0, 1


def answer(conf: Settings, operation: str, xml: str) -> int:
    """Judge what libvirt is about to do; says why on stderr where the answer is no.

    Only domains with mcv's mark are judged; under leases none begins without a valid lease.
    Where the documents cannot be read, no domain with the mark begins.
    """
    mark = mark_of(xml)
    if mark is None or operation not in list(Operation):
        return LET
    try:
        documents = read_documents(conf.state)
        if any(has_leases(cluster) for cluster in documents):
            return _armed(conf, documents, Operation(operation), mark, name_of(xml))
        return _judged(conf, documents, Operation(operation), mark)
    except (McvError, OSError, ValueError) as error:
        return _refuse(f"the documents of this node cannot be read: {error}")


def _armed(
    conf: Settings, documents: list[Cluster], operation: Operation, mark: Mark, name: str
) -> int:
    """As `_judged`, where the lease is valid.

    The start is marked before the lease is looked at: once mcv-lease has found no marker, every
    later look here finds the lease over. libvirt's hook removes it when the domain has started,
    or has not; mcvd does where libvirt ended in between.
    """
    gate = StartGate(conf.run)
    try:
        gate.mark(name)
    except (OSError, ValueError) as error:
        return _refuse(f"the start of {name} cannot be marked in {conf.run}: {error}")
    if lease.is_valid(conf.run):
        answer = _judged(conf, documents, operation, mark)
    else:
        answer = _refuse(f"{conf.node} is armed and has no valid lease, so no VM begins there.")
    if answer != LET or operation is not Operation.PREPARE:
        gate.unmark(name)
    return answer


def _judged(conf: Settings, documents: list[Cluster], operation: Operation, mark: Mark) -> int:
    problem = beginning.why_not(
        documents,
        conf.node,
        Beginning(
            operation=operation,
            uuid=mark.uuid,
            incarnation=mark.incarnation,
            permit=start_permit.valid(conf.notes, mark.uuid),
            arrival=_noted_arrival(conf, mark.uuid),
            expected=arrival_note.expected(conf.notes, mark.uuid),
            noted=tuple(notes.blocked(conf.notes)),
        ),
    )
    if problem is not None:
        return _refuse(f"{problem.message} {problem.hint}")
    if operation is Operation.MIGRATE:
        _note_arrival(conf, documents, mark.uuid)
    if operation is Operation.PREPARE:
        # Both are good for one beginning.
        files.remove(_arrival(conf, mark.uuid))
        start_permit.withdraw(conf.notes, mark.uuid)
    return LET


def _arrival(conf: Settings, uuid: str) -> Path:
    """The note between MIGRATE and the PREPARE that follows: PREPARE alone tells no arrival."""
    return files.child(conf.run, f"{uuid}.arrival")


def _noted_arrival(conf: Settings, uuid: str) -> str:
    """The operation of the arrival that MIGRATE let in; "" where no note can be read."""
    try:
        return files.read_or_none(_arrival(conf, uuid)) or ""
    except Unreadable:
        return ""


def _note_arrival(conf: Settings, documents: list[Cluster], uuid: str) -> None:
    expected = arrival_note.expected(conf.notes, uuid)
    if operation := beginning.arriving(documents, conf.node, uuid, expected):
        files.write_atomically(_arrival(conf, uuid), operation)


def _refuse(why: str) -> int:
    print(f"mcv: {printable.line(why)}", file=sys.stderr)
    return REFUSE


def main() -> None:
    """Called with the operation; the domain's definition is on stdin."""
    operation = sys.argv[1] if len(sys.argv) > 1 else ""
    xml = sys.stdin.buffer.read().decode(errors="replace")
    try:
        # Nothing here needs this host's address, and a resolver may hang.
        conf = place.located(settings_module.load(resolve=lambda _: ""))
    except (McvError, OSError) as error:
        sys.exit(LET if mark_of(xml) is None else _refuse(str(error)))
    sys.exit(answer(conf, operation, xml))


if __name__ == "__main__":
    main()
