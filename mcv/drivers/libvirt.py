"""Libvirt on this host: domains defined, started, ended and looked at."""

import os
from collections.abc import Callable
from typing import Any

from mcv.document.generation import Value
from mcv.drivers.libvirt_connection import (
    Connection,
    change,
    change_once,
    ignoring_missing,
    libvirt_module,
    read,
)
from mcv.drivers.libvirt_migration import LiveMigration
from mcv.drivers.libvirt_xml import Capabilities, parse_capabilities, parse_needs, vnc_of

URI = "qemu:///system"

# What libvirt calls the states of a domain, in mcv's words, by libvirt's numbers. A domain
# that is shutting down still runs, and a domain that its guest put to sleep holds its disk.
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


class Definition(Value, frozen=True, kw_only=True):
    """What libvirt keeps of a domain: how it will be started the next time.

    A definition that is not persistent disappears when its domain ends.
    """

    xml: str
    persistent: bool
    autostart: bool


class Hypervisor:
    """Talks to the libvirt of this host: definitions, power, and what is seen of domains."""

    def __init__(self, uri: str = URI, node: str = "this host") -> None:
        self._connection = Connection(uri, node)
        self.migration = LiveMigration(self._connection)

    @property
    def silence(self) -> str:
        """That libvirt does not answer, in words; "" as far as is known."""
        return self._connection.circuit.silence

    def answers(self) -> bool:
        """Whether libvirt answers now, be it with an error."""
        return self._connection.circuit.answers()

    def await_answer(self, seconds: float) -> bool:
        """Wait for the end of a silence, at most so many seconds; whether it has ended."""
        return self._connection.circuit.await_answer(seconds)

    # Definitions

    @change
    def define(self, xml: str) -> None:
        """Define a domain, or define it anew; libvirt never starts it by itself."""
        with self._connection.translated("Could not define a domain"):
            domain = self._connection.current().defineXML(xml)
            if domain.autostart():
                domain.setAutostart(False)

    @change
    def undefine(self, name: str) -> None:
        """Forget a domain with all that libvirt keeps of it; harmless if there is none.

        A running domain goes on until it ends.
        """
        with self._connection.domain(name, "undefine", missing_ok=True) as domain:
            if domain is not None and domain.isPersistent():
                _undefine(domain)

    @read
    def xml(self, name: str) -> str:
        """The definition; of an active domain the definition it runs with."""
        with self._connection.domain(name, "read") as domain:
            return str(domain.XMLDesc(0))

    @read
    def definitions(self) -> dict[str, Definition]:
        """Every domain of this host, mcv's or not, by name."""
        with self._connection.translated("Could not read the domains"):
            domains = self._connection.retrying(lambda connection: connection.listAllDomains(0))
            definitions = {}
            for domain in domains:
                with ignoring_missing():
                    definitions[str(domain.name())] = Definition(
                        xml=str(domain.XMLDesc(libvirt_module().VIR_DOMAIN_XML_INACTIVE)),
                        persistent=bool(domain.isPersistent()),
                        autostart=bool(domain.isPersistent() and domain.autostart()),
                    )
            return definitions

    @change
    def leave_to_mcv(self, name: str) -> None:
        """Switch libvirt's own autostart off; harmless when it is."""
        with self._connection.domain(name, "switch autostart off for") as domain:
            domain.setAutostart(False)

    # Power

    @change
    def start(self, name: str) -> None:
        """Start a domain; harmless when it is active."""
        with self._connection.own_connection(name, "start") as domain:
            if not domain.isActive():
                domain.create()

    @change
    def stop(self, name: str) -> None:
        """Pull the plug; harmless when the domain is not active, or not there."""
        with self._connection.domain(name, "stop", missing_ok=True) as domain:
            if domain is not None:
                _unless_ended(domain, domain.destroy)

    @change_once
    def shutdown(self, name: str) -> None:
        """Press the power button, and do not wait; harmless when the domain is not active."""
        with self._connection.domain(name, "shut down") as domain:
            _unless_ended(domain, domain.shutdown)

    @change_once
    def reset(self, name: str) -> None:
        """Press the reset button."""
        with self._connection.domain(name, "reset") as domain:
            domain.reset(0)

    @change
    def pause(self, name: str) -> None:
        """Let a domain stand still, its memory and disk kept; harmless when it does."""
        with self._connection.domain(name, "pause") as domain:
            if STATES.get(domain.state()[0]) != "paused":
                domain.suspend()

    @change
    def resume(self, name: str) -> None:
        """Let a domain that stands still go on; harmless when it runs."""
        with self._connection.domain(name, "resume") as domain:
            if STATES.get(domain.state()[0]) == "paused":
                domain.resume()

    # What is

    @read
    def state(self, name: str) -> str:
        """running, paused, stopped, crashed or absent."""
        with self._connection.domain(name, "look at", missing_ok=True) as domain:
            return "absent" if domain is None else _state(domain)

    @read
    def states(self) -> dict[str, str]:
        """The state of every domain of this host, mcv's or not, by name."""
        with self._connection.translated("Could not list the domains"):
            domains, plain = self._connection.retrying(_domains_and_plain_states)
            states = {}
            for domain in domains:
                name = str(domain.name())
                with ignoring_missing():
                    states[name] = plain.get(name) or _state(domain)
            return states

    def is_running(self, name: str) -> bool:
        return self.state(name) == "running"

    @read
    def is_active(self, name: str) -> bool:
        """Whether there is a process that holds the disks: a paused domain does too."""
        with self._connection.domain(name, "look at", missing_ok=True) as domain:
            return domain is not None and bool(domain.isActive())

    def has_crashed(self, name: str) -> bool:
        """Whether a domain ended, or never began, by no order of anybody: killed, or broken.

        libvirt tells it until its own next start, and of the last end alone.
        """
        with self._connection.domain(name, "look at", missing_ok=True) as domain:
            if domain is None:
                return False
            state, reason = domain.state()[:2]
            return bool(state == libvirt_module().VIR_DOMAIN_SHUTOFF and reason in _broken_ends())

    def vnc(self, name: str) -> str | None:
        """Where its screen is to be seen, as address:port; None when it is not active."""
        if not self.is_active(name):
            return None
        return vnc_of(self.xml(name))

    @read
    def capabilities(self) -> Capabilities:
        with self._connection.translated("Could not read the host's capabilities"):
            return parse_capabilities(
                self._connection.retrying(lambda host: host.getCapabilities())
            )

    @read
    def why_not_host(self, xml: str) -> str:
        """Why a domain that runs elsewhere with this XML could not go on here; "" if it could."""
        with self._connection.translated("Could not compare the hosts"):
            return self._connection.retrying(lambda connection: _why_not_host(connection, xml))

    @read
    def memory_free(self) -> int:
        """Bytes that a new domain could have: free, or only caching files."""
        with self._connection.translated("Could not read the host's memory"):
            return int(self._connection.retrying(_memory))


def _broken_ends() -> tuple[int, ...]:
    """libvirt's reasons of a domain that is off although nobody ended it."""
    libvirt = libvirt_module()
    return (
        libvirt.VIR_DOMAIN_SHUTOFF_CRASHED,
        libvirt.VIR_DOMAIN_SHUTOFF_FAILED,
        libvirt.VIR_DOMAIN_SHUTOFF_DAEMON,
    )


def _state(domain: Any) -> str:
    state = STATES.get(domain.state()[0], "running")
    return "running" if state == "stopped" and domain.isActive() else state


def _domains_and_plain_states(connection: Any) -> tuple[list[Any], dict[str, str]]:
    """Every domain, and the states of those that just run or are off, by name.

    Two questions for all of them: to ask for each by itself takes seconds where there are
    a thousand.
    """
    libvirt = libvirt_module()
    domains = list(connection.listAllDomains(0))
    off = libvirt.VIR_CONNECT_LIST_DOMAINS_INACTIVE | libvirt.VIR_CONNECT_LIST_DOMAINS_SHUTOFF
    on = libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE | libvirt.VIR_CONNECT_LIST_DOMAINS_RUNNING
    plain = {str(domain.name()): "stopped" for domain in connection.listAllDomains(off)}
    plain |= {str(domain.name()): "running" for domain in connection.listAllDomains(on)}
    return domains, plain


def _unless_ended(domain: Any, end: Callable[[], Any]) -> None:
    """End a domain; no error where the domain ends by itself meanwhile."""
    if not domain.isActive():
        return
    try:
        end()
    except libvirt_module().libvirtError as error:
        with ignoring_missing():
            if domain.isActive():
                raise error


def _undefine(domain: Any) -> None:
    """Undefine with all that libvirt keeps of a domain; its drivers know different flags."""
    libvirt = libvirt_module()
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
    libvirt = libvirt_module()
    same = connection.compareHypervisorCPU(
        wants.emulator, "x86_64", wants.machine, wants.domain_type, wants.cpu, 0
    )
    return "" if same > libvirt.VIR_CPU_COMPARE_INCOMPATIBLE else "its CPU lacks what is in use."


def _memory(connection: Any) -> int:
    libvirt = libvirt_module()
    try:
        kib = connection.getMemoryStats(libvirt.VIR_NODE_MEMORY_STATS_ALL_CELLS, 0)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_SUPPORT:
            raise
        return int(connection.getFreeMemory())
    return int(sum(kib.get(key, 0) for key in ("free", "buffers", "cached"))) * 1024
