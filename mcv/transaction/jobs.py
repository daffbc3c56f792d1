"""Operations that last: progress, wait, cancel; each is remembered after it has ended."""

import contextlib
import contextvars
import json
import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mcv import printable
from mcv.errors import (
    Busy,
    CallLost,
    Cancelled,
    McvError,
    NotFound,
    OutcomeOpen,
    error_to_plain,
    of_system,
)
from mcv.system import event_log, files, stall
from mcv.system.event_log import EventLog
from mcv.timestamps import timestamp
from mcv.transaction import job_records as records
from mcv.transaction.bars import Bars
from mcv.transaction.cancellation import Cancellable
from mcv.transaction.job_records import About

log = logging.getLogger(__name__)

REMEMBERED = 100
REMEMBERED_OF_HA = 20

Work = Callable[[], Any]


class Job(Cancellable):
    """An operation under way: its author, its progress, its end."""

    def __init__(self, id: str, title: str, who: str, node: str) -> None:
        super().__init__(printable.line(title))
        self.id = id
        self.who = printable.line(who)
        self.told = ""  # the last outcome that an event told
        self.node = node
        self.about = About()
        self.began = timestamp()
        self.at = time.time()
        self.started = time.monotonic()
        self.ended = ""
        self.state = "running"
        self.result: Any = None
        self.error: dict[str, Any] | None = None
        self.changes = 0
        self.open: dict[str, Any] = {}  # the change of unknown outcome, the generation then
        self.is_brief = False  # a power button: when it failed, nothing is left of it
        self.is_over = False  # it ended and left nothing: it is not listed
        self.stalled = ""
        self._bars = Bars()
        self._seen = 0
        self._news = threading.Condition()

    def progress(
        self, what: str, done: float = 0, total: float = 0, unit: str = "", note: str = ""
    ) -> None:
        """Say how far it is; the CLI draws it as a bar, or as a line where total is 0."""
        with self._news:
            self._seen += 1
            self._bars.note(self._seen, what, done, total, unit, note)
            self._news.notify_all()

    def stall(self, why: str) -> None:
        """Note why the job stands still, or "": it goes on. Its follower waits no longer."""
        with self._news:
            if why != self.stalled:
                self.stalled, self._seen = why, self._seen + 1
                self._news.notify_all()

    @property
    def _standing_still(self) -> list[dict[str, Any]]:
        """Why the job stands still, as a progress without an amount."""
        stands_still = self.stalled and self.state == "running"
        return [{"what": self.stalled, "done": 0, "total": 0, "unit": ""}] if stands_still else []

    def next_change(self) -> str:
        """The id of this operation's next change of the document."""
        self.changes += 1
        return f"{self.id}.c{self.changes}"

    def end(self, result: Any, error: McvError | None) -> None:
        with self._news:
            self.result = result
            if error is not None:
                self.error = error_to_plain(error)
            self.ended = timestamp()
            self.state = "failed" if error is not None else "done"
            self._news.notify_all()

    def follow(self, seen: int, wait: float) -> dict[str, Any]:
        """What is new since `seen`, waiting up to `wait` seconds for it."""
        with self._news:
            self._news.wait_for(lambda: self._seen > seen or self.state != "running", wait)
            return {
                "state": self.state,
                "stalled": self.stalled if self.state == "running" else "",
                "seen": self._seen,
                "progress": self._bars.since(seen),
                "result": self.result,
                "error": self.error,
            }

    def left_nothing(self, error: McvError) -> bool:
        """Whether an end in this error is nothing that anybody has to find again.

        Refused, nothing was changed; a power button that failed was undone. Whoever follows the
        job is told. A cancelled job was looked for by somebody.
        """
        is_refusal = error.exit_code == 3 and not isinstance(error, Cancelled)
        return is_refusal or (self.is_brief and error.exit_code == 1)

    def plain(self) -> dict[str, Any]:
        with self._news:  # the job's own thread may begin another bar meanwhile
            bars = self._bars.all()
        return {
            "id": self.id,
            "title": self.title,
            "who": self.who,
            "node": self.node,
            "right": self.about.right,
            "vms": list(self.about.vms),
            "began": self.began,
            "at": self.at,
            "ended": self.ended,
            "state": self.state,
            "cancellable": self.cancellable,
            "waits": self.waits,
            "progress": bars + self._standing_still,
            "error": self.error,
            "open": self.open,
        }


current: contextvars.ContextVar[Job | None] = contextvars.ContextVar("current", default=None)


class Jobs:
    """The jobs of a node: those under way in memory, the last that ended on disk too."""

    def __init__(self, node: str, directory: Path, events: EventLog | None = None) -> None:
        self._node = node
        self._directory = directory
        self.events = events or EventLog(node, directory.parent / "events")
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()

    def begin(self, title: str, who: str, id: str = "", about: About | None = None) -> Job:
        """Begin a job; with an id, resume that job: Busy if it is at work."""
        with self._lock:
            former = self._jobs.get(id)
            if former is not None and former.state == "running":
                raise Busy(f"{title} is at work already.", f"See: mcv job wait {id}")
            prefix = records.OF_HA if who == records.MCV_HA else ""
            job = Job(id or prefix + secrets.token_hex(4), title, who, self._node)
            job.about = former.about if former else about or job.about
            if former is not None:
                job.cancellation, job.told = former.cancellation, former.told
            self._jobs[job.id] = job
        self._write(job)
        return job

    def start(
        self, title: str, who: str, work: Work, brief: bool = False, about: About | None = None
    ) -> Job:
        """Carry out work in a thread of its own, as a job that can be followed."""
        job = self.begin(title, who, about=about)
        job.is_brief = brief
        name = f"job-{job.id}"
        threading.Thread(target=self.run, args=(job, work), name=name, daemon=True).start()
        return job

    @contextlib.contextmanager
    def unlisted(self, job: Job) -> Iterator[None]:
        """Have a job of the daemon's own run in this block; it is neither listed nor kept.

        Whoever resumes what no job carries out leaves its entry and its claims alone meanwhile.
        """
        job.is_over = True
        with self._lock:
            self._jobs[job.id] = job
        try:
            yield
        finally:
            with self._lock:
                del self._jobs[job.id]

    def run(self, job: Job, work: Callable[[], Any]) -> None:
        """Carry out work as this job; its end, good or bad, is written down."""
        token = current.set(job)
        listening = stall.listener.set(job.stall)
        try:
            result = work()
            log.info("%s, asked for by %s: done (job %s)", job.title, job.who, job.id)
            job.is_over = job.about.is_plan
            self._tell(job, None)
            job.end(result, None)
        except McvError as error:
            if isinstance(error, CallLost):
                error = OutcomeOpen(error.message, "See: mcv job list, mcv info")
            log.info("%s, asked for by %s: %s (job %s)", job.title, job.who, error, job.id)
            job.is_over = job.about.is_plan or job.left_nothing(error)
            self._tell(job, error)
            job.end(None, error)
        except Exception as error:
            log.exception("job %s (%s)", job.id, job.title)
            what = of_system(error).message if isinstance(error, OSError) else "an internal error."
            # How far it came is not known: the journal has the rest, if there is one.
            hint = "See: journalctl -u mcvd, mcv info, mcv repair"
            unclear = OutcomeOpen(f"{job.title}: {what}", hint)
            self._tell(job, unclear)
            job.end(None, unclear)
        finally:
            stall.listener.reset(listening)
            current.reset(token)
            self._write(job)

    def _tell(self, job: Job, error: McvError | None) -> None:
        """Note the end of a job as an event, not again where each attempt ends alike."""
        before, job.told = job.told, event_log.outcome(error)
        if not job.about.is_plan and job.told != before:
            self.events.record(job.who, job.about.what or job.title, job.about.subject, job.told)

    def known(self, id: str) -> Job | None:
        """A job of this run of the daemon; None where it is none, or forgotten."""
        return self._jobs.get(id)

    def get(self, id: str) -> Job:
        job = self.known(id)
        if job is None:
            raise NotFound(f"There is no job {id} on {self._node}.", "See: mcv job list")
        return job

    def listed(self) -> list[dict[str, Any]]:
        """Jobs under way and lately ended, the oldest first."""
        listed = {record["id"]: record for record in records.known_in(self._directory)}
        with self._lock:
            for job in self._jobs.values():
                listed[job.id] = job.plain()
                if job.is_over:
                    del listed[job.id]
        return sorted(listed.values(), key=records.moment)

    def running(self, id: str) -> bool:
        with self._lock:
            return id in self._jobs and self._jobs[id].state == "running"

    def at_work(self) -> list[Job]:
        """The jobs that are being carried out, those of the daemon's own among them."""
        with self._lock:
            return [job for job in self._jobs.values() if job.state == "running"]

    def under_way(self) -> int:
        return len(self.at_work())

    def close_interrupted(self, unfinished: set[str]) -> None:
        """Close the record of each job that a stop of the daemon interrupted."""
        for record in records.known_in(self._directory):
            if record["state"] != "running":
                continue
            error = records.interruption(record, record["id"] in unfinished)
            record["state"] = "interrupted"
            record["ended"] = timestamp()
            record["error"] = error_to_plain(error)
            self._save(record)
            self.events.record(record["who"], record["title"], "", error.message)

    def conclude(self, record: dict[str, Any]) -> None:
        """Keep the outcome, known by now, of a job whose change was open when it ended."""
        with self._lock:
            job = self._jobs.get(record["id"])
        if job is None:
            self._save({**record, "open": {}})
            return
        job.state, job.error, job.open = record["state"], record["error"], {}
        self._write(job)

    def remembered(self, id: str) -> dict[str, Any] | None:
        """The record of a job; McvError where a later version wrote it."""
        for record in records.all_in(self._directory):
            if record["id"] == id:
                records.require_known(record)
                return records.without_schema(record)
        return None

    def _save(self, record: dict[str, Any]) -> None:
        """Write a record down. Without room the job goes on: its record is in memory alone."""
        path = files.child(self._directory, f"{record['id']}.json")
        try:
            files.write_atomically(path, json.dumps({"schema": records.SCHEMA, **record}))
        except McvError as error:
            log.warning("the record of job %s: %s", record["id"], error)

    def _write(self, job: Job) -> None:
        if job.is_over:
            files.remove(files.child(self._directory, f"{job.id}.json"))
        else:
            # Whether it can be cancelled is known to this run of the daemon alone.
            self._save({**job.plain(), "cancellable": False, "result": job.result})
        if job.state == "running":
            return
        with self._lock:
            ended = [job for job in self._jobs.values() if job.state != "running"]
            ids = [job.id for job in sorted(ended, key=lambda other: other.ended)]
            for id in records.too_many(ids, REMEMBERED, REMEMBERED_OF_HA):
                del self._jobs[id]
        records.forget_oldest(self._directory, 2 * REMEMBERED, 2 * REMEMBERED_OF_HA)
