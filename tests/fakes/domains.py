"""What stands in for libvirt: it keeps the promises in tests/contract/domains.py."""

from __future__ import annotations

import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from uuid import UUID

from mcv.drivers.libvirt import Definition
from mcv.drivers.libvirt_migration import Movement
from mcv.drivers.libvirt_xml import Capabilities
from mcv.errors import HypervisorFailed, LibvirtSilent


class FakeDomains:
    """Domains of one host: what is defined, and the state of what is active."""

    def __init__(self) -> None:
        self.defined: dict[str, str] = {}
        self.active: dict[str, str] = {}
        self.autostart: set[str] = set()
        self.broken: set[str] = set()
        self.crashed: set[str] = set()  # ended by no order of anybody
        self.free = 1 << 40
        self.ways: dict[str, FakeDomains] = {}  # the libvirt that a unix socket here leads to
        self.phase: Callable[[str], None] = lambda phase: None  # of a migration, may raise
        self.ran: Callable[[str], None] = lambda name: None  # told when a domain begins to run
        self.hook: Callable[[str, str], int] = lambda operation, xml: 0  # 0 lets it begin
        self.silence = ""  # that libvirt hangs: it answers nothing
        self._begun_with: dict[str, str] = {}  # the definitions of what is active
        self.migration = FakeMigration(self)

    def define(self, xml: str) -> None:
        name, uuid = _named(xml)
        self._may("define", name)
        for other, known in {**self._transient(), **self.defined}.items():
            if (other == name) != (_named(known)[1] == uuid):
                raise HypervisorFailed(
                    f"Could not define a domain: domain '{other}' already exists with uuid {uuid}."
                )
        self.defined[name] = xml
        self.autostart.discard(name)

    def undefine(self, name: str) -> None:
        self._may("undefine", name)
        self.defined.pop(name, None)
        self.autostart.discard(name)

    def start(self, name: str) -> None:
        self._find("start", name)
        if name not in self.active:
            self._ask_hook("prepare", name, self.defined[name])
            self._begun_with[name] = self.defined[name]
            self.active[name] = "running"
            self.crashed.discard(name)
            self.ran(name)

    def start_unasked(self, name: str) -> None:
        """As a libvirtd does that has not seen the hook yet."""
        hook, self.hook = self.hook, lambda operation, xml: 0
        self.start(name)
        self.hook = hook

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
        self.active.pop(name, None)

    def shutdown(self, name: str) -> None:
        """Every guest here heeds the button at once."""
        self._find("shut down", name)
        self.active.pop(name, None)

    def pause(self, name: str) -> None:
        self._find("pause", name, must_run=True)
        self.active[name] = "paused"

    def reset(self, name: str) -> None:
        self._find("reset", name, must_run=True)

    def resume(self, name: str) -> None:
        self._find("resume", name, must_run=True)
        self.active[name] = "running"
        self.ran(name)

    def xml(self, name: str) -> str:
        self._find("read", name)
        return self._begun_with[name] if name in self.active else self.defined[name]

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
        return self.active.get(name, "stopped" if name in self.defined else "absent")

    def states(self) -> dict[str, str]:
        self._ask()
        return {name: self.state(name) for name in sorted({*self.defined, *self.active})}

    def definitions(self) -> dict[str, Definition]:
        self._ask()
        return {
            name: Definition(
                xml=xml, persistent=name in self.defined, autostart=name in self.autostart
            )
            for name, xml in {**self._transient(), **self.defined}.items()
        }

    def leave_to_mcv(self, name: str) -> None:
        self._find("switch autostart off for", name)
        self.autostart.discard(name)

    def is_active(self, name: str) -> bool:
        self._ask()
        return name in self.active

    def vnc(self, name: str) -> str | None:
        return "127.0.0.1:5900" if name in self.active else None

    def capabilities(self) -> Capabilities:
        return Capabilities(emulators={"qemu": "/usr/bin/qemu-system-x86_64"})

    def _transient(self) -> dict[str, str]:
        """What runs on although its definition was taken away."""
        return {name: self._begun_with[name] for name in self.active if name not in self.defined}

    def _find(self, verb: str, name: str, must_run: bool = False) -> None:
        self._may(verb, name)
        if self.state(name) == "absent":
            raise HypervisorFailed(f"Could not {verb} {name}: Domain not found.")
        if must_run and name not in self.active:
            raise HypervisorFailed(f"Could not {verb} {name}: domain is not running.")

    def _ask_hook(self, operation: str, name: str, xml: str) -> None:
        if self.hook(operation, xml) != 0:
            raise HypervisorFailed(f"Could not start {name}: Hook script execution failed.")

    def _may(self, verb: str, name: str) -> None:
        if verb in self.broken or name in self.broken:
            raise HypervisorFailed(f"Could not {verb} {name}: it is broken.")


class FakeMigration:
    """Live migrations between FakeDomains: each phase is told, and may raise."""

    def __init__(self, domains: FakeDomains) -> None:
        self._domains = domains

    def send(self, name: str, to: str, memory: str, bandwidth: int = 0) -> None:
        here = self._domains
        here._find("migrate", name, must_run=True)
        there = here.ways[to.partition("socket=")[2]]
        if name in there.active:
            raise HypervisorFailed(f"Could not migrate {name}: domain is already active.")
        for operation in ("migrate", "prepare"):
            there._ask_hook(operation, name, here._begun_with[name])
        there.active[name], there._begun_with[name] = "paused", here._begun_with[name]
        for phase in ("begun", "moving", "arrived"):
            try:
                here.phase(phase)
            except BaseException:
                # The arrival goes with the way that it came by, unless all of it is there.
                if phase != "arrived":
                    there.stop(name)
                raise
        here.active.pop(name, None)
        here.phase("ended")

    def movement(self, name: str) -> Movement | None:
        return None

    def abort(self, name: str) -> None:
        self._domains._may("abort", name)


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
