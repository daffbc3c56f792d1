"""Work that waits for a tool of this host which does not answer: it tells so, and goes on."""

import contextvars
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from mcv.errors import OutcomeOpen

T = TypeVar("T")

Tell = Callable[[str], None]  # tell(why it stands still), tell("") when it goes on

# Set where somebody waits for the work; a loop and a question have none.
listener: contextvars.ContextVar[Tell | None] = contextvars.ContextVar("listener", default=None)

# Set by a report: an operator waits for the whole of it, and not for one tool.
in_a_hurry: contextvars.ContextVar[bool] = contextvars.ContextVar("in_a_hurry", default=False)


def tell(why: str) -> None:
    """Tell whoever waits for this work why it stands still; "" when it goes on."""
    listening = listener.get()
    if listening is not None:
        listening(why)


@dataclass(frozen=True)
class _End(Generic[T]):
    """How work ended: by its answer, or by an error."""

    answer: T | None = None
    error: BaseException | None = None


def until_stalled(work: Callable[[], T], what: str) -> T:
    """Do work in a thread of its own; return its answer, or raise the error that it ends in.

    Raises OutcomeOpen as soon as the work tells that it stands still. It goes on then, with
    the locks that it holds, until the tool answers.
    """
    ends: list[_End[T]] = []  # the first of them counts
    is_known = threading.Event()

    def tell(why: str) -> None:
        if why:
            ends.append(_End(error=OutcomeOpen(f"{what} is not over: {why}")))
            is_known.set()

    def run() -> None:
        listener.set(tell)
        try:
            ends.append(_End(work()))
        except BaseException as error:
            ends.append(_End(error=error))
        is_known.set()

    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(run,), name=what, daemon=True).start()
    is_known.wait()
    end = ends[0]
    if end.error is not None:
        raise end.error
    return end.answer  # type: ignore[return-value]
