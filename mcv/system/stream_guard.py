"""What a stream between two hosts may carry: a guard sees the bytes first."""

from collections.abc import Callable

Guard = Callable[[bytes], bytes]  # what may pass of what came, now; raises NotLetThrough


class NotLetThrough(Exception):
    """Bytes that a guard stops: the stream ends, after `answer` has gone back to the sender."""

    def __init__(self, reason: str, answer: bytes = b"") -> None:
        super().__init__(reason)
        self.answer = answer


def everything(data: bytes) -> bytes:
    """The guard of a stream that carries anything."""
    return data
