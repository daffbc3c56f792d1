"""Looks at what may hang: one at a time for each thing, and no caller waits longer than it says."""

import contextvars
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from mcv.errors import CommandFailed, McvError

T = TypeVar("T")

KEPT = 3600.0  # s that the last result of a look is kept; callers ask for much younger ones


class StillLooking(CommandFailed):
    """A look has not ended yet, and has not lasted long either: nothing is known so far."""


@dataclass
class _Look:
    """A look under way, or one that ended: then `over` is set, and `error` or `result` is known."""

    began: float = field(default_factory=time.monotonic)
    over: threading.Event = field(default_factory=threading.Event)
    result: Any = None
    error: McvError | None = None
    ended: float = 0.0  # monotonic


class Looks:
    """Looks under way by what they look at, and the last result of each."""

    def __init__(self) -> None:
        self._under_way: dict[str, _Look] = {}
        self._last: dict[str, _Look] = {}
        self._lock = threading.Lock()

    def at(
        self,
        what: str,
        look: Callable[[], T],
        patience: float,
        oldest: float = 0.0,
        *,
        brief: float | None = None,
        fresh: float = 0.0,
        grace: float = 0.0,
    ) -> T:
        """What a look answers, or the error that it ends in.

        A look that does not end within `patience` seconds goes on, and later callers wait for
        that very look: a hung tool holds one thread and one child process, however often it is
        asked for. They get the result of the look before meanwhile where it is not older than
        `oldest` seconds, after `brief` seconds where that is less, and the result of a look that
        ended less than `fresh` seconds ago without another look. Raises CommandFailed where there
        is none, StillLooking while the look has lasted less than `grace` seconds.
        """
        with self._lock:
            last = self._earlier(what, fresh)
            if last is not None and last.error is None:
                return cast(T, last.result)
            under_way = self._under_way.get(what)
            if under_way is None:
                under_way = self._under_way[what] = _Look()
                context = contextvars.copy_context()
                arguments = (self._carry_out, what, look, under_way)
                threading.Thread(target=context.run, args=arguments, daemon=True).start()
        earlier = self._earlier(what, oldest)
        wait = patience if earlier is None or brief is None else brief
        known = under_way if under_way.over.wait(wait) else earlier
        if known is None and time.monotonic() - under_way.began < grace:
            raise StillLooking(f"{what} has not answered yet.")
        if known is None:
            raise CommandFailed(f"{what} does not answer.")
        if known.error is not None:
            raise known.error
        return cast(T, known.result)

    def _earlier(self, what: str, oldest: float) -> _Look | None:
        """The last look that ended, unless that is too long ago."""
        last = self._last.get(what)
        return last if last and time.monotonic() - last.ended < oldest else None

    def _carry_out(self, what: str, look: Callable[[], object], under_way: _Look) -> None:
        try:
            under_way.result = look()
        except McvError as error:
            under_way.error = error
        except Exception as error:
            under_way.error = CommandFailed(f"{what} cannot be read: {error}.")
        under_way.ended = time.monotonic()
        with self._lock:
            self._last[what] = under_way
            del self._under_way[what]
            # What is looked at may be gone, a pool's directory for instance.
            for former in [key for key, look in self._last.items() if _is_old(look)]:
                del self._last[former]
        under_way.over.set()


def _is_old(look: _Look) -> bool:
    return time.monotonic() - look.ended > KEPT
