"""libvirt's RPC as a live migration speaks it, let through to the libvirt here: a filter.

A source's libvirt opens a connection, asks what is supported, prepares an arrival, finishes it.
These procedures pass, recorded of a peer-to-peer migration; every other one would be root here.
"""

import struct
from collections.abc import Callable

from mcv.document.generation import Value
from mcv.drivers.domain_arrival import (
    Unexpected,
    disks_of,
    require_expected,
    require_plain_cookie,
)
from mcv.system.stream_guard import NotLetThrough

# length, program, version, procedure, type, serial, status
HEADER = struct.Struct(">IIIIIII")
MOST = 256 * 1024  # bytes of a message to libvirt; those of a migration have some KiB
STRING_TYPE = 7  # VIR_TYPED_PARAM_STRING
ULLONG_TYPE = 4  # VIR_TYPED_PARAM_ULLONG
MOST_PARAMETERS = 64  # a disk that goes along is one

REMOTE = 0x20008086
KEEPALIVE = 0x6B656570
VERSION = 1
CALL, MESSAGE, OK = 0, 2, 0

OPEN, CLOSE, SUPPORTS, AUTHENTICATION = 1, 2, 60, 66
PREPARE, FINISH = 303, 306  # with typed parameters
WATCH_CLOSING, IGNORE_CLOSING = 360, 361

URI = b"qemu:///system"
# VIR_MIGRATE_LIVE, _PEER2PEER, _PAUSED: the arrival is not persistent and does not run.
FLAGS = 0x1 | 0x2 | 0x20
WITH_DISKS = 0x40  # VIR_MIGRATE_NON_SHARED_DISK: whole disks go along, those that are named
# VIR_MIGRATE_UNSAFE: the source's libvirt does not judge file systems; nothing to its target.
BY_SOURCE = 0x200


class Arrival(Value, frozen=True, kw_only=True):
    """The one domain that may arrive: its name, UUID, libvirt's XML here, the memory's URI.

    `mirrored` are the targets of the disks whose bytes arrive at the URI `disks`.
    """

    name: str
    uuid: str
    xml: str
    memory: str
    mirrored: tuple[str, ...] = ()
    disks: str = ""


class ArrivalFilter:
    """Passes whole messages of a source's libvirt on, as long as each is one of a migration's."""

    def __init__(self, arrival: Arrival) -> None:
        self._arrival = arrival
        self._waiting = bytearray()
        self._bodies: dict[int, Callable[[_Body], None]] = {
            OPEN: self._open,
            CLOSE: _nothing,
            SUPPORTS: _number,
            AUTHENTICATION: _nothing,
            PREPARE: self._prepare,
            FINISH: self._finish,
            WATCH_CLOSING: _nothing,
            IGNORE_CLOSING: _nothing,
        }

    def __call__(self, data: bytes) -> bytes:
        """The whole messages that may pass; the rest waits. Errors: NotLetThrough.

        A call that may not pass is answered and left out, so that its sender goes on to the
        end of its own and tells of the reason.
        """
        self._waiting += data
        passed, answers, reason = bytearray(), b"", ""
        while len(self._waiting) >= HEADER.size:
            length = struct.unpack_from(">I", self._waiting)[0]
            if not HEADER.size <= length <= MOST:
                raise NotLetThrough(f"a message of {length} bytes")
            if len(self._waiting) < length:
                break
            message = bytes(self._waiting[:length])
            del self._waiting[:length]
            try:
                self._require_expected(message)
                passed += message
            except NotLetThrough as stopped:
                if not stopped.answer:
                    raise
                answers, reason = answers + stopped.answer, reason or str(stopped)
        if answers:
            raise NotLetThrough(reason, answers, bytes(passed))
        return bytes(passed)

    def _require_expected(self, message: bytes) -> None:
        _length, program, version, procedure, kind, serial, status = HEADER.unpack_from(message)
        if (program, version, kind, status) == (KEEPALIVE, VERSION, MESSAGE, OK):
            if procedure in (1, 2) and len(message) == HEADER.size:
                return
            raise NotLetThrough("a keep-alive of another form")
        if (program, version, kind, status) != (REMOTE, VERSION, CALL, OK):
            raise NotLetThrough(f"a message of program {program:#x}, type {kind}")
        try:
            if procedure not in self._bodies:
                raise Unexpected(f"procedure {procedure} is no part of a migration")
            body = _Body(message[HEADER.size :])
            self._bodies[procedure](body)
            body.require_end()
        except Unexpected as problem:
            raise NotLetThrough(str(problem), _refusal(procedure, serial, problem)) from problem

    def _open(self, body: "_Body") -> None:
        if body.number() != 1 or body.opaque() != URI or body.number() != 0:
            raise Unexpected(f"only {URI.decode()} is opened")

    def _finish(self, body: "_Body") -> None:
        self._migration(body)
        if body.number() not in (0, 1):
            raise Unexpected("a migration is cancelled or it is not")

    def _migration(self, body: "_Body") -> list[str]:
        """The parameters, the cookie and the flags of a migration; the disks that it names."""
        mirrored: list[str] = []
        count = body.number()
        if count > MOST_PARAMETERS:
            raise Unexpected(f"{count} parameters")
        for _ in range(count):
            self._parameter(body.text(), body, mirrored)
        cookie = body.opaque()
        if cookie:
            text = _decoded(cookie.removesuffix(b"\0"))
            arrival = self._arrival
            disks = disks_of(arrival.xml) if arrival.mirrored else ()
            require_plain_cookie(text, arrival.name, arrival.uuid, disks)
        if body.number() & ~BY_SOURCE != FLAGS | (WITH_DISKS if self._arrival.mirrored else 0):
            raise Unexpected("the flags are another migration's")
        return mirrored

    def _prepare(self, body: "_Body") -> None:
        """A list that lacks a disk is another list: without any, every disk would be copied."""
        mirrored = self._migration(body)
        if sorted(mirrored) != sorted(self._arrival.mirrored):
            raise Unexpected("the disks that go along are others")

    def _parameter(self, name: str, body: "_Body", mirrored: list[str]) -> None:
        kind = body.number()
        if (name, kind) == ("bandwidth", ULLONG_TYPE):
            body.take(8)
        elif (name, kind) == ("destination_xml", STRING_TYPE):
            require_expected(body.text(), self._arrival.xml)
        elif (name, kind) == ("destination_name", STRING_TYPE):
            self._require_equal(name, body.text(), self._arrival.name)
        elif (name, kind) == ("migrate_uri", STRING_TYPE):
            self._require_equal(name, body.text(), self._arrival.memory)
        elif (name, kind, bool(self._arrival.mirrored)) == ("disks_uri", STRING_TYPE, True):
            self._require_equal(name, body.text(), self._arrival.disks)
        elif (name, kind) == ("migrate_disks", STRING_TYPE):
            mirrored.append(body.text())
        else:
            raise Unexpected(f"the parameter {name[:40]!a} is not taken")

    def _require_equal(self, what: str, value: str, expected: str) -> None:
        if value != expected:
            raise Unexpected(f"{what} is not {expected}")


class _Body:
    """A message behind its header, read as XDR."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, size: int) -> bytes:
        part = self._data[self._at : self._at + size]
        if len(part) != size:
            raise Unexpected("a message ends in the middle")
        self._at += size
        return part

    def number(self) -> int:
        return int.from_bytes(self.take(4), "big")

    def opaque(self) -> bytes:
        """Bytes with their length before them, padded to four."""
        data = self.take(self.number())
        if any(self.take(-len(data) % 4)):
            raise Unexpected("a message is padded with data")
        return data

    def text(self) -> str:
        return _decoded(self.opaque())

    def require_end(self) -> None:
        if self._at != len(self._data):
            raise Unexpected("a message goes on behind its end")


def _decoded(data: bytes) -> str:
    """A text. A NUL, at which libvirt would end it, is in no XML and in no expected word."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Unexpected("a text is not UTF-8") from error


def _nothing(body: _Body) -> None:
    """A call without parameters."""


def _number(body: _Body) -> None:
    body.take(4)


def _refusal(procedure: int, serial: int, problem: Unexpected) -> bytes:
    """libvirt's answer to a call that failed, with the reason for the operator at the source."""
    text = f"the destination's mcvd does not let it through: {problem}".encode()
    padded = text + b"\0" * (-len(text) % 4)
    code, domain, level, reply, failed = 29, 10, 2, 1, 1  # operation denied; QEMU's driver
    error = struct.pack(">iiII", code, domain, 1, len(text)) + padded
    # level, no domain, no three strings, two numbers, no network
    error += struct.pack(">iIIIIiiI", level, 0, 0, 0, 0, 0, 0, 0)
    length = HEADER.size + len(error)
    return HEADER.pack(length, REMOTE, VERSION, procedure, reply, serial, failed) + error
