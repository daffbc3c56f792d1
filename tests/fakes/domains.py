"""What stands in for libvirt: it keeps the promises in tests/contract/domains.py."""

from __future__ import annotations

import contextlib
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from mcv.document.hardware import Cpu
from mcv.drivers.domain_reading import SavedState, is_ours, mark_of, substance
from mcv.drivers.libvirt import Definition
from mcv.drivers.libvirt_agent import Status
from mcv.drivers.libvirt_identity import FOREIGN, DomainStates, ForeignDomain, KnownUuids, uuid_of
from mcv.drivers.libvirt_load import Used
from mcv.drivers.libvirt_migration import Movement
from mcv.drivers.libvirt_saved import SAVED
from mcv.drivers.libvirt_xml import Capabilities
from mcv.drivers.migration_xml import MovedDisks, for_destination
from mcv.errors import AgentSilent, CommandFailed, HypervisorFailed, LibvirtSilent
from mcv.ha.gate import OPEN, Passage
from tests.fakes.host_devices import FakeDevicesOfDomains
from tests.fakes.live_disks import FakeLiveDisks
from tests.fakes.live_machine import FakeLiveMachine
from tests.fakes.live_nics import FakeLiveNics
from tests.fakes.mirrors import FakeMirrors
from tests.fakes.trials import FakeTrials


class Volume(Protocol):
    """What a path of a host holds: its size, and its bytes by the piece."""

    size: int
    pieces: dict[int, bytes]


def no_volume(path: str) -> Volume:
    raise CommandFailed(f"Cannot access storage file '{path}': No such file or directory")


class FakeStarts:
    """Every start here has its answer at once."""

    def forget_ended(self) -> None:
        return


class FakeDomains:
    """Domains of one host: what is defined, and the state of what is active.

    `defined` and `active` are by the domains' own names, whoever made them. A name that is
    handed to a method is a VM's, as `known` knows it.
    """

    def __init__(self, known: KnownUuids = dict) -> None:
        self.known = known
        self.defined: dict[str, str] = {}
        self.active: dict[str, str] = {}
        self.autostart: set[str] = set()
        self.broken: set[str] = set()
        self.crashed: set[str] = set()  # ended by no order of anybody
        self.free = 1 << 40
        self.machines: tuple[str, ...] = ("pc", "q35")
        self.ways: dict[str, FakeDomains] = {}  # the libvirt that a unix socket here leads to
        self.phase: Callable[[str], None] = lambda phase: None  # of a migration, may raise
        self.ran: Callable[[str], None] = lambda name: None  # told when a domain begins to run
        self.hook: Callable[[str, str], int] = lambda operation, xml: 0  # 0 lets it begin
        self.io_errors: set[str] = set()
        self.volume: Callable[[str], Volume] = lambda path: no_volume(path)
        self.gate: Passage = OPEN
        self.starts = FakeStarts()
        self.silence = ""  # that libvirt hangs: it answers nothing
        self._begun_with: dict[str, str] = {}  # the definitions of what is active
        self.migration = FakeMigration(self)
        self.saved = FakeSavedStates(self)
        self.networks = FakeNetworks(self)
        self.processor = FakeProcessor()
        self.load = FakeLoad(self)
        self.disks = FakeLiveDisks(self)
        self.machine = FakeLiveMachine(self)
        self.mirrors = FakeMirrors(self)
        self.nics = FakeLiveNics(self)
        self.resets = FakeResets(self)
        self.agent = FakeAgent(self)
        self.doors = FakeDoors(self)
        self.host_devices = FakeDevicesOfDomains(self)
        self.trials = FakeTrials(self)

    def define(self, xml: str) -> None:
        name, uuid = _named(xml)
        self._may("define", name)
        former = self._own(name)
        if former not in (None, name) and former and name not in self._all():
            if former in self.active or former in self.saved.memories:
                state = self.state_of(former)
                raise HypervisorFailed(f"Could not define {name}: it is {state} as {former}.")
            self._forget(former)
        for other, present in self._all().items():
            if (other == name) != (_named(present)[1] == uuid):
                raise HypervisorFailed(
                    f"Could not define a domain: domain '{other}' already exists with uuid {uuid}."
                )
            if other == name and not is_ours(present):
                raise HypervisorFailed(
                    f"Could not define a domain: the domain with uuid {uuid} is not mcv's."
                )
        self.defined[name] = xml
        self.autostart.discard(name)
        if name in self.active:
            self._begun_with[name] = remarked(self._begun_with[name], xml)

    def undefine(self, name: str) -> None:
        self._may("undefine", name)
        if (domain := self._own(name)) is not None:
            self._forget(domain)

    def undefine_leftover(self, name: str) -> None:
        self._marked("undefine", name)
        if name in self.active or uuid_of(self._all()[name]) in self.known().values():
            raise HypervisorFailed(f"Could not undefine {name}: it is not left over.")
        self._forget(name)

    def _forget(self, domain: str) -> None:
        self.defined.pop(domain, None)
        self.saved.memories.pop(domain, None)
        self.autostart.discard(domain)

    def start(self, name: str) -> None:
        domain = self._find("start", name)
        if domain not in self.active:
            self.gate.start(name, lambda: self._begin(domain, self.hook), lambda error: True)

    def power_on(self, domain: str) -> None:
        """Start any domain, as somebody with virsh does whose libvirtd has not seen the hook."""
        self._begin(domain, lambda operation, xml: 0)

    def _begin(self, domain: str, hook: Callable[[str, str], int]) -> None:
        if domain not in self.active:
            memory = self.saved.memories.get(domain)
            if memory is not None:
                self._ask_hook("restore", domain, memory, hook)
            self._ask_hook("prepare", domain, memory or self.defined[domain], hook)
            self.saved.memories.pop(domain, None)
            self._begun_with[domain] = memory or self.defined[domain]
            self.active[domain] = "running"
            self.gate.unmark(domain)  # as the hook does of a domain that has started
            self.crashed.discard(domain)
            self.ran(domain)

    def start_unasked(self, name: str) -> None:
        """Start a VM as a libvirtd does that has not seen the hook yet."""
        self.power_on(self._find("start", name))

    def crash(self, name: str) -> None:
        """End a domain as if its process had been killed."""
        del self.active[name]
        self.crashed.add(name)

    def power_off(self) -> None:
        """End the host of these domains: nothing runs, and libvirt knows of no crash."""
        self.active.clear()
        self.crashed.clear()

    def has_crashed(self, name: str) -> bool:
        return name in self.crashed

    def stop(self, name: str) -> None:
        self.active.pop(self._own(name) or "", None)

    def shutdown(self, name: str) -> None:
        """Every guest here heeds the button at once."""
        self.active.pop(self._find("shut down", name), None)

    def fail_disk(self, name: str) -> None:
        """Pause a domain as QEMU does when a disk fails; resumed, it stands still again."""
        self.pause(name)
        self.io_errors.add(name)

    def pause(self, name: str) -> None:
        self.active[self._find("pause", name, must_run=True)] = "paused"

    def reset(self, name: str) -> None:
        self.resets.told.append(self._find("reset", name, must_run=True))
        self.disks.let_go(name)

    def resume(self, name: str) -> None:
        domain = self._find("resume", name, must_run=True)
        if self.active[domain] != "running":
            self.gate.begin(f"resume {name}", lambda: self._go_on(name, domain))

    def _go_on(self, name: str, domain: str) -> None:
        if name in self.io_errors:
            return
        self.active[domain] = "running"
        self.ran(domain)
        self.mirrors.guest_writes(name)

    def xml(self, name: str) -> str:
        domain = self._find("read", name)
        return self._begun_with[domain] if domain in self.active else self.defined[domain]

    def why_not_host(self, xml: str) -> str:
        return "its CPU lacks what is in use." if "cpu" in self.broken else ""

    def memory_free(self) -> int:
        return self.free

    def answers(self) -> bool:
        return not self.silence

    def await_answer(self, seconds: float) -> bool:
        time.sleep(min(seconds, 0.01))
        return not self.silence

    def _ask(self) -> None:
        if self.silence:
            raise LibvirtSilent("libvirt does not answer.", "systemctl status libvirtd")

    def state(self, name: str) -> str:
        self._ask()
        if (domain := self._own(name)) is not None:
            return self.state_of(domain)
        return "absent" if self.foreign(name) is None else FOREIGN

    def state_of(self, domain: str) -> str:
        """The state of any domain, by the name that libvirt has for it."""
        off = "crashed" if domain in self.crashed else "stopped"
        return self.active.get(domain, SAVED if domain in self.saved.memories else off)

    def running(self, domain: str) -> set[str]:
        """The UUID of a domain that runs under this name, whoever made it; or nothing."""
        return {uuid_of(self._all()[domain])} if self.active.get(domain) == "running" else set()

    def foreign(self, name: str) -> ForeignDomain | None:
        self._ask()
        own = self._own(name)
        uuid = self.known().get(name)
        for domain, xml in self._all().items():
            if domain != own and (domain == name or uuid_of(xml) == uuid):
                return self._foreign(domain)
        return None

    def _foreign(self, domain: str) -> ForeignDomain:
        marked = is_ours(self._all()[domain])
        return ForeignDomain(name=domain, state=self.state_of(domain), marked=marked)

    def states(self) -> DomainStates:
        self._ask()
        seen = DomainStates(vms={}, foreign={}, io_errors=tuple(self.io_errors))
        for name in sorted(self.known()):
            if (domain := self._own(name)) is not None:
                seen.vms[name] = self.state_of(domain)
            if (foreign := self.foreign(name)) is not None:
                seen.foreign[name] = foreign
        return seen

    def definitions(self) -> dict[str, Definition]:
        self._ask()
        return {
            name: Definition(
                xml=xml,
                state=self.state_of(name),
                persistent=name in self.defined,
                autostart=name in self.autostart,
            )
            for name, xml in self._all().items()
        }

    def leave_to_mcv(self, name: str) -> None:
        self._marked("switch autostart off for", name)
        self.autostart.discard(name)

    def is_active(self, name: str) -> bool:
        self._ask()
        return self._own(name) in self.active

    def vnc(self, name: str) -> str | None:
        return "127.0.0.1:5900" if self.is_active(name) else None

    def capabilities(self) -> Capabilities:
        emulators = {"qemu": "/usr/bin/qemu-system-x86_64"}
        return Capabilities(emulators=emulators, machines=self.machines)

    def _own(self, name: str) -> str | None:
        """The domain of a VM: marked, and of the UUID that is known; its name may be any."""
        uuid = self.known().get(name)
        own = (domain for domain, xml in self._all().items() if uuid_of(xml) == uuid)
        return next((domain for domain in own if is_ours(self._all()[domain])), None)

    def _marked(self, verb: str, domain: str) -> None:
        self._may(verb, domain)
        if domain not in self._all() or not is_ours(self._all()[domain]):
            raise self._missing(verb, domain)

    def _missing(self, verb: str, name: str) -> HypervisorFailed:
        if self.foreign(name) is not None:
            return HypervisorFailed(f"Could not {verb} {name}: the domain {name} is not mcv's.")
        return HypervisorFailed(f"Could not {verb} {name}: Domain not found.")

    def _all(self) -> dict[str, str]:
        return {**self._transient(), **self.defined}

    def _transient(self) -> dict[str, str]:
        """What runs on although its definition was taken away."""
        return {name: self._begun_with[name] for name in self.active if name not in self.defined}

    def _find(self, verb: str, name: str, must_run: bool = False) -> str:
        self._may(verb, name)
        if (domain := self._own(name)) is None:
            raise self._missing(verb, name)
        if must_run and domain not in self.active:
            raise HypervisorFailed(f"Could not {verb} {name}: domain is not running.")
        return domain

    def _ask_hook(
        self, operation: str, name: str, xml: str, hook: Callable[[str, str], int]
    ) -> None:
        if hook(operation, xml) != 0:
            raise HypervisorFailed(f"Could not start {name}: Hook script execution failed.")

    def _may(self, verb: str, name: str) -> None:
        if verb in self.broken or name in self.broken:
            raise HypervisorFailed(f"Could not {verb} {name}: it is broken.")


class FakeResets:
    """The guests of FakeDomains that are asked to reboot: each but the deaf ones does at once."""

    def __init__(self, domains: FakeDomains) -> None:
        self._domains = domains
        self.deaf: set[str] = set()  # guests without ACPI
        self.told: list[str] = []  # the domains that were reset, one after the other
        self.watched_by: Callable[[], bool] = lambda: True  # whether libvirtd is still there

    def reboot(self, name: str) -> None:
        domain = self._domains._find("reboot", name, must_run=True)
        if name not in self.deaf:
            self.told.append(domain)

    @contextlib.contextmanager
    def watched(self, name: str) -> Iterator[Iterator[bool]]:
        domain = self._domains._find("watch", name)
        before = self.told.count(domain)

        def looks() -> Iterator[bool]:
            while self.told.count(domain) > before or self.watched_by():
                time.sleep(0.01)
                yield self.told.count(domain) > before

        yield looks()


class FakeAgent:
    """The agents in the guests of FakeDomains: guests with one, and what their processes did."""

    def __init__(self, domains: FakeDomains) -> None:
        self._domains = domains
        self.connected: set[str] = set()
        self.silent: set[str] = set()
        self.ran: list[tuple[str, list[str]]] = []
        self.states: dict[int, Status] = {}

    def is_connected(self, name: str) -> bool:
        return name in self.connected and self._domains.is_active(name)

    def answers(self, name: str) -> bool:
        return self.is_connected(name) and name not in self.silent

    def begin(self, name: str, command: list[str]) -> int:
        self._domains._find("ask the agent in", name, must_run=True)
        if not self.answers(name):
            raise AgentSilent(f"The agent in {name} does not answer.")
        self.ran.append((name, command))
        self.states.setdefault(len(self.ran), Status(exited=False))
        return len(self.ran)

    def status(self, name: str, process: int) -> Status:
        if not self.answers(name):
            raise AgentSilent(f"The agent in {name} does not answer.")
        return self.states[process]


class FakeDoors:
    """The doors of FakeDomains' guests, where a test has opened any: ptys and sockets by VM."""

    def __init__(self, domains: FakeDomains) -> None:
        self._domains = domains
        self.consoles: dict[str, str] = {}
        self.screens: dict[str, str] = {}
        self.others: list[str] = []  # other programs that read

    def console(self, name: str) -> str:
        return self.consoles.get(name, "") if self._domains.is_active(name) else ""

    def screen(self, name: str) -> str:
        return self.screens.get(name, "") if self._domains.is_active(name) else ""

    def readers(self, pty: str) -> list[str]:
        return self.others


class FakeNetworks:
    """libvirt's own networks of one host: the bridge of each that is active."""

    def __init__(self, domains: FakeDomains) -> None:
        self._domains = domains
        self.bridges: dict[str, str] = {}

    def active(self) -> dict[str, bool]:
        self._domains._ask()
        return dict.fromkeys(self.bridges, True)

    def bring_up(self, network: str, bridge: str) -> None:
        self._domains._may("start the network", network)
        self.bridges[network] = bridge

    def take_away(self, network: str) -> None:
        self._domains._may("take away the network", network)
        self.bridges.pop(network, None)


class FakeProcessor:
    """The processor of one host: the models that it can run, the least of them first."""

    def __init__(self) -> None:
        self.models = ["Nehalem", "Haswell"]

    def own(self) -> str:
        return " ".join(self.models)

    def baseline(self, processors: Sequence[str]) -> Cpu:
        common = [m for m in self.models if all(m in each.split() for each in processors)]
        if not common:
            raise HypervisorFailed("Could not compare the processors: they have no vendor.")
        return Cpu(model=common[-1], features={"aes": "disable"})

    def can_run(self, cpu: Cpu) -> bool:
        return cpu.model in self.models


class FakeLoad:
    """What FakeDomains that are active have used: each look adds `step`."""

    def __init__(self, domains: FakeDomains) -> None:
        self._domains = domains
        self._looks = 0
        self.step = Used(cpu=0.25, memory=64 << 20, read=4096, written=8192)

    @property
    def looks(self) -> int:
        return self._looks

    def used(self) -> dict[str, Used]:
        states = self._domains.states().vms
        self._looks += 1
        cpu, read, written = self.step.cpu or 0.0, self.step.read or 0, self.step.written or 0
        each = Used(
            cpu=cpu * self._looks,
            memory=self.step.memory,
            read=read * self._looks,
            written=written * self._looks,
        )
        return {name: each for name, state in states.items() if state in ("running", "paused")}


class FakeSavedStates:
    """The memory of FakeDomains that is saved: the definition that each ran with, by domain."""

    def __init__(self, domains: FakeDomains) -> None:
        self._domains = domains
        self.memories: dict[str, str] = {}
        self.unreadable: set[str] = set()

    def save(self, domain: str) -> None:
        """As `virsh managedsave` does, or libvirt-guests as the host goes down."""
        del self._domains.active[domain]
        self.memories[domain] = self._domains._begun_with[domain]

    def of(self, name: str) -> SavedState | None:
        self._domains._ask()
        domain = self._domains._own(name) or ""
        return self._state(domain) if domain in self.memories else None

    def all(self) -> dict[str, SavedState]:
        self._domains._ask()
        owned = {name: self._domains._own(name) or "" for name in self._domains.known()}
        return {
            name: self._state(domain) for name, domain in owned.items() if domain in self.memories
        }

    def discard(self, name: str) -> None:
        self._domains._may("discard the saved state of", name)
        self.memories.pop(self._domains._own(name) or "", None)

    def _state(self, domain: str) -> SavedState:
        mark = mark_of(self.memories[domain])
        if mark is None or domain in self.unreadable:
            return SavedState(incarnation=None)
        return SavedState(incarnation=mark.incarnation)


@dataclass
class Mirror:
    """A disk that goes along: all of it, over whatever the new volume held."""

    old: Volume
    new: Volume

    def carry(self, whole: bool) -> None:
        some = sorted(self.old.pieces.items())
        self.new.pieces.clear()
        self.new.pieces.update(some if whole else some[: len(some) // 2])


class FakeMigration:
    """Live migrations between FakeDomains: each phase is told, and may raise."""

    def __init__(self, domains: FakeDomains) -> None:
        self._domains = domains

    def send(
        self,
        name: str,
        to: str,
        memory: str,
        bandwidth: int = 0,
        disks: MovedDisks | None = None,
        proven_shared: bool = False,
    ) -> None:
        here = self._domains
        domain = here._find("migrate", name, must_run=True)
        there = here.ways[to.partition("socket=")[2]]
        if domain in there.active:
            raise HypervisorFailed(f"Could not migrate {name}: domain is already active.")
        xml = here._begun_with[domain]
        arriving = for_destination(xml, disks) if disks else xml
        for operation in ("migrate", "prepare"):
            there._ask_hook(operation, domain, arriving, there.hook)
        mirrors = self._mirrors(name, xml, arriving, there, disks)
        there.active[domain], there._begun_with[domain] = "paused", arriving
        there.gate.unmark(domain)
        for phase in ("begun", "moving", "arrived"):
            try:
                here.phase(phase)
                for mirror in mirrors:
                    mirror.carry(whole=phase != "begun")
            except BaseException:
                # The arrival goes with the way that it came by, unless all of it is there.
                if phase != "arrived":
                    there.active.pop(domain, None)
                raise
        here.active.pop(domain, None)
        here.phase("ended")

    def _mirrors(
        self, name: str, xml: str, arriving: str, there: FakeDomains, disks: MovedDisks | None
    ) -> list[Mirror]:
        """The disks that go along, from what the domain has here to what it has there."""
        if disks is None or not disks.mirrored:
            return []
        here = self._domains
        if here.ways.get(disks.uri.removeprefix("unix://")) is not there:
            raise HypervisorFailed(f"Could not migrate {name}: Failed to connect to the disks.")
        old, new = dict(substance(xml).disks), dict(substance(arriving).disks)
        try:
            mirrors = [
                Mirror(here.volume(old[target]), there.volume(new[target]))
                for target in disks.mirrored
            ]
        except CommandFailed as error:
            raise HypervisorFailed(f"Could not migrate {name}: {error.message}") from error
        if any(mirror.old.size != mirror.new.size for mirror in mirrors):
            sizes = "Source and target image have different sizes"
            raise HypervisorFailed(f"Could not migrate {name}: {sizes}.")
        return mirrors

    def expected(self, name: str) -> str:
        self._domains._find("read", name)
        return self._domains.defined[name]

    def movement(self, name: str) -> Movement | None:
        self._domains._ask()
        return None

    def abort(self, name: str) -> None:
        self._domains._may("abort", name)


def remarked(xml: str, by: str) -> str:
    """A definition with the mark of another one."""
    old, new = mark_of(xml), mark_of(by)
    if old is None or new is None:
        return xml
    return xml.replace(f'incarnation="{old.incarnation}"', f'incarnation="{new.incarnation}"')


def domain_name(xml: str) -> str:
    return _named(xml)[0]


def _named(xml: str) -> tuple[str, str]:
    """A definition's name and UUID; libvirt refuses one without a name, and a malformed UUID."""
    try:
        root = ET.fromstring(xml)
        name, uuid = root.findtext("name", ""), UUID(root.findtext("uuid", ""))
    except (ET.ParseError, ValueError) as error:
        raise HypervisorFailed(f"Could not define a domain: {error}.") from error
    if not name:
        raise HypervisorFailed("Could not define a domain: it has no name.")
    return name, str(uuid)
