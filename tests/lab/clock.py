"""A clock on the screen: what several eyes see, and how many seconds after the beginning."""

import queue
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple, TextIO

from tests.lab import LabError

Eye = Callable[[], str]  # what it sees, in words; "" as long as there is nothing to be seen
PAUSE = 0.3  # s between two looks of an eye
TICK = 0.1  # s


class Event(NamedTuple):
    """What was seen, and when: in seconds since the clock began."""

    seconds: float
    words: str


class Clock:
    """Counts in the last line of a terminal; elsewhere its lines alone are written."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._counts = self._out.isatty()

    def tick(self, seconds: float) -> None:
        if self._counts:
            self._out.write(f"\r{_shown(seconds)}")
            self._out.flush()

    def tell(self, event: Event) -> None:
        """A line that stays."""
        begin = "\r" if self._counts else ""
        self._out.write(f"{begin}{_shown(event.seconds)}  {event.words}\n")
        self._out.flush()


def _shown(seconds: float) -> str:
    return f"{seconds:8.1f} s"


def watch(eyes: Mapping[str, Eye], clock: Clock, began: float, limit: float) -> list[Event]:
    """Show what each eye sees, once each, as soon as it does; in the order of the seeing.

    `began` is a time.monotonic(). Raises LabError with what was not seen within the limit.
    """
    seen: queue.Queue[tuple[str, Event]] = queue.Queue()
    is_over = threading.Event()
    for name, eye in eyes.items():
        work = (name, eye, began, seen, is_over)
        threading.Thread(target=_look, args=work, daemon=True).start()
    left, events = set(eyes), []
    try:
        while left and (seconds := time.monotonic() - began) < limit:
            clock.tick(seconds)
            try:
                name, event = seen.get(timeout=TICK)
            except queue.Empty:
                continue
            left.discard(name)
            events.append(event)
            clock.tell(event)
    finally:
        is_over.set()
    if left:
        raise LabError(f"Within {limit:.0f} s was not seen: {', '.join(sorted(left))}.")
    return events


def _look(
    name: str,
    eye: Eye,
    began: float,
    seen: "queue.Queue[tuple[str, Event]]",
    is_over: threading.Event,
) -> None:
    while not is_over.is_set():
        try:
            words = eye()
        except (LabError, AssertionError):  # a node is busy, or dies just now
            words = ""
        if words:
            seen.put((name, Event(time.monotonic() - began, words)))
            return
        is_over.wait(PAUSE)
