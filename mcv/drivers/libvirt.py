"""Libvirt on this host: domains defined, started, ended and looked at."""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from mcv.document.model import Value
from mcv.drivers.domain_xml import MIB
from mcv.drivers.libvirt_xml import Capabilities, parse_capabilities, parse_needs, vnc_of
from mcv.errors import HypervisorFailed

URI = "qemu:///system"

# What libvirt calls the states of a domain, in mcv's words, by libvirt's numbers. A domain
# that is shutting down still runs, and one that the guest put to sleep still holds its disk.
STATES = {
    0: "running",  # no state: what the driver does not tell
    1: "running",
    2: "running",  # blocked on a resource
    3: "paused",
    4: "running",  # shutting down
    5: "stopped",
    6: "crashed",
    7: "paused",  # suspended by its guest
}

T = TypeVar("T")


class Definition(Value, frozen=True, kw_only=True):
    """What libvirt keeps of a domain: how it will be started the next time.

    One that is not persistent is gone with its end.
    """

    xml: str
    persistent: bool
    autostart: bool


class Movement(Value, frozen=True, kw_only=True):
    """A live migration under way: bytes of memory, and bytes a second."""

    total: int
    remaining: int
    rate: int


class Hypervisor:
    """Talks to the libvirt of this host; one connection, opened again when it is dead."""

    def __init__(self, uri: str = URI) -> None:
        self._uri = uri
        self._guard = threading.Lock()
        self._connected: Any = None

    # Definitions

    def define(self, xml: str) -> None:
        """Define a domain, or define it anew; libvirt never starts it by itself."""
        with self._retold("Could not define a domain"):
            domain = self._connection().defineXML(xml)
            if domain.autostart():
                domain.setAutostart(False)

    def undefine(self, name: str) -> None:
        """Forget a domain with all that libvirt keeps of it; harmless if there is none.

        One that runs goes on until it ends.
        """
        with self._domain(name, "undefine", missing_ok=True) as domain:
            if domain is not None and domain.isPersistent():
                _undefine(domain)

    def xml(self, name: str) -> str:
        """The definition; of an active domain the one that it runs with."""
        with self._domain(name, "read") as domain:
            return str(domain.XMLDesc(0))

    def definitions(self) -> dict[str, Definition]:
        """Every domain of this host, mcv's or not, by name."""
        with self._retold("Could not read the domains"):
            domains = self._again(lambda connection: connection.listAllDomains(0))
            found = {}
            for domain in domains:
                with _gone():
                    found[str(domain.name())] = Definition(
                        xml=str(domain.XMLDesc(_libvirt().VIR_DOMAIN_XML_INACTIVE)),
                        persistent=bool(domain.isPersistent()),
                        autostart=bool(domain.isPersistent() and domain.autostart()),
                    )
            return found

    def leave_to_mcv(self, name: str) -> None:
        """Switch libvirt's own autostart off; harmless when it is."""
        with self._domain(name, "switch autostart off for") as domain:
            domain.setAutostart(False)

    # Power

    def start(self, name: str) -> None:
        """Start a domain; harmless when it is active."""
        with self._apart(name, "start") as domain:
            if not domain.isActive():
                domain.create()

    def stop(self, name: str) -> None:
        """Pull the plug; harmless when the domain is not active, or not there."""
        with self._domain(name, "stop", missing_ok=True) as domain:
            if domain is not None:
                _unless_ended(domain, domain.destroy)

    def shutdown(self, name: str) -> None:
        """Press the power button, and do not wait; harmless when the domain is not active."""
        with self._domain(name, "shut down") as domain:
            _unless_ended(domain, domain.shutdown)

    def reset(self, name: str) -> None:
        """Press the reset button."""
        with self._domain(name, "reset") as domain:
            domain.reset(0)

    def pause(self, name: str) -> None:
        """Let a domain stand still, its memory and disk kept; harmless when it does."""
        with self._domain(name, "pause") as domain:
            if STATES.get(domain.state()[0]) != "paused":
                domain.suspend()

    def resume(self, name: str) -> None:
        """Let a domain that stands still go on; harmless when it runs."""
        with self._domain(name, "resume") as domain:
            if STATES.get(domain.state()[0]) == "paused":
                domain.resume()

    # Live migration

    def send(self, name: str, to: str, memory: str, bandwidth: int = 0) -> None:
        """Move a running domain to the libvirt at the URI `to`, and wait; it ends here.

        It arrives paused, and whoever asked for this resumes it there: libvirt itself starts
        an arrival before it knows that the departure has ended, and where the answer to that
        is lost it lets both run. `memory` is the URI by which QEMU gets the memory across;
        bandwidth is in bytes a second, 0 for no limit.
        """
        libvirt = _libvirt()
        flags = (
            libvirt.VIR_MIGRATE_LIVE | libvirt.VIR_MIGRATE_PEER2PEER | libvirt.VIR_MIGRATE_PAUSED
        )
        params: dict[str, Any] = {libvirt.VIR_MIGRATE_PARAM_URI: memory}
        if bandwidth:
            params[libvirt.VIR_MIGRATE_PARAM_BANDWIDTH] = max(1, bandwidth // MIB)
        with self._apart(name, "migrate") as domain:
            domain.migrateToURI3(to, params, flags)

    def movement(self, name: str) -> Movement | None:
        """How far the migration of a domain is, coming or going; None where there is none."""
        libvirt = _libvirt()
        with self._domain(name, "look at", missing_ok=True) as domain:
            if domain is None or not domain.isActive():
                return None
            with _gone():
                said = domain.jobStats()
                if said.get("type", 0) == libvirt.VIR_DOMAIN_JOB_NONE:
                    return None
                return Movement(
                    total=int(said.get("data_total", 0)),
                    remaining=int(said.get("data_remaining", 0)),
                    rate=int(said.get("memory_bps", 0)),
                )
            return None

    def abort(self, name: str) -> None:
        """End a migration that is under way; the domain goes on here. Harmless without one."""
        if self.movement(name) is not None:
            with self._domain(name, "end the migration of", missing_ok=True) as domain:
                if domain is not None:
                    _unless_over(domain)

    # What is

    def state(self, name: str) -> str:
        """running, paused, stopped, crashed or absent."""
        with self._domain(name, "look at", missing_ok=True) as domain:
            return "absent" if domain is None else _state(domain)

    def states(self) -> dict[str, str]:
        """The state of every domain of this host, mcv's or not, by name."""
        with self._retold("Could not list the domains"):
            domains, plain = self._again(_domains_and_plain_states)
            found = {}
            for domain in domains:
                name = str(domain.name())
                with _gone():
                    found[name] = plain.get(name) or _state(domain)
            return found

    def is_running(self, name: str) -> bool:
        return self.state(name) == "running"

    def is_active(self, name: str) -> bool:
        """Whether there is a process that holds the disks: a paused domain does too."""
        with self._domain(name, "look at", missing_ok=True) as domain:
            return domain is not None and bool(domain.isActive())

    def vnc(self, name: str) -> str | None:
        """Where its screen is to be seen, as address:port; None when it is not active."""
        if not self.is_active(name):
            return None
        return vnc_of(self.xml(name))

    def capabilities(self) -> Capabilities:
        with self._retold("Could not read the host's capabilities"):
            return parse_capabilities(self._again(lambda one: one.getCapabilities()))

    def why_not_host(self, xml: str) -> str:
        """Why a domain that runs elsewhere with this XML could not go on here; "" if it could."""
        with self._retold("Could not compare the hosts"):
            return self._again(lambda connection: _why_not_host(connection, xml))

    def memory_free(self) -> int:
        """Bytes that a new domain could have: free, or only caching files."""
        with self._retold("Could not read the host's memory"):
            return int(self._again(_memory))

    # The connection

    def _connection(self) -> Any:
        with self._guard:
            if self._connected is not None and _alive(self._connected):
                return self._connected
            self._forget()
            self._connected = _libvirt().open(self._uri)
            return self._connected

    def _forget(self) -> None:
        if self._connected is not None:
            with contextlib.suppress(_libvirt().libvirtError):
                self._connected.close()
        self._connected = None

    def _again(self, ask: Callable[[Any], T]) -> T:
        """Ask something that changes nothing; once more where the connection has just died.

        A libvirtd that was restarted is noticed only by the first call after it.
        """
        try:
            return ask(self._connection())
        except _libvirt().libvirtError as error:
            if error.get_error_domain() != _libvirt().VIR_FROM_RPC:
                raise
            with self._guard:
                self._forget()
            return ask(self._connection())

    @contextlib.contextmanager
    def _domain(self, name: str, verb: str, missing_ok: bool = False) -> Iterator[Any]:
        with self._retold(f"Could not {verb} {name}"):
            try:
                domain = self._again(lambda connection: connection.lookupByName(name))
            except _libvirt().libvirtError as error:
                if not (missing_ok and _says_no_domain(error)):
                    raise
                domain = None
            yield domain

    @contextlib.contextmanager
    def _apart(self, name: str, verb: str) -> Iterator[Any]:
        """A domain on a connection of its own, for a call that lasts.

        On a connection that libvirt is at work for, whatever else is asked waits for its end.
        """
        with self._retold(f"Could not {verb} {name}"):
            connection = _libvirt().open(self._uri)
            try:
                yield connection.lookupByName(name)
            finally:
                connection.close()

    @contextlib.contextmanager
    def _retold(self, what: str) -> Iterator[None]:
        """Retell libvirt's errors as ours."""
        try:
            yield
        except _libvirt().libvirtError as error:
            said = error.get_error_message() or str(error)
            raise HypervisorFailed(f"{what}: {said.rstrip('.')}.") from error


_silenced = False


def _libvirt() -> Any:
    """Libvirt's module, imported when it is needed, and kept from printing errors itself."""
    global _silenced
    import libvirt

    if not _silenced:
        libvirt.registerErrorHandler(lambda context, error: None, None)
        _silenced = True
    return libvirt


def _alive(connection: Any) -> bool:
    try:
        return bool(connection.isAlive())
    except _libvirt().libvirtError:
        return False


def _says_no_domain(error: Any) -> bool:
    return bool(error.get_error_code() == _libvirt().VIR_ERR_NO_DOMAIN)


@contextlib.contextmanager
def _gone() -> Iterator[None]:
    """Pass over a domain that disappears while it is looked at."""
    try:
        yield
    except _libvirt().libvirtError as error:
        if not _says_no_domain(error):
            raise


def _state(domain: Any) -> str:
    state = STATES.get(domain.state()[0], "running")
    return "running" if state == "stopped" and domain.isActive() else state


def _domains_and_plain_states(connection: Any) -> tuple[list[Any], dict[str, str]]:
    """Every domain, and the states of those that just run or are off, by name.

    Two questions for all of them: to ask for each by itself takes seconds where there are
    a thousand.
    """
    libvirt = _libvirt()
    domains = list(connection.listAllDomains(0))
    off = libvirt.VIR_CONNECT_LIST_DOMAINS_INACTIVE | libvirt.VIR_CONNECT_LIST_DOMAINS_SHUTOFF
    on = libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE | libvirt.VIR_CONNECT_LIST_DOMAINS_RUNNING
    plain = {str(domain.name()): "stopped" for domain in connection.listAllDomains(off)}
    plain |= {str(domain.name()): "running" for domain in connection.listAllDomains(on)}
    return domains, plain


def _unless_ended(domain: Any, end: Callable[[], Any]) -> None:
    """End a domain; one that ends by itself meanwhile has ended."""
    if not domain.isActive():
        return
    try:
        end()
    except _libvirt().libvirtError as error:
        with _gone():
            if domain.isActive():
                raise error


def _unless_over(domain: Any) -> None:
    """End a domain's job; one that has just ended is no error."""
    libvirt = _libvirt()
    try:
        domain.abortJob()
    except libvirt.libvirtError as error:
        if error.get_error_code() not in (
            libvirt.VIR_ERR_OPERATION_INVALID,
            libvirt.VIR_ERR_NO_DOMAIN,
        ):
            raise


def _undefine(domain: Any) -> None:
    """With everything that libvirt keeps for a domain; drivers know different parts of it."""
    libvirt = _libvirt()
    common = (
        libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    )
    qemu = libvirt.VIR_DOMAIN_UNDEFINE_NVRAM | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
    try:
        domain.undefineFlags(common | qemu)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_INVALID_ARG:
            raise
        domain.undefineFlags(common)


def _why_not_host(connection: Any, xml: str) -> str:
    wants = parse_needs(xml)
    can = parse_capabilities(connection.getCapabilities())
    if wants.domain_type not in can.emulators:
        return f"it has no {wants.domain_type}."
    if not os.access(wants.emulator, os.X_OK):
        return f"it has no {wants.emulator}."
    if wants.machine not in can.machines:
        return f"its QEMU knows no machine {wants.machine}."
    if wants.domain_type != "kvm" or not wants.cpu:
        return ""
    libvirt = _libvirt()
    same = connection.compareHypervisorCPU(
        wants.emulator, "x86_64", wants.machine, wants.domain_type, wants.cpu, 0
    )
    return "" if same > libvirt.VIR_CPU_COMPARE_INCOMPATIBLE else "its CPU lacks what is in use."


def _memory(connection: Any) -> int:
    libvirt = _libvirt()
    try:
        kib = connection.getMemoryStats(libvirt.VIR_NODE_MEMORY_STATS_ALL_CELLS, 0)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_SUPPORT:
            raise
        return int(connection.getFreeMemory())
    return int(sum(kib.get(key, 0) for key in ("free", "buffers", "cached"))) * 1024
