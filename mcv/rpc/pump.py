"""Bytes carried both ways between a plain socket and an encrypted one, until either ends."""

import select
import socket
import ssl

from mcv.system.stream_guard import Guard, NotLetThrough, everything

ROOM = 1 << 20  # bytes read ahead of what the other side takes
CHUNK = 256 * 1024
POLL = 1000  # milliseconds
MOST_REFUSALS = 16  # answers of a guard to one sender


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
        self.waiting = bytearray()
        self.ended = False

    def read(self) -> bool:
        """Take all that is there, as far as there is room; whether there was anything.

        The encrypted side gives 16 KiB at a time: a write for each would be most of the work.
        """
        before = self.ended, len(self.waiting)
        while not self.ended and len(self.waiting) < ROOM:
            try:
                got = self.source.recv(CHUNK)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
                break
            except OSError:
                got = b""
            self.ended = not got
            self.waiting += self._passed(got)
        return (self.ended, len(self.waiting)) != before

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
            with memoryview(self.waiting) as whole, whole[:CHUNK] as part:
                done = self.target.send(part)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
            return False
        except OSError:
            # Nobody takes it any more, so there is no use in reading on either.
            done, self.ended = len(self.waiting), True
        del self.waiting[:done]
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
        back.waiting += forth.answers
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
