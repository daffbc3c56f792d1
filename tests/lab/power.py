"""A power service outside of the nodes, which the tests' fence agent asks; it can be made to fail.

It switches machines by their plugs. The program that listens (power_door.py) may run in a network
namespace; what it hears is answered here, in the process of the tests.
"""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum, auto
from pathlib import Path
from typing import Protocol, Self

AGENT = Path(__file__).with_name("fence_lab.py")
DOOR = Path(__file__).with_name("power_door.py")
PLACE = "/usr/sbin/fence_lab"
PORT = 7777
PASSWORD = "correct-horse-battery-staple"


class Mode(StrEnum):
    """How the service is well, or fails."""

    WELL = auto()
    HANG = auto()  # it takes a request, and never answers
    LIE = auto()  # `off` is said to be done, and is not; `status` tells the truth
    LIE_IN_BOTH = auto()  # `off` is not done, and `status` says off from then on
    WRONG_PLUG = auto()  # another machine is switched, and asked about
    DEAF = auto()  # every request is an error


class Machine(Protocol):
    """What hangs on a plug."""

    def is_on(self) -> bool: ...

    def switch_off(self) -> None: ...

    def switch_on(self) -> None: ...


@dataclass(frozen=True)
class Request:
    """What was asked, when by time.monotonic(), and of which plug."""

    at: float
    action: str
    plug: str


class Power:
    """As a context: serves the machines by their plugs, until its end."""

    def __init__(
        self,
        machines: Mapping[str, Machine],
        address: str = "127.0.0.1",
        port: int = 0,
        within: tuple[str, ...] = (),
        password: str = PASSWORD,
    ) -> None:
        self.machines = dict(machines)
        self.modes: dict[str, Mode] = {}
        self.wired: dict[str, str] = {}  # plug: the plug that it truly is, in mode WRONG_PLUG
        self.delays: dict[str, float] = {}  # plug: s that `off` takes
        self.requests: list[Request] = []
        self.address = address
        self.port = port
        self._within = within
        self._password = password
        self._lied: set[str] = set()
        self._door: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        command = [*self._within, sys.executable, str(DOOR), self.address, str(self.port)]
        pipe = subprocess.PIPE
        self._door = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, bufsize=1)
        assert self._door.stdout is not None
        self.port = int(self._door.stdout.readline().split()[1])
        threading.Thread(target=self._serve, args=(self._door,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._door is not None
        self._door.kill()
        self._door.communicate()

    def mode(self, plug: str, mode: Mode, wired: str = "") -> None:
        """Have a plug fail in a way from now on; a lie ends with another mode."""
        self.modes[plug] = mode
        self.wired[plug] = wired
        self._lied.discard(plug)

    def actions(self, plug: str = "") -> list[str]:
        """What was asked, in order; of one plug where it is named."""
        return [each.action for each in self.requests if plug in ("", each.plug)]

    def _serve(self, door: "subprocess.Popen[str]") -> None:
        assert door.stdout is not None
        for text in door.stdout:
            number, _, asked = text.strip().partition(" ")
            threading.Thread(target=self._answer, args=(door, number, asked), daemon=True).start()

    def _answer(self, door: "subprocess.Popen[str]", number: str, asked: str) -> None:
        options = json.loads(asked)
        plug = options.get("plug", "")
        self.requests.append(Request(time.monotonic(), options["action"], plug))
        if self.modes.get(plug) is Mode.HANG:
            return
        if options["action"] == "off":
            time.sleep(self.delays.get(plug, 0.0))
        answer = self._done(options, options["action"], plug)
        assert door.stdin is not None
        try:
            door.stdin.write(f"{number} {json.dumps(answer)}\n")
            door.stdin.flush()
        except (OSError, ValueError):
            return  # the service has ended meanwhile

    def _done(self, options: dict[str, str], action: str, plug: str) -> dict[str, str]:
        if options.get("password") != self._password:
            return {"error": "Unable to connect/login to fencing device"}
        if action == "monitor" or action == "list":
            return {"state": "well"}
        mode = self.modes.get(plug, Mode.WELL)
        if mode is Mode.DEAF:
            return {"error": "Connection timed out"}
        if mode is Mode.WRONG_PLUG:
            plug = self.wired[plug]
        if plug not in self.machines:
            return {"error": "Unable to obtain correct plug status or plug is not available"}
        return self._switched(action, plug, mode)

    def _switched(self, action: str, plug: str, mode: Mode) -> dict[str, str]:
        machine = self.machines[plug]
        if action == "off" and mode in (Mode.LIE, Mode.LIE_IN_BOTH):
            self._lied.add(plug)
            return {"state": "off"}
        if action == "off" and machine.is_on():
            machine.switch_off()
        if action == "on":
            self._lied.discard(plug)
            if not machine.is_on():
                machine.switch_on()
        is_lie = mode is Mode.LIE_IN_BOTH and plug in self._lied
        return {"state": "on" if machine.is_on() and not is_lie else "off"}


# The lab's nodes


class Plugged(Protocol):
    """A node of the lab, as far as its power goes."""

    @property
    def is_running(self) -> bool: ...

    def kill(self) -> None: ...

    def power_on(self) -> None: ...


@dataclass(frozen=True)
class LabMachine:
    """A node of the lab on a plug: sudden death, and a boot."""

    node: Plugged

    def is_on(self) -> bool:
        return self.node.is_running

    def switch_off(self) -> None:
        self.node.kill()

    def switch_on(self) -> None:
        self.node.power_on()


SERVICE = "10.98.0.1"  # where every node reaches the service, over the tests' own link
WAY = """mkdir -p /etc/systemd/network/vec1.network.d
printf '[Route]\\nDestination={service}/32\\nGateway=10.98.{number}.254\\n' \\
    > /etc/systemd/network/vec1.network.d/power.conf
ip route replace {service} via 10.98.{number}.254
"""


def agent_on(number: int) -> str:
    """The script by which a node of the lab gets its agent and its way; that goes to `bash -s`."""
    return f"cat > {PLACE} <<'AGENT'\n{AGENT.read_text()}AGENT\nchmod 755 {PLACE}\n" + WAY.format(
        service=SERVICE, number=number
    )
