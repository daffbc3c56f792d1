"""The program that ends mcv's guests when their host shuts down, all of them at once.

mcv-guests.service runs it, before libvirt-guests and mcvd are stopped. It asks libvirt itself,
so that it works without mcvd, and without the other nodes. The notes that the guests ran stay. What
high availability moves away first is waited for, for a while.
"""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

from mcv import settings
from mcv.drivers.domain_reading import is_ours
from mcv.drivers.libvirt import Definition, Hypervisor
from mcv.drivers.libvirt_identity import DomainStates, uuid_of
from mcv.errors import McvError
from mcv.rules.domain import ACTIVE
from mcv.system import logs, systemd
from mcv.vm import moves_awaited

T = TypeVar("T")

log = logging.getLogger("mcv-guests")

LOOK = 0.5  # s between two looks at what still runs
AGAIN = 20.0  # s after which a guest is asked again: one that was booting has not heard it
MOVES = moves_awaited.LONGEST + 60.0  # s, also where mcvd answers slowly
PULL = 30.0  # s that libvirt has to end what did not end by itself


class Domains(Protocol):
    """What is asked of libvirt here."""

    def states(self) -> DomainStates: ...
    def definitions(self) -> dict[str, Definition]: ...
    def shutdown(self, name: str) -> None: ...
    def stop(self, name: str) -> None: ...


def marked(domains: Domains, until: float) -> dict[str, str]:
    """The UUIDs of the domains that bear mcv's mark, by name: no document is needed for that."""
    definitions = _patiently(domains.definitions, until).items()
    return {name: uuid_of(domain.xml) for name, domain in definitions if is_ours(domain.xml)}


def end_all(domains: Domains, timeout: float) -> list[str]:
    """Ask every guest that is known to shut down, and pull the plug of what runs at the timeout.

    A paused guest cannot hear it: where nothing else is left to wait for, its plug is pulled at
    once. Returns the guests whose plug was pulled.
    """
    asked = time.monotonic()
    until = asked + timeout
    left = _active(domains, until)
    if left:
        log.info("shutting down %s; %g s are left", ", ".join(left), timeout)
    _for_each(domains.shutdown, left)
    while left := _active(domains, until):
        now = time.monotonic()
        if now > until or all(state == "paused" for state in left.values()):
            break
        if now - asked > AGAIN:
            asked = now
            _for_each(domains.shutdown, left)
        time.sleep(LOOK)
    if left:
        log.warning("pulling the plug of %s", ", ".join(left))
    _for_each(domains.stop, left)
    return sorted(left)


def _patiently(ask: Callable[[], T], until: float) -> T:
    """Ask libvirt, and again where it does not answer: a host that goes down has much to do."""
    while True:
        try:
            return ask()
        except McvError as error:
            if time.monotonic() > until:
                raise
            log.warning("%s", error)
            time.sleep(LOOK)


def _active(domains: Domains, until: float) -> dict[str, str]:
    """The guests that are active, and their states."""
    states = sorted(_patiently(domains.states, until).vms.items())
    return {name: state for name, state in states if state in ACTIVE}


def _for_each(work: Callable[[str], None], names: Iterable[str]) -> None:
    """Do the same to all guests, side by side: a guest that resists holds up no other."""

    def attempt(name: str) -> None:
        try:
            work(name)
        except McvError as error:
            log.warning("%s: %s", name, error)

    threads = [threading.Thread(target=attempt, args=(name,), daemon=True) for name in names]
    for thread in threads:
        thread.start()
    until = time.monotonic() + PULL
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))


def _host_is_stopping() -> bool:
    """Whether the host goes down; a systemd that does not answer while it stops this is no no."""
    try:
        return systemd.host_is_stopping()
    except McvError as error:
        log.warning("whether this host goes down is not known: %s", error)
        return True


def _await_moves() -> None:
    """Wait for what moves away. Whatever goes wrong with that, the guests are ended after it."""
    waits = threading.Thread(target=moves_awaited.wait, daemon=True)
    waits.start()
    waits.join(MOVES)


def main() -> None:
    """The program mcv-guests: without effect unless the whole host goes down."""
    logs.begin()
    if not _host_is_stopping():
        log.info("this host does not go down: its guests run on")
        return
    try:
        timeout = settings.load().shutdown_timeout
    except McvError as error:
        log.warning("%s", error)
        timeout = settings.SHUTDOWN_TIMEOUT
    _await_moves()
    # A libvirtd that hangs holds no shutdown up for ever.
    limit = threading.Timer(2 * timeout + 2 * PULL, os._exit, (1,))
    limit.daemon = True
    limit.start()
    try:
        known: dict[str, str] = {}
        domains = Hypervisor(lambda: known)
        known |= marked(domains, time.monotonic() + timeout)
        end_all(domains, timeout)
    except McvError as error:
        sys.exit(f"mcv-guests: {error}")
    finally:
        limit.cancel()


if __name__ == "__main__":
    main()
