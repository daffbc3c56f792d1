"""How far jobs are: bars on a terminal, now and then a line elsewhere."""

import contextlib
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TextIO

from mcv import printable
from mcv.commands import output
from mcv.rpc.client import Progress

BETWEEN_LINES = 1.0
BETWEEN_DRAWINGS = 0.1
BAR = 20
WAITS = ("waiting", "joining")


class Display:
    """What is under way; several jobs may report at once, from threads of their own.

    Everything that is said meanwhile goes through `write`, which takes the bars away and
    draws them again below.
    """

    def __init__(
        self,
        *,
        quiet: bool = False,
        steps: bool = False,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._quiet = quiet
        self._steps = steps
        self._stream = stream or sys.stderr
        self._clock = clock
        self._terminal = self._stream.isatty()
        self._live: dict[str, Progress] = {}
        self._told: dict[str, int] = {}
        self._drawn = 0
        self._last = float("-inf")
        self._lock = threading.RLock()

    def show(self, progress: Progress) -> None:
        """Take in one report: a bar where it has a total, else a step."""
        what, note = printable.line(progress.what), printable.line(progress.note)
        progress = replace(progress, what=what, note=note, unit=printable.line(progress.unit))
        with self._lock:
            if not progress.total:
                self._step(progress.what)
            elif self._quiet:
                return
            elif self._terminal:
                self._bar(progress)
            else:
                self._line(progress)

    def finish(self, parts: Iterable[Progress]) -> None:
        """Show what a job that ended well reported last as done: its end outran the report."""
        for part in parts:
            if part.done < part.total:
                self.show(replace(part, done=part.total, note=""))

    def write(self, text: str, err: bool = False) -> None:
        """Say something while bars are on the screen."""
        with self._lock:
            self._erase()
            output.say(text, err=err)
            self._draw()

    def close(self) -> None:
        """Take the bars away: what follows is the result, or a question."""
        with self._lock:
            self._erase()
            self._live.clear()

    def _step(self, what: str) -> None:
        waits = what.startswith(WAITS) and not self._quiet
        if (waits or self._steps) and what not in self._told:
            self._told[what] = 0
            self.write(what, err=True)

    def _bar(self, progress: Progress) -> None:
        finished = progress.done >= progress.total
        if finished and self._told.get(progress.what) == 100:
            return
        self._told[progress.what] = 100 if finished else 0
        if finished:
            self._live.pop(progress.what, None)
            self.write(drawn(progress, self._width()), err=True)
            return
        self._live[progress.what] = progress
        now = self._clock()
        if now - self._last >= BETWEEN_DRAWINGS:
            self._last = now
            self._erase()
            self._draw()

    def _line(self, progress: Progress) -> None:
        done = whole_percent(progress)
        now = self._clock()
        is_time = done == 100 or now - self._last >= BETWEEN_LINES
        if self._told.get(progress.what) != done and is_time:
            self._told[progress.what] = done
            self._last = now
            output.say(f"{progress.what}: {done}% ({amount(progress)})", err=True)

    def _erase(self) -> None:
        if self._drawn:
            self._put(f"\x1b[{self._drawn}F\x1b[J")
            self._drawn = 0

    def _draw(self) -> None:
        room = max(1, shutil.get_terminal_size().lines - 2)
        shown = list(self._live.values())[:room]
        self._drawn = len(shown)
        if shown:
            self._put("".join(drawn(progress, self._width()) + "\n" for progress in shown))

    def _put(self, text: str) -> None:
        """Write to the terminal; a terminal that is gone ends no work."""
        with contextlib.suppress(OSError):
            self._stream.write(text)
            self._stream.flush()

    def _width(self) -> int:
        return shutil.get_terminal_size().columns - 1


def whole_percent(progress: Progress) -> int:
    return min(100, int(100 * progress.done / progress.total))


def amount(progress: Progress) -> str:
    """How much of how much, in the job's unit."""
    if progress.unit == "B":
        said = f"{output.size(progress.done)} of {output.size(progress.total)}"
    else:
        said = f"{progress.done:g} of {progress.total:g} {progress.unit}".rstrip()
    return f"{said}, {progress.note}" if progress.note else said


def drawn(progress: Progress, width: int) -> str:
    """One bar as a line that fits the terminal."""
    full = round(BAR * min(1.0, progress.done / progress.total))
    bar = "#" * full + "-" * (BAR - full)
    line = f"{progress.what:<24} [{bar}] {whole_percent(progress):>3}%  {amount(progress)}"
    return line[:width]
