"""What nodes told last of something that they are asked again and again."""

import contextvars
import threading
import time
from collections.abc import Callable, Container, Hashable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from mcv.errors import McvError, of_system
from mcv.system.answers import decoded

T = TypeVar("T")


@dataclass(frozen=True)
class Told:
    """An answer: when it was asked for, by time.monotonic(), and at which state of affairs."""

    answer: object
    asked: float
    state: Hashable


class Heard:
    """The newest answer of each node to one question.

    A node that is slow holds up one round alone: it is not waited for again until that question is
    over, and its answer counts in a later round.
    """

    def __init__(self) -> None:
        self._told: dict[str, Told] = {}
        self._asked: dict[str, threading.Thread] = {}

    def ask(
        self,
        ask: Callable[..., Any],
        nodes: Iterable[str],
        operation: str,
        shape: type[T],
        *,
        state: Hashable,
        wait: float,
        patience: float,
        silent: Container[str] = (),
    ) -> dict[str, T]:
        """What the nodes answer within `wait` seconds, or have answered lately.

        Those that are known to be silent are asked, and not waited for.
        An older answer counts if it was asked for at the same state of affairs, and at most
        `patience` seconds ago. Who answered with an error, or not at all, is not among them.
        """
        nodes = list(nodes)
        new = [node for node in nodes if not self._is_asked(node)]
        for node in new:
            self._begin(ask, node, operation, shape, state, patience)
        until = time.monotonic() + wait
        for node in new:
            if node not in silent:
                self._asked[node].join(max(0.0, until - time.monotonic()))
        oldest = time.monotonic() - patience
        found = {}
        for node in nodes:
            told = self._told.get(node)
            if told is None or told.state != state or told.asked < oldest:
                continue
            if isinstance(told.answer, shape):
                found[node] = told.answer
        return found

    def _is_asked(self, node: str) -> bool:
        thread = self._asked.get(node)
        return thread is not None and thread.is_alive()

    def _begin(
        self,
        ask: Callable[..., Any],
        node: str,
        operation: str,
        shape: type[T],
        state: Hashable,
        patience: float,
    ) -> None:
        def contact() -> None:
            asked = time.monotonic()
            try:
                answer: object = decoded(
                    node, operation, ask(node, operation, timeout=patience), shape
                )
            except McvError as error:
                answer = error
            except OSError as error:
                answer = of_system(error)
            self._told[node] = Told(answer, asked, state)

        context = contextvars.copy_context()
        thread = threading.Thread(target=context.run, args=(contact,), daemon=True)
        self._asked[node] = thread
        thread.start()
