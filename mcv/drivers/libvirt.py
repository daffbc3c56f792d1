"""Libvirt on this host: domains defined, started, ended and looked at."""

from collections.abc import Callable
from typing import Any

from mcv.document.generation import Value
from mcv.drivers import libvirt_host, libvirt_identity, libvirt_listing
from mcv.drivers.domain_doors import Doors
from mcv.drivers.domain_reading import mark_of
from mcv.drivers.libvirt_agent import GuestAgent
from mcv.drivers.libvirt_connection import (
    Connection,
    change,
    change_once,
    ignoring_missing,
    is_answer,
    libvirt_module,
    read,
    slow_read,
    undefine_whole,
)
from mcv.drivers.libvirt_devices import LiveDisks
from mcv.drivers.libvirt_host_devices import LiveHostDevices
from mcv.drivers.libvirt_identity import (
    FOREIGN,
    DomainStates,
    ForeignDomain,
    KnownUuids,
)
from mcv.drivers.libvirt_listing import ENDING, STATES, has_failed_to_start, state_of
from mcv.drivers.libvirt_live import LiveMachine
from mcv.drivers.libvirt_load import Load
from mcv.drivers.libvirt_migration import LiveMigration
from mcv.drivers.libvirt_mirrors import LiveMirrors
from mcv.drivers.libvirt_networks import Networks
from mcv.drivers.libvirt_nics import LiveNics
from mcv.drivers.libvirt_processor import Processor
from mcv.drivers.libvirt_resets import Resets
from mcv.drivers.libvirt_saved import SavedStates, mark_active
from mcv.drivers.libvirt_starts import Starts
from mcv.drivers.libvirt_trials import Trials
from mcv.drivers.libvirt_xml import Capabilities, parse_capabilities, vnc_of
from mcv.errors import HypervisorFailed
from mcv.ha.gate import OPEN, Passage

URI = "qemu:///system"


class Definition(Value, frozen=True, kw_only=True):
    """What libvirt keeps of a domain: its state, and how it will be started the next time.

    A definition that is not persistent disappears when its domain ends.
    """

    xml: str
    state: str
    persistent: bool
    autostart: bool


class Hypervisor:
    """Talks to the libvirt of this host: definitions, power, and what is seen of domains.

    A name is a VM's. Its domain is the domain with mcv's mark and the UUID that `known` gives
    for the name; every method answers as if other domains of that name were not there.
    """

    def __init__(
        self,
        known: KnownUuids,
        uri: str = URI,
        node: str = "this host",
        gate: Passage = OPEN,
    ) -> None:
        self._gate = gate
        self._connection = Connection(uri, known, node)
        self.migration = LiveMigration(self._connection)
        self.saved = SavedStates(self._connection)
        self.networks = Networks(self._connection)
        self.processor = Processor(self._connection)
        self.load = Load(self._connection)
        self.disks = LiveDisks(self._connection)
        self.machine = LiveMachine(self._connection)
        self.mirrors = LiveMirrors(self._connection)
        self.nics = LiveNics(self._connection)
        self.resets = Resets(self._connection)
        self.agent = GuestAgent(self._connection)
        self.doors = Doors(self._connection)
        self.trials = Trials(self._connection)
        self.host_devices = LiveHostDevices(self._connection)
        self.starts = Starts(self._connection, gate)

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
        """Define a VM's domain, or define it anew; libvirt never starts it by itself.

        A domain that is active runs on as it is, and bears the new mark from now on. The stopped
        domain of a VM that was renamed gets its name.

        Raises HypervisorFailed where the name or the UUID is another domain's.
        """
        libvirt, uuid = libvirt_module(), libvirt_identity.uuid_of(xml)
        with self._connection.translated("Could not define a domain"):
            connection, name = self._connection.current(), libvirt_identity.name_of(xml)
            present = libvirt_identity.by_uuid(libvirt, connection, uuid)
            if present is not None and not libvirt_identity.is_marked(libvirt, present):
                raise HypervisorFailed(
                    f"Could not define a domain: the domain with uuid {uuid} is not mcv's."
                )
            is_this_vm = self._connection.known().get(name) == uuid
            if present is not None and is_this_vm and present.name() != name:
                _undefine_former(connection, present, name)
            domain = connection.defineXML(xml)
            if domain.autostart():
                domain.setAutostart(False)
            if domain.isActive():
                mark_active(domain, mark_of(xml))

    @change
    def undefine(self, name: str) -> None:
        """Forget a domain with all that libvirt keeps of it; harmless if there is none.

        A running domain goes on until it ends.
        """
        with self._connection.domain(name, "undefine", missing_ok=True) as domain:
            if domain is not None and domain.isPersistent():
                undefine_whole(domain)

    @change
    def undefine_leftover(self, name: str) -> None:
        """Forget a stopped domain that bears mcv's mark and is of no VM that is known."""
        with self._connection.marked(name, "undefine") as domain:
            if domain.isActive() or domain.UUIDString() in self._connection.known().values():
                raise HypervisorFailed(f"Could not undefine {name}: it is not left over.")
            undefine_whole(domain)

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
                        state=state_of(domain),
                        persistent=bool(domain.isPersistent()),
                        autostart=bool(domain.isPersistent() and domain.autostart()),
                    )
            return definitions

    @change
    def leave_to_mcv(self, name: str) -> None:
        """Switch libvirt's own autostart of a marked domain off; harmless when it is."""
        with self._connection.marked(name, "switch autostart off for") as domain:
            domain.setAutostart(False)

    # Power

    @change
    def start(self, name: str) -> None:
        """Start a domain; harmless when it is active."""
        with self._connection.own_connection(name, "start") as domain:
            if not domain.isActive():
                self._gate.start(name, domain.create, is_answer)

    @change
    def stop(self, name: str) -> None:
        """Pull the plug; harmless when the domain is not active, or not there."""
        with self._connection.domain(name, "stop", missing_ok=True) as domain:
            if domain is not None:
                _unless_ended(domain, domain.destroy)

    @change_once
    def shutdown(self, name: str) -> None:
        """Press the power button, and do not wait; harmless when the domain is not active.

        Harmless too when its guest has shut down and its QEMU is about to end.
        """
        with self._connection.domain(name, "shut down") as domain:
            _unless_ended(domain, domain.shutdown, lambda: domain.state()[0] not in ENDING)

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
        """Let a domain that stands still, or that its guest put to sleep, go on.

        Harmless when it runs.
        """
        with self._connection.domain(name, "resume") as domain:
            number = domain.state()[0]
            if number == libvirt_module().VIR_DOMAIN_PMSUSPENDED:
                self._gate.begin(f"resume {name}", lambda: domain.pMWakeup(0))
            elif STATES.get(number) == "paused":
                self._gate.begin(f"resume {name}", domain.resume)

    # What is

    @read
    def state(self, name: str) -> str:
        """As a word: see STATES; absent; foreign, where another domain has the name; saved."""
        with self._connection.domain(name, "look at", missing_ok=True) as domain:
            if domain is not None:
                return state_of(domain)
        return "absent" if libvirt_listing.in_the_way(self._connection, name) is None else FOREIGN

    @read
    def foreign(self, name: str) -> ForeignDomain | None:
        """The domain that has the name or the UUID of a VM, known or not, and is not the VM's."""
        return libvirt_listing.in_the_way(self._connection, name)

    @read
    def states(self) -> DomainStates:
        """The states of the VMs' domains here, and of foreign domains in their way."""
        return libvirt_listing.states(self._connection, self._connection.marks)

    @read
    def is_active(self, name: str) -> bool:
        """Whether there is a process that holds the disks: a paused domain does too."""
        with self._connection.domain(name, "look at", missing_ok=True) as domain:
            return domain is not None and bool(domain.isActive())

    @read
    def has_crashed(self, name: str) -> bool:
        """Whether a domain ended, or never began, by no order of anybody: killed, or broken.

        libvirt tells it until its own next start, and of the last end alone.
        """
        with self._connection.domain(name, "look at", missing_ok=True) as domain:
            if domain is None:
                return False
            return state_of(domain) == "crashed" or has_failed_to_start(domain)

    def vnc(self, name: str) -> str | None:
        """Where its screen is to be seen, as address:port; None when it is not active."""
        if not self.is_active(name):
            return None
        return vnc_of(self.xml(name))

    @slow_read
    def capabilities(self) -> Capabilities:
        with self._connection.translated("Could not read the host's capabilities"):
            return parse_capabilities(
                self._connection.retrying(lambda host: host.getCapabilities())
            )

    @slow_read
    def why_not_host(self, xml: str) -> str:
        """Why a domain that runs elsewhere with this XML could not go on here; "" if it could."""
        with self._connection.translated("Could not compare the hosts"):
            return self._connection.retrying(
                lambda connection: libvirt_host.why_not_host(connection, xml)
            )

    @read
    def memory_free(self) -> int:
        """Bytes that a new domain could have: free, or only caching files."""
        with self._connection.translated("Could not read the host's memory"):
            return int(self._connection.retrying(libvirt_host.memory))


def _unless_ended(
    domain: Any, end: Callable[[], Any], is_left: Callable[[], bool] | None = None
) -> None:
    """End a domain; no error where the domain ends by itself meanwhile.

    `is_left` tells whether there is still something to end; as a rule, whether it is active.
    """
    if not domain.isActive():
        return
    try:
        end()
    except libvirt_module().libvirtError as error:
        with ignoring_missing():
            if (is_left or domain.isActive)():
                raise error


def _undefine_former(connection: Any, domain: Any, name: str) -> None:
    """Undefine a VM's domain that has a former name, where the next definition can replace it."""
    if domain.isActive() or domain.hasManagedSaveImage(0):
        state = state_of(domain)
        raise HypervisorFailed(f"Could not define {name}: it is {state} as {domain.name()}.")
    if libvirt_identity.by_name(libvirt_module(), connection, name) is None:
        undefine_whole(domain)
