"""What a stream between two hosts may carry: a guard sees the bytes first."""

from collections.abc import Callable

Guard = Callable[[bytes], bytes]  # what may pass of what came, now; raises NotLetThrough


class NotLetThrough(Exception):
    """Bytes that a guard stops.

    With an `answer`, which goes back to the sender, the rest of the stream goes on, and
    `passed` may pass; without one the stream ends.
    """

    def __init__(self, reason: str, answer: bytes = b"", passed: bytes = b"") -> None:
        super().__init__(reason)
        self.answer = answer
        self.passed = passed


def everything(data: bytes) -> bytes:
    """The guard of a stream that carries anything."""
    return data
