"""Runs on a node: waits until a plan is at a step there, or a change is proposed.

Usage: watch.py STATE INSTANT SECONDS. It says "ready", and later "seen" or "missed". The kernel
tells of each file that gets its name, and a process of real time looks at the file before its
writer goes on: a step of a few milliseconds is seen on a busy host as well.
"""

import ctypes
import os
import select
import sys
import time
from pathlib import Path

PROPOSED = "proposal"
MOVED_TO = 0x80  # inotify: a file has got its name
LARGE = 1 << 16  # bytes, for more events than one step makes


def is_there(state: Path, instant: str) -> bool:
    """Whether the instant is now: an entry of the journal at the step, or a proposal."""
    if instant == PROPOSED:
        return (state / "proposal.json").exists()
    return any(is_at(entry, instant) for entry in (state / "journal").glob("*.json"))


def is_at(entry: Path, step: str) -> bool:
    try:
        return f'"position": {step},' in entry.read_text()
    except FileNotFoundError:
        return False


def watch(state: Path, instant: str, seconds: float) -> bool:
    """Whether the instant came within so many seconds."""
    libc = ctypes.CDLL(None, use_errno=True)
    events = libc.inotify_init()
    for place in (state, state / "journal"):
        if libc.inotify_add_watch(events, os.fsencode(place), MOVED_TO) < 0:
            raise OSError(ctypes.get_errno(), f"{place} cannot be watched")
    print("ready", flush=True)
    until = time.monotonic() + seconds
    while not is_there(state, instant):
        if not select.select([events], [], [], max(0.0, until - time.monotonic()))[0]:
            return False
        os.read(events, LARGE)
    return True


if __name__ == "__main__":
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))
    is_seen = watch(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]))
    print("seen" if is_seen else "missed")
