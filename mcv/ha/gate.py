"""The one place that every start, arrival, resume and promotion of this host goes through.

It is held together with mcv-lease, which holds it alone before it feeds the watchdog without a
lease. On an armed node nothing passes without a valid lease and the newest document.
"""

import contextlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol, TypeVar

from mcv.errors import Refused
from mcv.ha import right
from mcv.ha.at_once import at_once
from mcv.ha.env import StartEnv
from mcv.ha.right import NoRight, Why
from mcv.system.lease import RUN
from mcv.system.start_gate import GateClosed, StartGate

log = logging.getLogger(__name__)

T = TypeVar("T")

ENTER = 5.0  # s that an unarmed node's start waits for a gate that is held alone


class Passage(Protocol):
    """What a driver does its promotions and starts through."""

    def begin(self, what: str, act: Callable[[], T]) -> T:
        """Do what makes a replica Primary, or lets a domain go on. Raises Refused."""

    def start(self, name: str, act: Callable[[], T], is_answer: Callable[[Exception], bool]) -> T:
        """Start a domain. Raises Refused, and what `act` raises.

        `is_answer` tells whether an exception of `act` says that the start is over.
        """

    def left(self) -> list[str]:
        """The domains whose start was marked by a daemon that is gone, or has no answer."""

    def unmark(self, name: str) -> None:
        """Libvirt has told since how the start ended."""


class OpenGate:
    """The gate of a program that is on no member."""

    def begin(self, what: str, act: Callable[[], T]) -> T:
        return act()

    def start(self, name: str, act: Callable[[], T], is_answer: Callable[[Exception], bool]) -> T:
        return act()

    def left(self) -> list[str]:
        return []

    def unmark(self, name: str) -> None:
        return


OPEN = OpenGate()


class Gate:
    """This host's gate; `arms` is asked each time, and answers None on an unarmed node.

    It may raise Refused where the node does not know the newest document.
    """

    def __init__(self, node: str, arms: Callable[[], StartEnv | None], run: Path = RUN) -> None:
        self._node = node
        self._arms = arms
        self._gate = StartGate(run)
        self._under_way: Counter[str] = Counter()

    def begin(self, what: str, act: Callable[[], T]) -> T:
        """As Passage says. The gate is held until `act` has ended."""
        return self._through(self._arms(), what, act)

    def start(self, name: str, act: Callable[[], T], is_answer: Callable[[Exception], bool]) -> T:
        """As Passage says. A marker is there from before the start until libvirt's answer.

        It stays where mcvd is killed in between, and where libvirt does not answer.
        """
        arms = self._arms()

        def marked() -> T:
            self._mark(name, is_armed=arms is not None)
            try:
                done = act()
            except Exception as error:
                if is_answer(error):
                    self.unmark(name)
                raise
            self.unmark(name)
            return done

        self._under_way[name] += 1
        try:
            return self._through(arms, f"start {name}", marked)
        finally:
            self._under_way[name] -= 1

    def _through(self, arms: StartEnv | None, what: str, act: Callable[[], T]) -> T:
        if arms is None:
            return self._unarmed(what, act)
        done: list[T] = []

        async def acting() -> None:
            done.append(act())

        try:
            at_once(_begin(arms, acting))
        except NoRight as no:
            raise self._refusal(what, no.why) from no
        return done[0]

    def _unarmed(self, what: str, act: Callable[[], T]) -> T:
        """The gate is held on an unarmed node too: it may be armed meanwhile."""
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(self._gate.together(ENTER))
            except GateClosed as closed:
                raise self._refusal(what, Why.NO_LEASE) from closed
            except OSError as error:
                log.warning("the start gate: %s", error)
            return act()

    def _refusal(self, what: str, why: Why) -> Refused:
        hint = "Try again." if why is Why.BEHIND else "See: mcv info"
        return Refused(f"{self._node} may not {what} now: {why}.", hint)

    def _mark(self, name: str, is_armed: bool) -> None:
        try:
            self._gate.mark(name)
        except OSError as error:
            if is_armed:
                raise Refused(f"The start of {name} cannot be marked: {error}.") from error
            log.warning("the marker of the start of %s: %s", name, error)

    def left(self) -> list[str]:
        return [name for name in self._gate.marks() if not self._under_way[name]]

    def unmark(self, name: str) -> None:
        try:
            self._gate.unmark(name)
        except OSError as error:
            log.warning("the marker of the start of %s: %s", name, error)


async def _begin(arms: StartEnv, act: Callable[[], Awaitable[None]]) -> None:
    """Look at the lease before the gate as well: what has no right keeps mcv-lease out never."""
    if not await right.has_lease(arms):
        raise NoRight(Why.NO_LEASE)
    await right.begin(arms, act)
