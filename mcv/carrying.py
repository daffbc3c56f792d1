"""Bytes carried between descriptors, both ways, until one of them ends."""

import os
import select
import time
from collections.abc import Callable, Sequence

ROOM = 64 * 1024  # bytes read ahead of what the target takes
TICK = 0.5  # s, the most between two looks


class Way:
    """One direction. `ends`: the end of its source ends the carrying.

    `passing` sees what was read and says what goes on. It may raise.
    """

    def __init__(
        self,
        source: int,
        target: int,
        passing: Callable[[bytes], bytes] = lambda data: data,
        ends: bool = True,
    ) -> None:
        self.source, self.target = source, target
        self.ends = ends
        self.ended = False
        self.target_is_gone = False
        self.moved_at = time.monotonic()
        self._passing = passing
        self._waiting = bytearray()

    @property
    def wants(self) -> bool:
        """Whether it reads on."""
        return not self.ended and len(self._waiting) < ROOM

    @property
    def has(self) -> bool:
        """Whether something waits for the target."""
        return bool(self._waiting)

    def read(self) -> None:
        try:
            data = os.read(self.source, ROOM)
        except BlockingIOError:
            return
        except OSError:
            # A terminal's line whose other side is gone gives an error in place of an end.
            data = b""
        if data:
            self.moved_at = time.monotonic()
            self._waiting += self._passing(data)
        else:
            self.ended = True

    def write(self) -> None:
        try:
            done = os.write(self.target, self._waiting)
        except BlockingIOError:
            return
        except OSError:
            # Nobody takes it any more, so there is no use in reading on either.
            self.ended = self.ends = self.target_is_gone = True
            done = len(self._waiting)
        del self._waiting[:done]


def carry(ways: Sequence[Way], look: Callable[[], None] = lambda: None) -> Way:
    """Carry until a way that ends has ended and is empty; return that way.

    `look` is called at least each TICK; what it raises ends the carrying. The descriptors that
    are written must not block where their other side may be slow.
    """
    while True:
        for way in ways:
            if way.ended and way.ends and not way.has:
                return way
        wanted: dict[int, int] = {}
        for way in ways:
            if way.wants:
                wanted[way.source] = wanted.get(way.source, 0) | select.POLLIN
            if way.has:
                wanted[way.target] = wanted.get(way.target, 0) | select.POLLOUT
        ready = _ready(wanted)
        for way in ways:
            if way.has and ready.get(way.target, 0) & ~select.POLLIN:
                way.write()
            if way.wants and ready.get(way.source, 0) & ~select.POLLOUT:
                way.read()
        look()


def _ready(wanted: dict[int, int]) -> dict[int, int]:
    """What can be done now, by descriptor; waits at most a TICK for it."""
    poll = select.poll()
    for descriptor, events in wanted.items():
        poll.register(descriptor, events)
    return dict(poll.poll(TICK * 1000))
