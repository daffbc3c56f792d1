"""Bytes carried both ways between a plain socket and an encrypted one, until either ends."""

import contextlib
import select
import socket
import ssl
import time

from mcv.system.stream_guard import Guard, NotLetThrough, everything

ROOM = 1 << 20  # bytes read ahead of what the other side takes
CHUNK = 256 * 1024
POLL = 1000  # milliseconds
FAREWELL = 5.0  # seconds for the last answer to go out


class _Way:
    """One direction: the bytes read from its source and not yet written to its target."""

    def __init__(
        self, source: socket.socket, target: socket.socket, guard: Guard = everything
    ) -> None:
        self.source = source
        self.target = target
        self._guard = guard
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
            self.waiting += self._guard(got)
        return (self.ended, len(self.waiting)) != before

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
    directions: an SSL object is not safe for two threads. Errors: NotLetThrough.
    """
    plain.setblocking(False)
    secured.setblocking(False)
    back, forth = _Way(plain, secured), _Way(secured, plain, guard)
    try:
        _carry((back, forth), secured)
    except NotLetThrough as stopped:
        back.waiting += stopped.answer
        _say_farewell(back)
        raise


def _say_farewell(way: _Way) -> None:
    """Write what is left for a target, and wait until it hangs up or FAREWELL is over.

    A libvirt that finds an answer and the end of the stream at once tells of the end alone.
    """
    until = time.monotonic() + FAREWELL
    while way.waiting and time.monotonic() < until:
        if not way.write():
            poll = select.poll()
            poll.register(way.target, select.POLLOUT)
            poll.poll(POLL)
    with contextlib.suppress(OSError):
        while (left := until - time.monotonic()) > 0:
            way.target.settimeout(left)
            if not way.target.recv(CHUNK):
                break
        socket.socket.shutdown(way.target, socket.SHUT_WR)


def _carry(ways: tuple[_Way, _Way], secured: ssl.SSLSocket) -> None:
    while True:
        # All four are tried each time, none only where another did nothing.
        moved = [step() for way in ways for step in (way.read, way.write)]
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
