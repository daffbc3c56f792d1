"""What libvirt and QEMU wrote about a domain of this host; never what its guest printed."""

import os
import re
from pathlib import Path

from mcv.system.daemon_log import LONGEST, Lines, LogLine
from mcv.system.event_log import moment
from mcv.system.files import child

DIRECTORY = Path("/var/log/libvirt/qemu")
PAGE = 128 * 1024  # bytes that are read at once
STAMPED = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)\.(\d{3})\+0000: (.*)")
CURSOR = re.compile(r"(\d{1,20})/(\d{1,20})")


def read(name: str, cursor: str, directory: Path = DIRECTORY) -> Lines:
    """The end of a domain's log, or what came since a cursor; nothing where there is no log.

    A log that was rotated since is read from its beginning. Errors: McvError for what is no name.
    """
    path = child(directory, f"{name}.log")
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return Lines(lines=[], cursor=cursor)
    try:
        status = os.fstat(fd)
        begin = _begin(cursor, status)
        data = os.pread(fd, PAGE, begin)
    except OSError:  # it is no file
        return Lines(lines=[], cursor=cursor)
    finally:
        os.close(fd)
    whole = data[: data.rfind(b"\n") + 1]
    is_cut = not cursor and begin > 0
    text = whole.partition(b"\n")[2] if is_cut else whole
    end = begin + (len(whole) or len(data) * (len(data) == PAGE))
    return Lines(
        lines=lines(text.decode(errors="backslashreplace"), moment(status.st_mtime)),
        cursor=f"{status.st_ino}/{end}",
    )


def _begin(cursor: str, status: os.stat_result) -> int:
    """Where to begin; for the first look so that the end is read."""
    if place := CURSOR.fullmatch(cursor):
        is_same = int(place[1]) == status.st_ino and int(place[2]) <= status.st_size
        return int(place[2]) if is_same else 0
    return max(0, status.st_size - PAGE)


def lines(text: str, when: str) -> list[LogLine]:
    """The lines; a line without a time has that of the line before, or the given one."""
    found = []
    for line in text.splitlines():
        if stamped := STAMPED.fullmatch(line):
            when = f"{stamped[1]}T{stamped[2]}.{stamped[3]}Z"
            line = stamped[4]
        found.append(LogLine(when=when, text=line[:LONGEST]))
    return found
