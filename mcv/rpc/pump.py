"""Bytes carried both ways between a plain socket and an encrypted one, until either ends."""

import select
import socket
import ssl

ROOM = 1 << 20  # bytes read ahead of what the other side takes
CHUNK = 256 * 1024
POLL = 1000  # milliseconds


class _Way:
    """One direction: the bytes read from its source and not yet written to its target."""

    def __init__(self, source: socket.socket, target: socket.socket) -> None:
        self.source = source
        self.target = target
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
            self.waiting += got
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


def pump(plain: socket.socket, secured: ssl.SSLSocket) -> None:
    """Carry bytes both ways until one side ends; what had arrived by then is handed on.

    One thread carries both directions: an SSL object is not safe for two threads.
    """
    plain.setblocking(False)
    secured.setblocking(False)
    ways = (_Way(plain, secured), _Way(secured, plain))
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
