"""What is under way in the cluster: jobs, journals, claims, and finishing what was cut off."""

import logging
import time
from typing import Any

from mcv.document.model import Cluster
from mcv.errors import Busy, Failed, McvError, NotFound, Refused
from mcv.host import Host
from mcv.recovery.rows import JobRow, of_others
from mcv.system.answers import plain
from mcv.transaction.jobs import moment, retold
from mcv.transaction.journal import Entry
from mcv.transaction.journal import decode as decode_entry
from mcv.transaction.plan import Change, Step, nodes_of, settling, steps_of
from mcv.transaction.plan import change as change_

log = logging.getLogger(__name__)

RETRY = 10.0  # seconds between two tries at settling what a peer's silence holds up


def follow(host: Host, job: str, node: str, seen: int = 0) -> dict[str, Any]:
    """What is new of a job on this node, waiting a moment for it."""
    try:
        followed = host.jobs.get(job)
        news = followed.follow(seen, 1.5)
        if not followed.open:
            return news
        one = {**followed.plain(), "result": followed.result}
    except NotFound:
        known = host.jobs.remembered(job)
        if known is None:
            raise NotFound(f"There is no job {job} on {host.name}.", "See: mcv job list") from None
        one = known
    one = as_known_now(host, one)
    running = one["state"] == "running" or host.journal.read(job) is not None
    if running:
        time.sleep(1.0)
    state = "running" if running else "done" if one["state"] == "done" else "failed"
    return {
        "state": state,
        "seen": seen,
        "progress": [],
        "result": one.get("result"),
        "error": one["error"],
    }


def own_jobs(host: Host) -> list[dict[str, Any]]:
    found = [as_known_now(host, one) for one in host.jobs.listed()]
    return [{key: value for key, value in one.items() if key != "open"} for one in found]


def as_known_now(host: Host, one: dict[str, Any]) -> dict[str, Any]:
    """A job; where the outcome of its change was open at its end, what the document says now.

    Another document over the same one means that it was not made, and never will be.
    """
    open_ = one.get("open")
    if not open_ or one["state"] != "failed" or one["error"]["class"] != "OutcomeOpen":
        return one
    settled = host.read()
    if open_["change"] in settled.changes:
        return {**one, "state": "done", "error": None}
    if settled.generation > open_["generation"]:
        not_made = Failed(f"{one['title']} was not made: another change came first.", "Try again.")
        return {**one, "error": retold(not_made)}
    return one


def list_jobs(host: Host) -> list[dict[str, Any]]:
    """The jobs of every node that answers, the oldest first."""
    others, _ = of_others(host, "job.own", JobRow)
    return sorted([*own_jobs(host), *plain(others)], key=moment)


def show_job(host: Host, job: str) -> dict[str, Any]:
    for one in list_jobs(host):
        if one["id"] == job:
            return dict(one)
    raise NotFound(f"There is no job {job}.", "See: mcv job list")


def cancel_job(host: Host, job: str) -> dict[str, Any]:
    """End a job that may be cancelled now; refused for one that is at work."""
    node = show_job(host, job)["node"]
    if node != host.name:
        return dict(host.call(node, "job.stop", job=job))
    return stop_job(host, job)


def stop_job(host: Host, job: str) -> dict[str, Any]:
    one = host.jobs.get(job)
    if one.state != "running":
        raise Refused(f"Job {job} has ended already.", f"See: mcv job show {job}")
    if not one.cancellable:
        raise Refused(
            f"Job {job} ({one.title}) is at work and cannot be cancelled safely.",
            f"Wait for it with: mcv job wait {job}",
        )
    one.cancelled.set()
    return {"job": job, "cancelled": True}


# The journal


def keep_entry(host: Host, entry: str) -> None:
    """Keep a copy of another node's journal entry, in case that node does not come back."""
    host.journal.write(decode_entry(entry))


def drop_entry(host: Host, operation: str) -> None:
    entry = host.journal.read(operation)
    if entry is not None and entry.node != host.name:
        host.journal.remove(operation)


def settle_all(host: Host, patience: bool = True) -> list[str]:
    """Take up every entry that no job is at work on; what was settled, a title each.

    An entry whose operation has no claim in the document, nor in the proposal, is over.
    With patience, one that failed lately is left for a later round.
    """
    if not host.consensus.in_contact:
        return []
    tried = host.extra.setdefault("tried", {})
    settled = []
    for entry in host.journal.entries():
        if host.jobs.running(entry.operation):
            continue
        if not _claimed(host, entry):
            if _is_over(host, entry):
                host.journal.remove(entry.operation)
            continue
        if entry.node != host.name:
            continue
        if patience and time.monotonic() - tried.get(entry.operation, -RETRY) < RETRY:
            continue
        tried[entry.operation] = time.monotonic()
        if settle(host, entry):
            settled.append(entry.title)
    _release_lost(host)
    return settled


def _is_over(host: Host, entry: Entry) -> bool:
    """Whether an entry without a claim can be forgotten.

    One whose first step brings the claim may have offered it without an answer: then a
    change that comes after it must be made before its absence says anything.
    """
    brings_claim = isinstance(entry.plan[0], Step) and isinstance(entry.plan[0].do, Change)
    if not brings_claim:
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
    """Whether the node that carries an operation out has forgotten it, or is no member."""
    if entry.node not in host.read().nodes:
        return True
    try:
        copy = host.call(entry.node, "journal.copy", operation=entry.operation)
    except McvError as error:
        log.info("whether %s is over is not known: %s", entry.title, error)
        return False
    return copy["entry"] is None


def _claimed(host: Host, entry: Entry) -> bool:
    """Whether the document, or the proposal, holds the claim of an entry, on its node.

    A claim that another node has taken over is that node's: the entry here is over.
    """
    claims = (cluster.claim_of(entry.subject) for cluster in host.both())
    return any(
        claim and claim.operation == entry.operation and claim.node == entry.node
        for claim in claims
    )


def settle(host: Host, entry: Entry) -> bool:
    """Finish or undo one entry; whether it is gone from the journal now."""
    log.info("taking up %s (%s, %s)", entry.title, entry.operation, entry.direction)
    try:
        job = host.jobs.begin(entry.title, entry.who, entry.operation)
    except Busy:
        return False
    # As it is now: a job may have moved it on since the entries were listed.
    now = _without(host.journal.read(entry.operation) or entry, offline(host.read()))
    host.jobs.run(job, lambda: _settled(host, now))
    return host.journal.read(entry.operation) is None


def _settled(host: Host, entry: Entry) -> dict[str, Any]:
    host.transaction().settle(entry, lambda step: host.job.progress(step))
    return entry.answer


def offline(cluster: Cluster) -> list[str]:
    return sorted(name for name, node in cluster.nodes.items() if node.status == "offline")


def _without(entry: Entry, gone: list[str]) -> Entry:
    """An entry about a VM, to be settled without the nodes that are offline in the document.

    Their steps are left out. Where the plan is not settled yet it goes back, since what they
    would have done is missing.
    """
    touched = nodes_of(entry.plan) & set(gone)
    if not touched or not entry.subject.startswith("vm:"):
        return entry
    index = settling(entry.plan)
    steps = steps_of(entry.plan[index]) if index < len(entry.plan) else ()
    lost = any(step.seen and step.seen.node in gone for step in steps)
    if entry.direction == "forward" and entry.position < index + lost:
        entry.direction, entry.trouble = "back", f"{', '.join(sorted(touched))} is offline"
    entry.skip = gone
    return entry


def _release_lost(host: Host) -> None:
    """Release claims of this node that neither its journal nor a running operation knows."""
    cluster = host.read()
    for kind, things in (("vm", cluster.vms), ("node", cluster.nodes)):
        for name in things:
            claim = cluster.claim_of(f"{kind}:{name}")
            if claim is None or claim.node != host.name or host.jobs.running(claim.operation):
                continue
            if host.journal.read(claim.operation) is not None:
                continue
            change = change_(f"{kind}.release", name=name)
            try:
                host.make(
                    change,
                    id=f"{claim.operation}.lost-{kind}-{name}",
                    who="mcvd",
                    why="claim left over",
                )
            except McvError as error:
                log.info("releasing the claim on %s: %s", name, error)


def left(host: Host) -> list[dict[str, Any]]:
    return [
        {"operation": entry.operation, "title": entry.title, "trouble": entry.trouble}
        for entry in host.journal.entries()
        if entry.node == host.name and not host.jobs.running(entry.operation)
    ]


def settle_here(host: Host) -> dict[str, Any]:
    return {"settled": settle_all(host, patience=False), "left": left(host)}
