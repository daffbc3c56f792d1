"""The agent in a guest: a process of the guest's, which answers through a channel, or does not.

What it says is the guest's word. It may be slow, silent or wrong: each command has a deadline.
"""

import threading
import xml.etree.ElementTree as ET
from typing import TypeVar

import msgspec

from mcv.document.generation import Value
from mcv.drivers.domain_devices import AGENT
from mcv.drivers.libvirt_connection import Connection, libvirt_module, qemu_module, read
from mcv.errors import AgentSilent, HypervisorFailed, McvError, OutcomeOpen, Refused

T = TypeVar("T")

COMMAND = 10  # s that an agent has to answer a command; libvirt knows whole seconds
OUTPUT = 25  # s that it has to tell the output of a command, which may be long
PING = 1  # s that libvirt waits for a sign of life
LOOK = 0.6  # s that a read waits for it
TEXT = "unable to execute QEMU agent command"


class Begin(Value, frozen=True, kw_only=True, rename="kebab"):
    """The arguments of guest-exec."""

    path: str
    arg: list[str]
    capture_output: bool = True


class Process(Value, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """What guest-exec returns and guest-exec-status asks for: a process's number in the guest."""

    pid: int


class Command(Value, frozen=True, kw_only=True, omit_defaults=True):
    """A command for the agent."""

    execute: str
    arguments: Begin | Process | None = None


class Status(Value, frozen=True, kw_only=True, forbid_unknown_fields=False, rename="kebab"):
    """A process that was begun, by guest-exec-status; what it wrote is in base64.

    `exitcode` or `signal` is there once it has `exited`, and so is its output.
    """

    exited: bool
    exitcode: int | None = None
    signal: int | None = None
    out_data: str = ""
    err_data: str = ""
    out_truncated: bool = False
    err_truncated: bool = False


class _Ping:
    """A question for a sign of life: whether it is over, and was answered."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.is_answered = False


class GuestAgent:
    """Talks to the agents of running domains, each command on a connection of its own."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._guard = threading.Lock()
        self._pings: dict[str, _Ping] = {}  # under way, by domain

    @read
    def is_connected(self, name: str) -> bool:
        """Whether something in the guest has the channel open; False where it does not run."""
        with self._connection.domain(name, "look at", missing_ok=True) as domain:
            return (
                domain is not None and bool(domain.isActive()) and is_open(str(domain.XMLDesc(0)))
            )

    def answers(self, name: str) -> bool:
        """Whether the agent gives a sign of life within LOOK s; one question at a time."""
        with self._guard:
            ping = self._pings.get(name)
            if ping is None:
                ping = self._pings[name] = _Ping()
                threading.Thread(
                    target=self._ping, args=(name, ping), name="agent-ping", daemon=True
                ).start()
        ping.over.wait(LOOK)
        return ping.is_answered

    def _ping(self, name: str, ping: _Ping) -> None:
        try:
            self._ask(name, Command(execute="guest-ping"), PING)
            ping.is_answered = True
        except McvError:
            pass
        finally:
            with self._guard:
                self._pings.pop(name, None)
            ping.over.set()

    def begin(self, name: str, command: list[str]) -> int:
        """Have a command begun in the guest, its output kept; the number of its process.

        Errors: Refused where nothing was begun; OutcomeOpen where that is not known. An agent
        that hangs is found out before it is given the command.
        """
        self._patiently(name, Command(execute="guest-ping"))
        begin = Begin(path=command[0], arg=command[1:])
        try:
            text = self._patiently(name, Command(execute="guest-exec", arguments=begin))
        except AgentSilent as error:
            raise OutcomeOpen(
                f"Whether {name} runs {command[0]} is not known: {error.message}", error.hint
            ) from error
        return _returned(name, text, Process).pid

    def status(self, name: str, process: int) -> Status:
        """What became of a process. An agent tells the end of it once, and its output with it."""
        about = Process(pid=process)
        command = Command(execute="guest-exec-status", arguments=about)
        text = self._patiently(name, command, OUTPUT)
        return _returned(name, text, Status)

    def _patiently(self, name: str, command: Command, timeout: int = COMMAND) -> str:
        return self._connection.circuit.change(
            command.execute, lambda: self._ask(name, command, timeout)
        )

    def _ask(self, name: str, command: Command, timeout: int) -> str:
        text = msgspec.json.encode(command).decode()
        try:
            with self._connection.own_connection(name, "ask the agent in") as domain:
                return str(qemu_module().qemuAgentCommand(domain, text, timeout, 0))
        except HypervisorFailed as error:
            raise _in_words(name, command.execute, error) from error


def _returned(name: str, text: str, shape: type[T]) -> T:
    try:
        return msgspec.json.decode(
            msgspec.json.decode(text, type=dict[str, msgspec.Raw])["return"], type=shape
        )
    except (msgspec.MsgspecError, KeyError) as error:
        raise HypervisorFailed(f"The agent in {name} is not understood: {error}.") from error


def is_open(xml: str) -> bool:
    """Whether the live definition says that a process of the guest has the channel open."""
    for target in ET.fromstring(xml).iterfind("devices/channel/target"):
        if target.get("name") == AGENT:
            return target.get("state") == "connected"
    return False


def _in_words(name: str, command: str, error: HypervisorFailed) -> McvError:
    """What an error of libvirt's means: who did not answer, or what the agent said."""
    libvirt, cause = libvirt_module(), error.__cause__
    if not isinstance(cause, libvirt.libvirtError):
        return error
    code, message = cause.get_error_code(), str(cause.get_error_message() or cause)
    silent = [libvirt.VIR_ERR_AGENT_UNRESPONSIVE, libvirt.VIR_ERR_OPERATION_TIMEOUT]
    silent.append(getattr(libvirt, "VIR_ERR_AGENT_COMMAND_TIMEOUT", silent[0]))
    if code in silent:
        return AgentSilent(
            f"The agent in {name} does not answer.",
            "In the guest: systemctl status qemu-guest-agent",
        )
    if code == libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED:
        return Refused(
            f"{name} runs without a channel for an agent.",
            f"It gets one at its next start: mcv shutdown {name} --wait; mcv start {name}",
        )
    _, is_reply, said = message.partition(f"{TEXT} '{command}': ")
    if is_reply:
        return Refused(f"The agent in {name} refuses: {said.rstrip('.')}.")
    return error
