"""The side of a copy that has the disk: it sends, resumes and compares the bytes."""

import contextvars
import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from mcv.document.disks import Disk, DrbdDisk
from mcv.document.subject import Subject
from mcv.drivers.nbd import Nbd
from mcv.errors import CallLost, Cancelled, McvError, PeerUnreachable, Refused
from mcv.host import Host
from mcv.sizes import shown
from mcv.storage import backings, copy_notes, copy_target, paths
from mcv.storage.copy_notes import CopyNote
from mcv.storage.pieces import PIECE, Digests, digest, digests
from mcv.system import files
from mcv.system.answers import decoded

log = logging.getLogger(__name__)

PATIENCE = 120.0  # s that the other side may be silent, before the plan goes back
POLL = 2.0
ATTEMPTS = 2  # in a row that come no further
ASKING = 300.0  # s that the other side has to read what it answers about
MOST = 1 << 62


class Way(Protocol):
    """The way to the volume that a copy goes to."""

    def has_begun(self) -> bool:
        """Whether bytes of the copy may have arrived."""

    def opened(self, is_zero: bool) -> AbstractContextManager[Path]:
        """A context: a socket behind which the volume is served for writing."""

    def digests(self, offset: int, end: int) -> Digests:
        """The digests of what has arrived."""


class Here:
    """To a volume of this node."""

    def __init__(self, host: Host, name: str, disk: int) -> None:
        self._host, self._name, self._disk = host, name, disk

    def has_begun(self) -> bool:
        return copy_target.has_begun(self._host, self._name, self._disk, self._host.name)

    @contextmanager
    def opened(self, is_zero: bool) -> Iterator[Path]:
        host = self._host
        note = copy_notes.require_expected(host, self._name, self._disk, host.name)
        with copy_target.opened_here(host, note, is_zero) as server:
            yield server.socket

    def digests(self, offset: int, end: int) -> Digests:
        host = self._host
        return copy_target.digests(host, self._name, self._disk, offset, end, host.name)


class Away:
    """To a volume of another node, through the daemons."""

    def __init__(self, host: Host, name: str, disk: int, to: str) -> None:
        self._host, self._to = host, to
        self._copy = {"name": name, "disk": disk}

    def has_begun(self) -> bool:
        answer = self._host.call(self._to, "volume.has_begun", **self._copy)
        return decoded(self._to, "volume.has_begun", answer, bool)

    @contextmanager
    def opened(self, is_zero: bool) -> Iterator[Path]:
        name, disk = self._copy["name"], str(self._copy["disk"])
        path = files.child(self._host.settings.run, f"{name}.{disk}.copy")
        asked = {"for": copy_target.PURPOSE, "vm": str(name), "disk": disk}
        with self._host.tunnel(path, self._to, asked | ({"zero": "yes"} if is_zero else {})):
            yield path

    def digests(self, offset: int, end: int) -> Digests:
        of = {**self._copy, "offset": offset, "end": end}
        answer = self._host.call(self._to, "volume.digests", timeout=ASKING, **of)
        return decoded(self._to, "volume.digests", answer, Digests)


class Differs(McvError):
    """What has arrived is not what was sent."""


def send(host: Host, name: str, disk: int, to: str) -> None:
    """Copy a disk of a VM to the volume that a node made for it; a step.

    Precondition: nothing writes to the disk. Effect: both read the same, what lies beyond the
    disk's end reads as zeros, and the copy is durable. A copy that was cut off is resumed.
    Errors: McvError where the copy fails or differs; Cancelled.
    """
    cluster = host.both()[-1]
    source = cluster.vm(name).disk(disk)
    way: Way = Here(host, name, disk) if to == host.name else Away(host, name, disk, to)
    storage_path = paths.path(cluster, source, host.name)
    if not isinstance(source, DrbdDisk):
        where = paths.location(cluster, source, host.name)
        backings.of(host, source).bring_up(where, source.volume)
    with host.job.may_be_cancelled(waits=False):
        _Copy(host, storage_path, source, way, f"disk {disk} of {name} to {to}").carry_out()


def send_here(host: Host, name: str, disk: int, to: int, what: str, is_zero: bool = True) -> None:
    """Copy a disk of a VM to another disk that was made for it; a step.

    Precondition: nothing writes to either, and both are open here. Effect and errors as of
    `send`. The other disk reads as zeros until a note says that the copy has begun, or from the
    beginning not where `is_zero` says so; the note stays until the operation is over.
    """
    cluster = host.both()[-1]
    source, target = cluster.vm(name).disk(disk), cluster.vm(name).disk(to)
    claim = cluster.claim_of(Subject.vm(name))
    if claim is None:
        raise Refused(f"Nobody has claimed {name}.")
    note = copy_notes.read(host, name, to)
    if note is None or note.operation != claim.operation:
        note = CopyNote(
            name=name,
            source=host.name,
            operation=claim.operation,
            target=target,
            begun=not is_zero,
        )
        copy_notes.write(host, note)
    path = paths.path(cluster, source, host.name)
    with host.job.may_be_cancelled(waits=False):
        _Copy(host, path, source, Here(host, name, to), what).carry_out()


class _Copy:
    """A copy under way."""

    def __init__(self, host: Host, path: str, source: Disk, way: Way, what: str) -> None:
        self._host, self._path, self._format = host, path, source.format
        self._socket = f"{source.volume}.read.nbd"
        self._way, self._what = way, what
        self._sent = 0.0  # bytes, of all attempts

    def carry_out(self) -> None:
        """Try until it is whole, as long as each attempt comes further than the one before."""
        sent, stuck = 0.0, 0
        while True:
            try:
                return self._attempt()
            except (Cancelled, Differs):
                raise
            except McvError as error:
                stuck = 0 if self._sent > sent else stuck + 1
                sent = self._sent
                log.warning("copy %s: %s", self._what, error)
                if stuck >= ATTEMPTS or not self._answers_again():
                    raise

    def _answers_again(self) -> bool:
        """Wait for the other side, whose daemon may just be starting."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            self._host.job.check_cancelled()
            try:
                self._way.has_begun()
                return True
            except (PeerUnreachable, CallLost):
                time.sleep(POLL)
        return False

    def _attempt(self) -> None:
        socket = files.child(self._host.settings.run, self._socket)
        server = self._host.blocks.serve(self._path, self._format, socket, writable=False)
        try:
            with self._host.blocks.connect(server.socket) as nbd:
                if not self._way.has_begun():
                    self._convert(nbd)
                elif differing := self._differing(nbd):
                    self._send(nbd, differing)
                if differing := self._differing(nbd):
                    raise Differs(f"The copy of {self._what} differs at byte {differing[0]}.")
        finally:
            server.end()

    def _convert(self, nbd: Nbd) -> None:
        """Copy to a volume that reads as zeros: what is zero here is not sent."""
        bar, before = _Bar(self._host, f"copy {self._what}", nbd.size), self._sent

        def told(part: float) -> None:
            self._host.job.check_cancelled()
            self._sent = before + part * nbd.size
            bar.tell(int(part * nbd.size))

        with self._way.opened(is_zero=True) as socket:
            self._host.blocks.convert(self._path, self._format, socket, told)

    def _send(self, nbd: Nbd, differing: list[int]) -> None:
        """Send single pieces, also those that are zero here."""
        bar = _Bar(self._host, f"copy {self._what}", len(differing) * PIECE)
        with (
            self._way.opened(is_zero=False) as socket,
            self._host.blocks.connect(socket) as target,
        ):
            for number, offset in enumerate(differing, 1):
                self._host.job.check_cancelled()
                _send_piece(nbd, target, offset)
                self._sent += PIECE
                bar.tell(number * PIECE)
            target.flush()

    def _differing(self, nbd: Nbd) -> list[int]:
        """Where pieces differ; both sides read at the same time."""
        bar = _Bar(self._host, f"compare {self._what}", nbd.size)
        found: list[int] = []
        offset = 0
        with ThreadPoolExecutor(1) as pool:
            while offset < nbd.size:
                self._host.job.check_cancelled()
                context = contextvars.copy_context()
                theirs = pool.submit(context.run, self._way.digests, offset, nbd.size)
                ours, other = digests(nbd, offset, nbd.size), theirs.result()
                self._require_room(nbd, other)
                count = min(len(ours.pieces), len(other.pieces))
                pairs = zip(ours.pieces[:count], other.pieces[:count], strict=True)
                found += [
                    offset + index * PIECE for index, pair in enumerate(pairs) if len(set(pair)) > 1
                ]
                offset += count * PIECE
                bar.tell(min(offset, nbd.size))
        if not found:
            self._require_zeros_behind(nbd.size)
        return found

    def _require_room(self, nbd: Nbd, other: Digests) -> None:
        if other.size < nbd.size or not other.pieces:
            raise Differs(
                f"The copy of {self._what} has {shown(other.size)}, the disk {shown(nbd.size)}."
            )

    def _require_zeros_behind(self, offset: int) -> None:
        """A volume may be larger than the disk: then the rest of it must read as zeros."""
        size = offset + 1
        while offset < size:
            behind = self._way.digests(offset, MOST)
            size = behind.size
            if any(behind.pieces):
                raise Differs(f"The copy of {self._what} has bytes behind its end.")
            offset += max(1, len(behind.pieces)) * PIECE


def _send_piece(nbd: Nbd, target: Nbd, offset: int) -> None:
    length = min(PIECE, nbd.size - offset)
    data = nbd.read(offset, length)
    if digest(data):
        target.write(offset, data)
    else:
        target.zero(offset, length)


class _Bar:
    """How far a copy is, and how fast."""

    def __init__(self, host: Host, what: str, total: int) -> None:
        self._host, self._what, self._total = host, what, total
        self._began = time.monotonic()
        self.tell(0)

    def tell(self, done: int) -> None:
        seconds = time.monotonic() - self._began
        rate = f"{shown(int(done / seconds))}/s" if seconds > 1 else ""
        self._host.job.progress(self._what, done, self._total, "B", rate)
