"""Resets of running domains, as libvirt's events tell them: asked for from inside or outside."""

import contextlib
import logging
import threading
import time
from collections.abc import Iterator
from typing import Any

from mcv.drivers.libvirt_connection import Connection, change_once, is_alive, libvirt_module

log = logging.getLogger(__name__)

LOOK = 0.5  # s that one look waits
AGAIN = 1.0  # s after an error of the loop of events


class Resets:
    """Asks guests to reboot, and hears of resets, on connections of its own.

    libvirt sends events only to a connection that was opened when the loop of events ran.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @change_once
    def reboot(self, name: str) -> None:
        """Ask the guest to reboot, by its agent or the power button, and do not wait.

        When a guest that was asked by the power button powers off, libvirt resets it.
        """
        with self._connection.domain(name, "reboot") as domain:
            domain.reboot(0)

    @contextlib.contextmanager
    def watched(self, name: str) -> Iterator[Iterator[bool]]:
        """Look whether a domain has been reset since this began; each look waits LOOK s.

        The looks end where libvirtd went away: a reset since then is not told.
        """
        with self._connection.translated(f"Could not watch {name}"):
            watch = self._connection.circuit.read(lambda: _Watch(self._connection, name))
        try:
            yield watch.looks()
        finally:
            # A libvirtd that hangs holds nobody up who only stops listening.
            threading.Thread(target=watch.close, name="libvirt-watch-end", daemon=True).start()


class _Watch:
    """The registration for the resets of one domain."""

    def __init__(self, connection: Connection, name: str) -> None:
        libvirt = libvirt_module()
        _run_event_loop()
        self._reset = threading.Event()
        self._entered = contextlib.ExitStack()
        domain = self._entered.enter_context(connection.own_connection(name, "watch"))
        self._libvirt_connection = domain.connect()
        self._id = self._libvirt_connection.domainEventRegisterAny(
            domain, libvirt.VIR_DOMAIN_EVENT_ID_REBOOT, self._heard, None
        )

    def _heard(self, connection: Any, domain: Any, opaque: Any) -> None:
        self._reset.set()

    def looks(self) -> Iterator[bool]:
        while True:
            has_reset = self._reset.wait(LOOK)
            # The event of a connection that has just gone may have come before its end.
            if not has_reset and not is_alive(self._libvirt_connection):
                return
            yield has_reset

    def close(self) -> None:
        with contextlib.suppress(libvirt_module().libvirtError):
            self._libvirt_connection.domainEventDeregisterAny(self._id)
        with contextlib.suppress(libvirt_module().libvirtError):
            self._entered.close()


_guard = threading.Lock()
_runs = False


def _run_event_loop() -> None:
    """Have libvirt's loop of events run in a thread of this process, once."""
    global _runs
    with _guard:
        if _runs:
            return
        libvirt_module().virEventRegisterDefaultImpl()
        threading.Thread(target=_handle_events, name="libvirt-events", daemon=True).start()
        _runs = True


def _handle_events() -> None:
    libvirt = libvirt_module()
    while True:
        try:
            libvirt.virEventRunDefaultImpl()
        except libvirt.libvirtError as error:
            log.warning("libvirt's events: %s", error)
            time.sleep(AGAIN)
