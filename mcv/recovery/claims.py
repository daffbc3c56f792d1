"""Who holds what: claims in the document, lock files of each node; and letting go."""

from typing import Any

from mcv.document.model import Claim
from mcv.errors import McvError, Refused
from mcv.host import Host
from mcv.recovery import journal_recovery
from mcv.recovery.rows import LockRow, of_others
from mcv.system.answers import plain
from mcv.system.fanout import ask_all
from mcv.transaction.journal import Entry, decode, encode
from mcv.transaction.plan import Change, settling, steps_of
from mcv.transaction.plan import change as change_

ASK = 3.0


def own_locks(host: Host) -> list[dict[str, Any]]:
    return [{"name": name, "node": host.name, **note} for name, note in host.locks.notes().items()]


def list_locks(host: Host) -> dict[str, Any]:
    """Who holds what, since when: claims in the document, lock files of every node."""
    cluster = host.read()
    claims = [
        {
            "subject": name,
            "operation": thing.claim.operation,
            "node": thing.claim.node,
            "why": thing.claim.why,
            "since": thing.claim.since,
        }
        for things in (cluster.vms, cluster.nodes)
        for name, thing in things.items()
        if thing.claim is not None
    ]
    others, problems = of_others(host, "locks.own", LockRow)
    locks = [*own_locks(host), *plain(others)]
    return {"claims": claims, "locks": locks, "problems": problems}


def clear_lock(host: Host, name: str) -> dict[str, Any]:
    """Let go what an operation left on a VM, or on a member that it was adding or removing.

    What a node left that is offline in the document is finished or undone by this one, if a
    living node holds its plan; else no step was made, and the claim is released. On the node
    that the claim names, what cannot be settled is given up. Refused where that is another
    node, and online.
    """
    cluster = host.read()
    kind = "node" if name in cluster.nodes and name not in cluster.vms else "vm"
    subject = f"{kind}:{name}"
    claim = cluster.node(name).claim if kind == "node" else cluster.vm(name).claim
    if claim is None:
        raise Refused(f"{name} is not claimed.", "See: mcv locks list")
    if host.jobs.running(claim.operation):
        raise Refused(f"{claim.why} is at work.", f"mcv job wait {claim.operation}")
    if claim.node != host.name:
        take_over(host, subject, claim)
        return {"name": name}
    journal_recovery.settle_all(host, patience=False)
    left = host.read().claim_of(subject)
    if left is not None and left.operation == claim.operation:
        host.journal.remove(claim.operation)
        change = change_(f"{kind}.release", name=name)
        host.make(change, id=f"{claim.operation}.given-up", who=host.job.who, why="locks clear")
    return {"name": name}


def take_over(host: Host, subject: str, claim: Claim) -> None:
    """Carry on with what a node left that is offline in the document, or no member any more.

    The claim gets this node and a new number, so that a late call of the other does nothing.
    Whether the plan is settled, the document says; where a step on the dead node settles it,
    it goes back. Steps on nodes that are offline are left out.
    """
    host.consensus.require_contact()
    cluster = host.read()
    member = cluster.nodes.get(claim.node)
    if member is not None and member.status == "online":
        raise Refused(
            f"{claim.why} is carried out by {claim.node}, which is online.",
            f"There: mcv repair; or: mcv job wait {claim.operation}",
        )
    entry = _plan(host, claim.operation)
    kind, _, name = subject.partition(":")
    if entry is None:
        change = change_(f"{kind}.release", name=name)
        host.make(change, id=f"{claim.operation}.cleared", who=host.job.who, why="locks clear")
        return
    why = f"{claim.why}, taken over from {claim.node}"
    taken = host.make(
        change_("claim.take_over", subject=subject, why=why),
        id=f"{claim.operation}.taken-{cluster.generation}",
        who=host.job.who,
        why=why,
    )
    new = taken.claim_of(subject)
    assert new is not None
    entry.skip = journal_recovery.offline(taken)
    entry = _turned(host, entry, taken.changes)
    entry.node, entry.number = host.name, (new.epoch, new.generation)
    host.journal.write(entry)
    journal_recovery.settle(host, entry)


def _turned(host: Host, entry: Entry, changes: tuple[str, ...]) -> Entry:
    """An entry that says which way its plan goes.

    What was settled the document says, or the node that was called, where it can be asked.
    """
    index = settling(entry.plan)
    steps = steps_of(entry.plan[index]) if index < len(entry.plan) else ()
    changed = any(isinstance(step.do, Change) for step in steps)
    seen = next((step.seen for step in steps if step.seen), None)
    if seen is not None and seen.node not in entry.skip:
        called = bool(host.call(seen.node, seen.operation, **seen.params))
    else:
        called = False
    if called or (changed and f"{entry.operation}.{index}" in changes):
        entry.direction, entry.position = "forward", index + called
    else:
        entry.direction, entry.position = "back", min(index, len(entry.plan) - 1)
        entry.trouble = f"{entry.node} is gone"
    return entry


def _plan(host: Host, operation: str) -> Entry | None:
    """The plan of an operation, from this node's journal or another living one's."""
    entry = host.journal.read(operation)
    if entry is not None:
        return entry
    others = [one for one in host.read().online if one != host.name]
    for answer in ask_all(host.call, others, "journal.copy", ASK, operation=operation).values():
        if isinstance(answer, McvError):
            raise Refused(f"Whether a plan is left cannot be known: {answer.message}", answer.hint)
        if answer["entry"]:
            return decode(answer["entry"])
    return None


def copy_entry(host: Host, operation: str) -> dict[str, Any]:
    entry = host.journal.read(operation)
    return {"entry": encode(entry) if entry else None}


def take_over_all(host: Host) -> list[str]:
    """For `mcv repair`: carry on with whatever nodes left that are offline in the document."""
    cluster = host.read()
    subjects = [f"vm:{name}" for name in cluster.vms] + [f"node:{name}" for name in cluster.nodes]
    taken = []
    for subject in subjects:
        claim = cluster.claim_of(subject)
        if claim is None or claim.node == host.name:
            continue
        member = cluster.nodes.get(claim.node)
        if member is None or member.status == "offline":
            take_over(host, subject, claim)
            taken.append(claim.why)
    return taken


def repair(host: Host) -> dict[str, Any]:
    """Finish or undo what the journals hold, on this node and on every one that answers."""
    found = journal_recovery.settle_here(host)
    found["settled"] += take_over_all(host)
    others = [name for name in host.read().nodes if name != host.name]
    for node, answer in ask_all(host.call, others, "repair.here", 120.0).items():
        if isinstance(answer, McvError):
            host.job.progress(f"{node} was not asked: {answer.message}")
            continue
        found["settled"] += answer["settled"]
        found["left"] += answer["left"]
    return found
