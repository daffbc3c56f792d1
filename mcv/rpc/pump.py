"""Bytes carried both ways between a plain socket and an encrypted one, until either ends."""

import select
import socket
import ssl

from mcv.system.stream_guard import Guard, NotLetThrough, everything

ROOM = 1 << 20  # bytes read ahead of what the other side takes
CHUNK = 256 * 1024
POLL = 1000  # milliseconds
MOST_REFUSALS = 16  # answers of a guard to one sender


class _Store:
    """Bytes in their order, in memory that is kept.

    Fresh memory for each piece costs several times what a copy of the piece does.
    """

    def __init__(self) -> None:
        self._view = memoryview(bytearray(ROOM + CHUNK))
        self._begin = self._end = 0

    def __len__(self) -> int:
        return self._end - self._begin

    def space(self) -> memoryview:
        """Where the next bytes go, at least CHUNK while less than ROOM is taken."""
        if len(self._view) - self._end < CHUNK:
            self._move_down()
        return self._view[self._end : self._end + CHUNK]

    def _move_down(self) -> None:
        self._view[: len(self)] = self._view[self._begin : self._end]
        self._begin, self._end = 0, len(self)

    def extend(self, count: int) -> None:
        """So many bytes were written to `space`."""
        self._end += count

    def append(self, data: bytes | bytearray) -> None:
        if len(self._view) - self._end < len(data):
            larger = memoryview(bytearray(len(self) + len(data) + CHUNK))
            larger[: len(self)] = self._view[self._begin : self._end]
            self._begin, self._end, self._view = 0, len(self), larger
        self._view[self._end : self._end + len(data)] = data
        self._end += len(data)

    def first(self) -> memoryview:
        return self._view[self._begin : min(self._begin + CHUNK, self._end)]

    def drop(self, count: int) -> None:
        self._begin += count
        if self._begin == self._end:
            self._begin = self._end = 0


class _Way:
    """One direction: the bytes read from its source and not yet written to its target."""

    def __init__(
        self, source: socket.socket, target: socket.socket, guard: Guard = everything
    ) -> None:
        self.source = source
        self.target = target
        self._guard = guard
        self.answers = bytearray()  # of the guard, for the source
        self.refused: list[str] = []
        self.waiting = _Store()
        self.ended = False

    def read(self) -> bool:
        """Take all that is there, as far as there is room; whether there was anything.

        The encrypted side gives 16 KiB at a time: a write for each would be most of the work.
        """
        before = self.ended, len(self.waiting)
        while not self.ended and len(self.waiting) < ROOM:
            try:
                count = self._take_in()
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
                break
            except OSError:
                count = 0
            self.ended = not count
        return (self.ended, len(self.waiting)) != before

    def _take_in(self) -> int:
        """Read once; how many bytes came, whatever the guard lets pass of them."""
        if self._guard is everything:
            count = self.source.recv_into(self.waiting.space())
            self.waiting.extend(count)
            return count
        got = self.source.recv(CHUNK)
        self.waiting.append(self._passed(got))
        return len(got)

    def _passed(self, data: bytes) -> bytes:
        """What the guard lets pass. Errors: NotLetThrough, where the stream cannot go on."""
        try:
            return self._guard(data)
        except NotLetThrough as stopped:
            self.refused.append(str(stopped))
            if not stopped.answer or len(self.refused) > MOST_REFUSALS:
                raise
            self.answers += stopped.answer
            return stopped.passed

    def write(self) -> bool:
        """Hand on what the target takes; whether it took anything."""
        if not self.waiting:
            return False
        try:
            done = self.target.send(self.waiting.first())
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
            return False
        except OSError:
            # Nobody takes it any more, so there is no use in reading on either.
            done, self.ended = len(self.waiting), True
        self.waiting.drop(done)
        return True


def pump(plain: socket.socket, secured: ssl.SSLSocket, guard: Guard = everything) -> None:
    """Carry bytes both ways until one side ends; what had arrived by then is handed on.

    What comes from the encrypted side passes the guard first. One thread carries both
    directions: an SSL object is not safe for two threads. Errors: NotLetThrough, at the end,
    for what the guard stopped first.
    """
    plain.setblocking(False)
    secured.setblocking(False)
    back, forth = _Way(plain, secured), _Way(secured, plain, guard)
    _carry((back, forth), secured)
    if forth.refused:
        raise NotLetThrough(forth.refused[0])


def _carry(ways: tuple[_Way, _Way], secured: ssl.SSLSocket) -> None:
    while True:
        # All four are tried each time, none only where another did nothing.
        moved = [step() for way in ways for step in (way.read, way.write)]
        back, forth = ways
        # libvirt writes its short answers whole, so the guard's stands between two of them.
        back.waiting.append(forth.answers)
        forth.answers.clear()
        if any(way.ended and not way.waiting for way in ways):
            return
        if not any(moved):
            _wait(ways, secured)


def _wait(ways: tuple[_Way, _Way], secured: ssl.SSLSocket) -> None:
    """Sleep until one of the sockets can be read or written, as far as that is wanted.

    What the encrypted side has decrypted already no poll tells of, but it was read then.
    """
    wanted = {way.source: 0 for way in ways}
    for way in ways:
        if not way.ended and len(way.waiting) < ROOM:
            wanted[way.source] |= select.POLLIN
        if way.waiting:
            wanted[way.target] |= select.POLLOUT
    poll = select.poll()
    for sock, events in wanted.items():
        poll.register(sock, events)
    poll.poll(POLL)
