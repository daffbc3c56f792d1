"""Resuming what a crash, a stop or a silent peer interrupted: the entries of the journal."""

import logging
import time
from typing import Any

from mcv.document.changes import CHANGES
from mcv.document.claim import Claim
from mcv.document.model import Cluster
from mcv.errors import Busy, McvError, NotFound, Refused, Unreadable
from mcv.host import Host
from mcv.recovery.rows import EntryCopy, Repaired, Unfinished
from mcv.system.answers import decoded
from mcv.transaction.job_records import About
from mcv.transaction.journal import Entry
from mcv.transaction.journal import decode as decode_entry
from mcv.transaction.plan import Change, brings_claim, change, commit_point, nodes_of, steps_of

log = logging.getLogger(__name__)

MAX_ENTRY = 1 << 20  # bytes of a journal entry that another node is to keep
MAX_KEPT = 256  # entries kept for one node
RETRY = 10.0  # seconds between two tries to resume an entry that a silent peer holds up


def keep_entry(host: Host, entry: str, sender: str) -> None:
    """Keep a copy of the sender's journal entry, in case that node does not come back.

    Precondition: the sender carries the operation out and holds its claims, or the plan brings
    them. Errors: Refused, also for an operation that this node carries out itself.
    """
    if len(entry) > MAX_ENTRY:
        raise Refused(f"A journal entry of {len(entry)} bytes is not kept.")
    copy = decode_entry(entry)
    try:
        present = host.journal.read(copy.operation)
    except Unreadable as error:
        raise Refused(f"{host.name} keeps another entry of {copy.operation}: {error}") from error
    if host.name in (copy.node, present.node if present else ""):
        raise Refused(f"Operation {copy.operation} is {host.name}'s own: its journal has it.")
    if copy.node != sender or (present is not None and present.node != sender):
        raise Refused(f"Operation {copy.operation} is not {sender}'s.")
    is_claimed = brings_claim(copy.plan) or _claimed(host, copy)
    if not is_claimed and host.read().store is not None:
        host.consensus.poll()  # a majority has committed the claim, and this node may be behind
        is_claimed = _claimed(host, copy)
    if not is_claimed:
        raise Refused(f"{host.name} knows of no claim by {copy.operation}.")
    if present is None and _kept_for(host, sender) >= MAX_KEPT:
        raise Refused(f"{host.name} keeps {MAX_KEPT} entries of {sender} already.", "mcv repair")
    host.journal.write(copy)


def _kept_for(host: Host, node: str) -> int:
    return sum(entry.node == node for entry in host.journal.entries())


def drop_entry(host: Host, operation: str, sender: str) -> None:
    """Remove a kept entry for its own node, or once its operation has no claim any more."""
    entry = host.journal.read(operation)
    if entry is None or entry.node == host.name:
        return
    if entry.node != sender and _claimed(host, entry):
        raise Refused(f"Operation {operation} is {entry.node}'s and not over.")
    host.journal.remove(operation)


def resume_all(host: Host, patience: bool = True) -> list[str]:
    """Resume every entry of this node that no job is at work on; the titles of those ended.

    Precondition: none; out of contact nothing is done. Effect: an entry whose operation has
    a claim neither in the document nor in the proposal is over and is removed; claims of
    this node that neither the journal nor a job knows are released. With patience, an entry
    that was tried less than RETRY ago is left for a later round.
    """
    if not host.consensus.in_contact:
        return []
    ended = []
    contents = host.journal.contents()
    for entry in contents.entries:
        if host.jobs.running(entry.operation):
            continue
        if not _claimed(host, entry):
            if _is_over(host, entry):
                host.journal.remove(entry.operation)
            continue
        if entry.node != host.name or (patience and _was_tried(host, entry.operation)):
            continue
        if unknown_step(host, entry):
            continue
        host.resumed_at[entry.operation] = time.monotonic()
        if resume(host, entry):
            ended.append(entry.title)
    if contents.unreadable:
        _set_aside_over(host)
    for operation in host.resumed_at.keys() - {entry.operation for entry in contents.entries}:
        host.resumed_at.pop(operation, None)
    _release_lost(host)
    return ended


def unknown_step(host: Host, entry: Entry) -> str:
    """A step of an entry that this version does not know; "" where it knows all of them.

    Such an entry is neither carried on nor undone: its subjects stay claimed and untouched.
    """
    for item in entry.plan:
        for step in steps_of(item):
            for action in (step.do, step.undo, step.seen):
                if isinstance(action, Change):
                    known, name = action.name in CHANGES, action.name
                elif action is not None:
                    known, name = host.knows(action.operation), action.operation
                else:
                    continue
                if not known:
                    return name
    return ""


def _was_tried(host: Host, operation: str) -> bool:
    return time.monotonic() - host.resumed_at.get(operation, -RETRY) < RETRY


def _is_over(host: Host, entry: Entry) -> bool:
    """Whether an entry without a claim can be removed.

    The first step of some plans brings the claim, and may have been proposed without an
    answer. Such an entry is over once a later change has been committed without it.
    """
    if not brings_claim(entry.plan):
        return True
    if entry.node != host.name:
        return _is_over_there(host, entry)
    if entry.position > 0:
        return True
    try:
        host.update("barrier", f"after {entry.title}")
    except McvError as error:
        log.info("%s may still be open: %s", entry.title, error)
        return False
    return not _claimed(host, entry)


def _is_over_there(host: Host, entry: Entry) -> bool:
    """Whether the entry's own node has removed it, or is no member any more."""
    if entry.node not in host.read().nodes:
        return True
    try:
        answer = host.call(entry.node, "journal.copy", operation=entry.operation)
        copy = decoded(entry.node, "journal.copy", answer, EntryCopy)
    except McvError as error:
        log.info("whether %s is over is not known: %s", entry.title, error)
        return False
    return copy.entry is None


def _claimed(host: Host, entry: Entry) -> bool:
    """Whether the document, or the proposal, holds a claim of an entry, on the entry's node.

    After a takeover the claims name another node, and the entry here is over. A claim on a VM
    that the entry renamed is the entry's, whether that was noted or not.
    """
    claims = [claim for claim in _claims_of(host) if claim.operation == entry.operation]
    # A claim of this node on another's entry is a takeover that was cut off: see claims.repair.
    return any(claim.node in (entry.node, host.name) for claim in claims)


def resume(host: Host, entry: Entry) -> bool:
    """Finish or undo an entry as a job; whether the journal is rid of it now."""
    if not host.journal.holds(entry.operation):
        return True  # another thread has ended it since the entries were listed
    log.info("resuming %s (%s, %s)", entry.title, entry.operation, entry.direction)
    try:
        vms = tuple(subject.name for subject in entry.subjects if subject.kind == "vm")
        job = host.jobs.begin(entry.title, entry.who, entry.operation, About(vms=vms))
    except Busy:
        return False
    host.jobs.run(job, lambda: _resumed(host, entry))
    return not host.journal.holds(entry.operation)


def _resumed(host: Host, listed: Entry) -> dict[str, Any]:
    # A job may have moved the entry on, or ended it, since the entries were listed.
    newest = host.journal.read(listed.operation)
    if newest is not None:
        entry = _without(newest, offline(host.read()))
        host.transaction().resume(entry, lambda step: host.job.progress(step))
    return listed.answer


def offline(cluster: Cluster) -> list[str]:
    return sorted(name for name, node in cluster.nodes.items() if node.status == "offline")


def _without(entry: Entry, gone: list[str]) -> Entry:
    """An entry about VMs, reduced by the steps of nodes that are offline in the document.

    An entry before its commit point goes back, since the effect of those steps is missing. An
    entry at it whose only witness is gone is left as it is, where what that node has would be
    lost.
    """
    touched = nodes_of(entry.plan) & set(gone)
    if not touched or any(subject.kind != "vm" for subject in entry.subjects):
        return entry
    index = commit_point(entry.plan)
    steps = steps_of(entry.plan[index]) if index < len(entry.plan) else ()
    witness_is_gone = any(step.seen and step.seen.node in gone for step in steps)
    may_be_there = any(step.only_there for step in steps)
    if witness_is_gone and may_be_there and entry.position == index:
        return entry
    if entry.direction == "forward" and entry.position < index + witness_is_gone:
        entry.direction, entry.trouble = "back", f"{', '.join(sorted(touched))} is offline"
    entry.skip = gone
    return entry


def _release_lost(host: Host) -> None:
    """Release claims of this node that neither its journal nor a running operation knows."""
    cluster = host.read()
    for subject in cluster.subjects():
        claim = cluster.claim_of(subject)
        if claim is None or claim.node != host.name or host.jobs.running(claim.operation):
            continue
        if host.journal.holds(claim.operation):
            continue
        release = change(subject.release_change, name=subject.name)
        id_ = f"{claim.operation}.lost-{subject.lock}"
        try:
            host.make(release, id=id_, who="mcvd", why="claim left over")
        except McvError as error:
            log.info("releasing the claim on %s: %s", subject.name, error)


def left(host: Host) -> list[Unfinished]:
    """What of this node's journal no job carries out, entries that cannot be read included."""
    contents, known = host.journal.contents(), _claims_of(host)
    # An operation that was taken over is this node's, too.
    here = {claim.operation for claim in known if claim.node == host.name}
    entries = [
        Unfinished(
            operation=entry.operation,
            title=entry.title,
            trouble=_trouble(host, entry),
            subject=" ".join(subject.name for subject in entry.subjects),
        )
        for entry in contents.entries
        if (entry.node == host.name or entry.operation in here)
        and not host.jobs.running(entry.operation)
    ]
    claims = {claim.operation: claim for claim in known}
    return entries + [
        Unfinished(
            operation=operation,
            title=claims[operation].why if operation in claims else f"operation {operation}",
            trouble=error.message,
        )
        for operation, error in contents.unreadable.items()
    ]


def _trouble(host: Host, entry: Entry) -> str:
    if unknown := unknown_step(host, entry):
        return f"this version does not know its step {unknown}"
    return reason(host, entry)


def _claims_of(host: Host) -> list[Claim]:
    """Every claim that the document or the proposal holds."""
    return [
        claim
        for cluster in host.both()
        for subject in cluster.subjects()
        if (claim := cluster.claim_of(subject))
    ]


def _set_aside_over(host: Host) -> None:
    """Put entries aside that cannot be read and whose operation has no claim any more.

    A claim that was proposed without an answer is looked for behind a later change. While an
    operation is claimed its entry stays, and with it the claim: the subject is untouched.
    """
    lost = host.journal.unreadable()
    if not lost or {claim.operation for claim in _claims_of(host)} >= lost.keys():
        return
    host.update("barrier", "after journal entries that cannot be read")
    claimed = {claim.operation for claim in _claims_of(host)}
    for operation in lost.keys() - claimed:
        host.journal.set_aside(operation, lost[operation].message)


def reason(host: Host, entry: Entry) -> str:
    """Why an operation of this node is not over: what kept the last try from its end."""
    try:
        host.consensus.require_contact()
    except McvError as error:
        return error.message
    said = _last_error(host, entry.operation).removesuffix(f" (job {entry.operation})")
    return said.removeprefix(f"{entry.title} ") or entry.trouble or "it was not tried again yet"


def _last_error(host: Host, operation: str) -> str:
    """What the last job of an operation ended in; "" where that is not known."""
    try:
        failure = host.jobs.get(operation).error
    except NotFound:
        failure = (host.jobs.remembered(operation) or {}).get("error")
    return str(failure.get("message", "")) if failure else ""


def resume_here(host: Host) -> Repaired:
    """For `mcv repair`: resume every entry of this node now; what ended, and what is left."""
    return Repaired(settled=resume_all(host, patience=False), left=left(host))
