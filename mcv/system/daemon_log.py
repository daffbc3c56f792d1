"""mcvd's own lines in the journal of this host's system."""

import re
import threading

from msgspec import Struct

from mcv.errors import Busy
from mcv.system.event_log import moment
from mcv.system.process import Run, run

UNIT = "mcvd.service"
AT_ONCE = threading.BoundedSemaphore(2)  # the journalctl processes of a daemon
TURN = 4.0  # s that a reader waits for its turn
TIME = 8.0  # s that journalctl has
LONGEST = 4000  # characters of a line

LINE = re.compile(r"(\d{9,12}\.\d+) \S+ [^:\[ ]+(?:\[\d+\])?: (.*)")
CURSOR = re.compile(r"-- cursor: ([A-Za-z0-9=;]{1,500})")


class LogLine(Struct, frozen=True, kw_only=True):
    """A line of a log, and when it was written (UTC)."""

    when: str
    text: str


class Lines(Struct, frozen=True, kw_only=True):
    """Lines in the order in which they were written; `cursor` is where a later look goes on."""

    lines: list[LogLine]
    cursor: str


def read(cursor: str, most: int, run: Run = run) -> Lines:
    """The last lines, or the last of those since a cursor; most at the most.

    A cursor that is none counts as none. Errors: CommandFailed, where the system keeps no journal
    for instance; Busy, where others read it.
    """
    known = CURSOR.fullmatch(f"-- cursor: {cursor}")
    after = [f"--after-cursor={cursor}"] if known else []
    if not AT_ONCE.acquire(timeout=TURN):
        raise Busy("Too many read the journal here.", "Try again.")
    try:
        said = run(
            "journalctl",
            f"--unit={UNIT}",
            "--no-pager",
            "--quiet",
            "--output=short-unix",
            "--show-cursor",
            f"--lines={most}",
            *after,
            timeout=TIME,
        )
    finally:
        AT_ONCE.release()
    return parse(said, cursor if known else "")


def parse(said: str, cursor: str) -> Lines:
    """What journalctl printed. Further lines of a message are lines of their own."""
    lines: list[LogLine] = []
    for line in said.split("\n"):
        if found := LINE.fullmatch(line):
            lines.append(LogLine(when=moment(float(found[1])), text=found[2][:LONGEST]))
        elif found := CURSOR.fullmatch(line):
            cursor = found[1]
        elif line.startswith(" ") and lines:
            lines.append(LogLine(when=lines[-1].when, text=line[:LONGEST]))
    return Lines(lines=lines, cursor=cursor)
