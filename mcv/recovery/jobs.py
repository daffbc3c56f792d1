"""The jobs of every node: followed, listed, shown, cancelled."""

import time
from typing import Any

import msgspec

from mcv.document.model import REMEMBERED_CHANGES
from mcv.errors import DoneInPart, NotFound, Refused, error_to_plain
from mcv.host import Host
from mcv.recovery.rows import Concern, JobRow, Stopped, of_others
from mcv.system.answers import decoded, plain
from mcv.transaction.job_records import moment


def follow(host: Host, job: str, node: str, seen: int = 0) -> dict[str, Any]:
    """What is new of a job on this node, waiting a moment for it."""
    try:
        followed = host.jobs.get(job)
        news = followed.follow(seen, 1.5)
        if not followed.open:
            return news
        record = {**followed.plain(), "result": followed.result}
    except NotFound:
        remembered = host.jobs.remembered(job)
        if remembered is None:
            raise NotFound(f"There is no job {job} on {host.name}.", "See: mcv job list") from None
        record = remembered
    record = as_known_now(host, record)
    is_running = record["state"] == "running" or host.journal.holds(job)
    if is_running:
        time.sleep(1.0)
    state = "running" if is_running else "done" if record["state"] == "done" else "failed"
    return {
        "state": state,
        "seen": seen,
        "progress": [],
        "result": record.get("result"),
        "error": record["error"],
    }


def own_jobs(host: Host) -> list[dict[str, Any]]:
    records = [_told(as_known_now(host, record)) for record in host.jobs.listed()]
    return [{key: value for key, value in one.items() if key != "open"} for one in records]


def _told(record: dict[str, Any]) -> dict[str, Any]:
    """A job as it is listed: one whose work is done but for a part did not fail."""
    is_done = record["state"] == "failed" and record["error"]["class"] == DoneInPart.__name__
    return {**record, "state": "done"} if is_done else record


def as_known_now(host: Host, record: dict[str, Any]) -> dict[str, Any]:
    """A job whose change had an open outcome, with the outcome that the document tells now.

    A later generation without the change follows another document on the same parent: the
    change was not made, and never will be. The outcome is kept, since the document remembers
    its last changes alone: of a generation beyond them it does not tell.
    """
    open_ = record.get("open")
    if not open_ or record["state"] != "failed" or record["error"]["class"] != "OutcomeOpen":
        return record
    committed = host.read()
    passed = committed.generation - open_["generation"]
    if open_["change"] in committed.changes:
        known = {**record, "state": "done", "error": None}
    elif 0 < passed <= REMEMBERED_CHANGES:
        title = record["title"]
        not_made = Refused(f"{title} was not made: another change came first.", "Try again.")
        known = {**record, "error": error_to_plain(not_made)}
    else:
        return record
    host.jobs.conclude(known)
    return known


def list_jobs(host: Host) -> list[dict[str, Any]]:
    """The jobs of every node that answers, the oldest first."""
    others, _ = of_others(host, "job.own", JobRow)
    return sorted([*own_jobs(host), *plain(others)], key=moment)


def show_job(host: Host, job: str) -> dict[str, Any]:
    for record in list_jobs(host):
        if record["id"] == job:
            return dict(record)
    raise no_job(job)


def no_job(job: str) -> NotFound:
    return NotFound(f"There is no job {job}.", "See: mcv job list")


def find_job(host: Host, job: str) -> JobRow:
    """A job of any node. Errors: NotFound."""
    return msgspec.convert(show_job(host, job), JobRow)


def about(host: Host, job: str) -> Concern | None:
    """Who began a job of this node, and what it is about; None where there is no such job."""
    known = host.jobs.known(job)
    record = known.plain() if known else host.jobs.remembered(job)
    return msgspec.convert(record, Concern) if record is not None else None


def cancel_job(host: Host, job: str) -> Stopped:
    """End a job that may be cancelled now; Refused for a job that is at work."""
    node = show_job(host, job)["node"]
    if node != host.name:
        return decoded(node, "job.stop", host.call(node, "job.stop", job=job), Stopped)
    return stop_job(host, job)


def stop_job(host: Host, job: str) -> Stopped:
    """Cancel a job of this node, or what it left under way where a tool hung.

    Errors: Refused for a job that is at work, or has ended.
    """
    known = host.jobs.known(job)
    if known is not None and known.cancellable:
        known.cancelled.set()
        return Stopped(job=job)
    if not (host.jobs.running(job) or host.journal.holds(job)):
        raise Refused(f"Job {job} has ended already.", f"See: mcv job show {job}")
    title = f" ({known.title})" if known else ""
    raise Refused(
        f"Job {job}{title} is at work and cannot be cancelled safely.",
        f"Wait for it with: mcv job wait {job}",
    )
