"""What happened on this node: a line of JSON for each event, a file for each day.

Nobody waits for the disk: an event is handed to a writer, which appends it without a sync. A
crash of the host may take the last events away, and may tear the last line, which readers skip.
"""

import contextlib
import logging
import os
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from mcv import printable
from mcv.errors import Cancelled, DoneInPart, McvError, OutcomeOpen, ProblemFound

log = logging.getLogger(__name__)

KEPT = 30  # days
LARGEST = 4 * 1024**2  # bytes of a day's file; what is more is not kept
REFUSALS = LARGEST // 2  # bytes from which on refusals are not kept: they cost nobody's events
PAGE = 256 * 1024  # bytes that are read at once
WAITING = 5000  # events that wait for the disk; the newest are dropped
PATIENCE = 1.0  # s that a reader waits for what is still to be written
LONGEST = {"who": 64, "what": 200, "subject": 200, "outcome": 400}  # characters

DAY = re.compile(r"\d{4}-\d\d-\d\d")
CURSOR = re.compile(r"(\d{4}-\d\d-\d\d)/(\d{1,12})")

NEWLINE = b"\n"
DONE = "done"
REFUSED = "refused"


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Who did what to which subjects on which node, how it came out, and when (UTC)."""

    when: str
    node: str
    who: str
    what: str
    subject: str
    outcome: str


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Events in the order in which they were written; `cursor` is where the next page begins.

    With `more` there are further events already.
    """

    events: list[Event]
    cursor: str
    more: bool = False


def outcome(error: McvError | None) -> str:
    """How an operation ended, in a line; what it left behind comes first."""
    if error is None:
        return DONE
    if isinstance(error, Cancelled):
        return "cancelled"
    said = " ".join([error.message, *(message for message, _ in error.problems)])
    return f"{_family(error)}: {said}"


def _family(error: McvError) -> str:
    if isinstance(error, OutcomeOpen):
        return "outcome open"
    if isinstance(error, DoneInPart):
        return "done in part"
    if isinstance(error, ProblemFound):
        return "found"
    return {3: REFUSED, 4: "stopped half-way"}.get(error.exit_code, "failed")


def moment(at: float) -> str:
    """Seconds since 1970 as events have them: UTC, to the millisecond, in the order of text."""
    milliseconds = int(at * 1000)
    seconds, rest = divmod(milliseconds, 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest:03}Z"


class EventLog:
    """The events of this node, kept for KEPT days in a directory of their own."""

    def __init__(self, node: str, directory: Path, now: Callable[[], float] = time.time) -> None:
        self._node = node
        self._directory = directory
        self._now = now
        self._waiting: deque[Event] = deque()
        self._changed = threading.Condition()
        self._is_writing = False
        self._complaint = ""

    def record(self, who: str, what: str, subject: str = "", outcome: str = DONE) -> None:
        """Note an event; returns at once, and never raises."""
        told = {"who": who, "what": what, "subject": subject, "outcome": outcome}
        parts = {key: printable.line(text)[: LONGEST[key]] for key, text in told.items()}
        event = Event(when=moment(self._now()), node=self._node, **parts)
        with self._changed:
            if len(self._waiting) >= WAITING:
                return
            self._waiting.append(event)
            if self._is_writing:
                return
            self._is_writing = True
        threading.Thread(target=self._write_waiting, name="events", daemon=True).start()

    def flush(self, patience: float = PATIENCE) -> None:
        """Wait until what was noted so far is in its file, no longer than patience seconds."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_writing, patience)

    def _write_waiting(self) -> None:
        while True:
            with self._changed:
                batch = list(self._waiting)
                self._waiting.clear()
                if not batch:
                    self._is_writing = False
                    self._changed.notify_all()
                    return
            try:
                self._append(batch)
                self._complaint = ""
            except OSError as error:
                self._complain(f"events are not kept: {error.strerror or error}")

    def _complain(self, text: str) -> None:
        if text != self._complaint:
            log.warning("%s", text)
        self._complaint = text

    def _append(self, events: Iterable[Event]) -> None:
        """Append events to the files of their days; a torn line before them is ended."""
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        by_day: dict[str, list[Event]] = {}
        for event in events:
            by_day.setdefault(event.when[:10], []).append(event)
        for day, told in by_day.items():
            path = self._directory / f"{day}.jsonl"
            if not path.exists():
                self._forget_old()
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
            fd = os.open(path, flags, 0o600)
            try:
                _write(fd, told)
            finally:
                os.close(fd)

    def _forget_old(self) -> None:
        oldest = moment(self._now() - KEPT * 86400)[:10]
        for day in self._days():
            if day < oldest:
                with contextlib.suppress(OSError):
                    (self._directory / f"{day}.jsonl").unlink()

    def _days(self) -> list[str]:
        try:
            names = [path.stem for path in self._directory.glob("*.jsonl")]
        except OSError:
            return []
        return sorted(name for name in names if DAY.fullmatch(name))

    def read(self, since: str = "", cursor: str = "") -> Page:
        """A page of the events from a moment on, or from where another page ended.

        A cursor that is none counts as none.
        """
        self.flush()
        days, offset = self._from(since, cursor)
        oldest = moment(self._now() - KEPT * 86400)
        events: list[Event] = []
        end = cursor or f"{moment(self._now())[:10]}/0"
        room = PAGE
        for day in days:
            data = _part(self._directory / f"{day}.jsonl", offset, room)
            whole = data[: data.rfind(b"\n") + 1]
            events += [event for event in _decoded(whole) if event.when >= max(since, oldest)]
            is_full, is_no_line = len(data) >= room, not whole and room == PAGE
            offset += len(data) if is_full and is_no_line else len(whole)
            room -= len(whole)
            end = f"{day}/{offset}"
            if is_full:
                return Page(events=events, cursor=end, more=True)
            offset = 0
        return Page(events=events, cursor=end)

    def _from(self, since: str, cursor: str) -> tuple[list[str], int]:
        """The days to read, and where the first of them is begun."""
        if place := CURSOR.fullmatch(cursor):
            day, offset = place[1], int(place[2])
            days = [each for each in self._days() if each >= day]
            return days, offset if day in days else 0
        return [each for each in self._days() if each >= since[:10]], 0

    def lately(self, about: str, most: int, budget: int = 2 * LARGEST) -> Page:
        """The last events, most at the most, that name a VM or a node; the oldest first.

        No more than the newest `budget` bytes are looked through. The page's cursor is the end.
        """
        self.flush()
        named = naming(about)
        found: list[Event] = []
        cursor = f"{moment(self._now())[:10]}/0"
        for index, day in enumerate(reversed(self._days())):
            data = _part(self._directory / f"{day}.jsonl", 0, LARGEST + PAGE)
            if index == 0:
                cursor = f"{day}/{data.rfind(NEWLINE) + 1}"
            budget -= len(data)
            lines = [line for line in data.splitlines() if about.encode() in line]
            events = [event for event in _decoded(NEWLINE.join(lines)) if is_about(event, named)]
            found = [*events, *found][-most:]
            if budget <= 0 or len(found) >= most:
                break
        return Page(events=found, cursor=cursor)


def naming(name: str) -> re.Pattern[str]:
    """What finds a name in a text as a word of its own."""
    return re.compile(rf"(?<![a-z0-9-]){re.escape(name)}(?![a-z0-9-])")


def is_about(event: Event, named: re.Pattern[str]) -> bool:
    return any(named.search(text) for text in (event.subject, event.what, event.outcome))


def _write(fd: int, events: Iterable[Event]) -> None:
    """Append as many events as a day's file has room for, each with one write."""
    size = os.fstat(fd).st_size
    is_torn = size > 0 and os.pread(fd, 1, size - 1) != b"\n"
    for event in events:
        most = REFUSALS if event.outcome.startswith(REFUSED) else LARGEST
        line = b"\n" * is_torn + msgspec.json.encode(event) + b"\n"
        if size + len(line) > most:
            continue
        if os.write(fd, line) < len(line):
            return  # no room: what is torn is ended by the next event
        size, is_torn = size + len(line), False


def _part(path: Path, offset: int, size: int) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.pread(fd, size, offset)
    except OSError:
        return b""
    finally:
        os.close(fd)


def _decoded(data: bytes) -> Iterator[Event]:
    """The events among lines; a torn line, and one of another version's form, is none."""
    for line in data.splitlines():
        with contextlib.suppress(msgspec.MsgspecError):
            yield msgspec.json.decode(line, type=Event)
