"""The gate that every start of a guest and every promotion holds open: an flock in /run/mcv.

A start, an arrival, a resume and a promotion hold it together and look at the lease while they
hold it. mcv-lease holds it alone before it feeds the watchdog without a lease: then nothing that
has seen a valid lease is still on its way.

An flock does not outlive mcvd that is killed while libvirt starts a domain. So a start leaves a
marker, which is removed after libvirt's answer; a marker while nobody holds the gate is a start
of which nobody knows whether it will still be carried out.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from mcv.system import process
from mcv.system.lease import RUN

FILE = "start-gate"
MARKERS = "starting"
PAUSE = 0.05  # s between two tries


class GateClosed(Exception):
    """mcv-lease holds the gate alone: this host has no lease, and nothing may begin."""


class StartGate:
    """This host's gate."""

    def __init__(self, run: Path = RUN) -> None:
        self._path = run / FILE
        self._markers = run / MARKERS
        self._alone: int | None = None

    @contextlib.contextmanager
    def together(self, timeout: float) -> Iterator[None]:
        """Hold the gate together with other starts; the commands started meanwhile inherit it.

        Raises GateClosed where it is still held alone after `timeout` seconds, and OSError.
        """
        fd = self._entered(time.monotonic() + timeout)
        token = process.inherited.set((*process.inherited.get(), fd))
        try:
            yield
        finally:
            process.inherited.reset(token)
            os.close(fd)

    def _entered(self, until: float) -> int:
        while True:
            fd = self._locked(fcntl.LOCK_SH)
            if fd is not None:
                return fd
            if time.monotonic() >= until:
                raise GateClosed
            time.sleep(PAUSE)

    def close(self) -> bool:
        """Try to hold the gate alone, until `open`; whether it is held. Raises OSError."""
        if self._alone is not None and not self._is_the_file(self._alone):
            self.open()
        if self._alone is None:
            self._alone = self._locked(fcntl.LOCK_EX)
        return self._alone is not None

    def open(self) -> None:
        """Hold the gate no more alone."""
        if self._alone is not None:
            os.close(self._alone)
            self._alone = None

    def _locked(self, how: int) -> int | None:
        """A descriptor that holds the gate; None where others hold it otherwise."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(fd, how | fcntl.LOCK_NB)
            if self._is_the_file(fd):
                return fd
        except BlockingIOError:
            pass
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
        return None

    def _is_the_file(self, fd: int) -> bool:
        """Whether the descriptor is of the file that others open: it may have been removed."""
        try:
            return os.path.samestat(os.fstat(fd), self._path.lstat())
        except FileNotFoundError:
            return False

    # Markers

    def mark(self, name: str) -> None:
        """Note that the VM is about to be started; precondition: the gate is held."""
        self._markers.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd = os.open(self._marker(name), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.close(fd)

    def unmark(self, name: str) -> None:
        """Note that libvirt has answered, be it that it refused; harmless without a marker."""
        self._marker(name).unlink(missing_ok=True)

    def marks(self) -> tuple[str, ...]:
        """The VMs whose start is being carried out, or was when its holder was killed."""
        try:
            return tuple(sorted(os.listdir(self._markers)))
        except FileNotFoundError:
            return ()

    def _marker(self, name: str) -> Path:
        if not name or name.startswith(".") or "/" in name:
            raise ValueError(f"{name!r} is no name of a VM")
        return self._markers / name
