"""The cancelling of an operation: allowed while nothing is half-way, asked for by an operator."""

import contextlib
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager

from mcv.errors import Cancelled


class Cancellation:
    """Whether the work of an operation may be cancelled now, and whether somebody cancelled it.

    All jobs of the operation share it: where a tool hung, the work that an earlier job began
    goes on, and a resumed job waits for it.
    """

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.is_possible = False
        self.waits = False

    @contextlib.contextmanager
    def allowed(self, waits: bool) -> Iterator[None]:
        """Allow a cancel in this block: nothing has been changed half-way.

        A job that `waits` has no use without its follower: Ctrl-C cancels it too.
        """
        self.is_possible, self.waits = True, waits
        try:
            yield
        finally:
            self.is_possible = self.waits = False


class Cancellable:
    """Work that has a title and may be cancelled at times."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.cancellation = Cancellation()

    @property
    def cancelled(self) -> threading.Event:
        """Set where somebody has cancelled the work."""
        return self.cancellation.asked

    @property
    def cancellable(self) -> bool:
        return self.cancellation.is_possible

    @property
    def waits(self) -> bool:
        return self.cancellation.waits

    def may_be_cancelled(self, waits: bool = True) -> AbstractContextManager[None]:
        return self.cancellation.allowed(waits)

    def check_cancelled(self) -> None:
        """Raises Cancelled where somebody has cancelled the work."""
        if self.cancelled.is_set():
            raise Cancelled(f"{self.title} was cancelled.")
