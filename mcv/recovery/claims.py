"""Claims in the document and lock files of each node: listed, taken over, cleared."""

from typing import Any

from mcv.document.claim import Claim
from mcv.document.subject import Subject
from mcv.errors import McvError, Refused, RepairNeeded, Unreadable
from mcv.host import DryRun, Host
from mcv.recovery import journal_recovery
from mcv.recovery.rows import (
    ClaimRow,
    Cleared,
    EntryCopy,
    LockRow,
    Locks,
    Repaired,
    Unfinished,
    of_others,
)
from mcv.system.answers import ask_typed, decoded, plain
from mcv.transaction.journal import Entry, EntryClaim, decode, encode
from mcv.transaction.plan import Call, Change, change, commit_point, steps_of

ASK = 3.0
REPAIR = 120.0  # s that another node has to resume its entries


def own_locks(host: Host) -> list[dict[str, Any]]:
    return [{"name": name, "node": host.name, **note} for name, note in host.locks.notes().items()]


def list_locks(host: Host) -> Locks:
    """Claims in the document and lock files of every node, with reason and time."""
    cluster = host.read()
    claims = [
        ClaimRow(
            subject=subject.name,
            operation=claim.operation,
            node=claim.node,
            why=claim.why,
            since=claim.since,
        )
        for subject in cluster.subjects()
        if (claim := cluster.claim_of(subject)) is not None
    ]
    others, problems = of_others(host, "locks.own", LockRow)
    held = [*own_locks(host), *plain(others)]
    locks = [
        f"{row['name']} on {row['node']}: {row.get('why', '?')} since {row.get('since', '?')}"
        for row in held
    ]
    return Locks(claims=claims, locks=locks, held=held, problems=problems)


def clear_lock(host: Host, name: str, dry_run: bool = False) -> Cleared | DryRun:
    """End the claim that an operation left on a VM, a member, a pool or an image.

    Effect: an operation of a node that is offline in the document is taken over, and resumed
    if a living node holds its plan; without a plan no step was made, and the claim is
    released. On the node that the claim names, an entry that cannot be resumed is given up.
    Errors: Refused where the claim's node is another node and online, or a job is at work.
    """
    cluster = host.read()
    named = [subject for subject in cluster.subjects() if subject.name == name]
    subject = next(filter(cluster.claim_of, named), None)
    claim = cluster.claim_of(subject) if subject else None
    if not named:
        cluster.vm(name)  # raises NotFound
    if subject is None or claim is None:
        raise Refused(f"{name} is not claimed.", "See: mcv locks list")
    if host.jobs.running(claim.operation):
        raise Refused(f"{claim.why} is at work.", f"mcv job wait {claim.operation}")
    if claim.node != host.name:
        require_takeable(host, claim)
    if dry_run:
        return DryRun(plan=[])
    if claim.node != host.name:
        take_over(host, subject, claim)
        _require_over(host, claim)
        return Cleared(name=name)
    journal_recovery.resume_all(host, patience=False)
    left = host.read().claim_of(subject)
    if left is not None and left.operation == claim.operation:
        _give_up_entry(host, claim.operation)
        _release(host, subject, f"{claim.operation}.given-up")
    return Cleared(name=name)


def _require_over(host: Host, claim: Claim) -> None:
    """Raises RepairNeeded where an operation that was taken over is neither done nor undone."""
    for entry in journal_recovery.left(host):
        if entry.operation == claim.operation:
            raise RepairNeeded(
                f"{entry.title} was taken over, and is not over yet: {entry.trouble}",
                "When what is in the way is gone: mcv repair",
            )


def _give_up_entry(host: Host, operation: str) -> None:
    """Remove an entry; an unreadable entry is kept under another name."""
    try:
        host.journal.read(operation)
    except Unreadable as error:
        host.journal.set_aside(operation, error.message)
    else:
        host.journal.remove(operation)


def _release(host: Host, subject: Subject, id_: str) -> None:
    release = change(subject.release_change, name=subject.name)
    host.make(release, id=id_, who=host.job.who, why="locks clear")


def take_over(host: Host, subject: Subject, claim: Claim) -> None:
    """Resume the operation of a node that is offline in the document, or no member any more.

    Precondition: this node is in contact. Effect: the claims of the operation get this node
    and a new number, so that a late call of the former node is refused; then the plan goes
    forward if it was committed, else back, without the steps of offline nodes. Errors:
    Refused where the claim's node is online, or where a living node's journal is unknown.
    """
    require_takeable(host, claim)
    entry = _plan(host, claim.operation)
    if entry is None:
        _release(host, subject, f"{claim.operation}.cleared")
        return
    # Before its claims name this node: a claim that this journal does not know is released.
    host.journal.write(entry)
    why = f"{claim.why}, taken over from {claim.node}"
    for number in entry.claims:
        _take_claim(host, number, claim.operation, why)
    _carry_on(host, entry)


def _carry_on(host: Host, entry: Entry) -> None:
    """Resume another node's operation whose claims this node has taken.

    Where the daemon ends before the entry is this node's, or a witness does not answer, the
    claims and the copy of the entry stay: mcv repair carries on from here.
    """
    newest = host.read()
    entry.skip = journal_recovery.offline(newest)
    entry = _directed(host, entry, newest.changes)
    entry.node = host.name
    host.journal.write(entry)
    journal_recovery.resume(host, entry)


def require_takeable(host: Host, claim: Claim) -> None:
    """Raises Refused while the claim's node is online, or this node out of contact."""
    host.consensus.require_contact()
    member = host.read().nodes.get(claim.node)
    if member is not None and member.status == "online":
        raise Refused(
            f"{claim.why} is carried out by {claim.node}, which is online.",
            f"There: mcv repair; or: mcv job wait {claim.operation}",
        )


def _take_claim(host: Host, number: EntryClaim, operation: str, why: str) -> None:
    """Give a claim this node and a new number; a subject without the claim is left alone."""
    cluster, subject = host.read(), Subject.parse(number.subject)
    claim = cluster.claim_of(subject)
    if claim is None or claim.operation != operation:
        return
    taken = host.make(
        change("claim.take_over", subject=str(subject), why=why),
        id=f"{operation}.taken-{cluster.generation}",
        who=host.job.who,
        why=why,
    ).claim_of(subject)
    assert taken is not None
    number.number = (taken.epoch, taken.generation)


def _directed(host: Host, entry: Entry, changes: tuple[str, ...]) -> Entry:
    """The entry with its direction: forward if its plan was committed, else back.

    The document knows a committing change; the witness (`seen`), while it is not offline,
    knows a committing call.
    """
    index = commit_point(entry.plan)
    steps = steps_of(entry.plan[index]) if index < len(entry.plan) else ()
    has_change = any(isinstance(step.do, Change) for step in steps)
    change_was_made = has_change and f"{entry.operation}.{index}" in changes
    seen = next((step.seen for step in steps if step.seen), None)
    if seen and seen.node in entry.skip and any(step.only_there for step in steps):
        raise Refused(
            f"Whether the guest went on there, with its disks, is known by {seen.node} alone, "
            "which is offline.",
            "When it is back: mcv repair",
        )
    call_was_served = seen is not None and seen.node not in entry.skip and _was_served(host, seen)
    if call_was_served or change_was_made:
        entry.direction, entry.position = "forward", index + call_was_served
    else:
        entry.direction, entry.position = "back", min(index, len(entry.plan) - 1)
        entry.trouble = f"{entry.node} is gone"
    return entry


def _was_served(host: Host, witness: Call) -> bool:
    """Whether a committing call took effect. Raises McvError where the witness does not tell."""
    answer = host.call(witness.node, witness.operation, **witness.params)
    return decoded(witness.node, witness.operation, answer, bool)


def _plan(host: Host, operation: str) -> Entry | None:
    """The plan of an operation, from this node's journal or another living node's."""
    unreadable: Unreadable | None = None
    try:
        if entry := host.journal.read(operation):
            return entry
    except Unreadable as error:
        unreadable = error
    others = [name for name in host.read().online if name != host.name]
    copies = ask_typed(host.call, others, "journal.copy", ASK, EntryCopy, operation=operation)
    for answer in copies.values():
        if isinstance(answer, McvError):
            raise Refused(f"Whether a plan is left cannot be known: {answer.message}", answer.hint)
        if answer.entry:
            return decode(answer.entry)
    if unreadable:
        raise Refused(f"The plan cannot be read: {unreadable.message}", unreadable.hint)
    return None


def copy_entry(host: Host, operation: str) -> EntryCopy:
    entry = host.journal.read(operation)
    return EntryCopy(entry=encode(entry) if entry else None)


def _finish_takeover(host: Host, claim: Claim) -> bool:
    """Carry on a takeover that was cut off when its claims were taken; whether it was one."""
    entry = None if host.jobs.running(claim.operation) else host.journal.read(claim.operation)
    if entry is None or entry.node == host.name:
        return False
    for number in entry.claims:
        held = host.read().claim_of(Subject.parse(number.subject))
        if held is not None and held.operation == claim.operation:
            number.number = (held.epoch, held.generation)
    _carry_on(host, entry)
    return True


def take_over_all(host: Host) -> Repaired:
    """For `mcv repair`: resume the operations of nodes that are offline in the document.

    An operation that cannot be taken over now holds up no other.
    """
    settled: list[str] = []
    left: list[Unfinished] = []
    for subject in host.read().subjects():
        # As it is now: an operation on two subjects is taken over with its first.
        claim = host.read().claim_of(subject)
        if claim is None:
            continue
        try:
            if _was_taken_over(host, subject, claim) and not host.journal.holds(claim.operation):
                settled.append(claim.why)
        except McvError as error:
            left.append(
                Unfinished(
                    operation=claim.operation,
                    title=claim.why,
                    trouble=error.message,
                    subject=subject.name,
                )
            )
    return Repaired(settled=settled, left=left)


def _was_taken_over(host: Host, subject: Subject, claim: Claim) -> bool:
    """Take an operation over where it is this node's to do so; whether it was."""
    if claim.node == host.name:
        return _finish_takeover(host, claim)
    member = host.read().nodes.get(claim.node)
    if member is not None and member.status != "offline":
        return False
    take_over(host, subject, claim)
    return True


def repair(host: Host) -> Repaired:
    """Finish or undo what the journals hold, on this node and on every node that answers."""
    here, taken = journal_recovery.resume_all(host, patience=False), take_over_all(host)
    unfinished = journal_recovery.left(host)
    named = {entry.operation for entry in unfinished}
    settled = [*here, *taken.settled]
    left = [*unfinished, *(entry for entry in taken.left if entry.operation not in named)]
    others = [name for name in host.read().nodes if name != host.name]
    answers = ask_typed(host.call, others, "repair.here", REPAIR, Repaired)
    unasked = []
    for node, answer in answers.items():
        if not isinstance(answer, McvError):
            settled += answer.settled
            left += answer.left
        elif node in host.read().online:
            unasked.append(f"What {node} holds is not known: {answer.sentence}")
    return Repaired(settled=settled, left=left, unasked=unasked)
