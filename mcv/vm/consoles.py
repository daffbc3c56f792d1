"""Serial consoles and screens of VMs, from whichever node an operator types on.

The owner opens the guest's line and serves it behind a unix socket. Where the operator is on
another node, that node's daemon leads to it through the streams between the daemons. The operator's
own node asks again and again whether the operator still may; how a line ended is asked afterwards,
so that nothing but the guest's bytes is in the stream.
"""

import logging
import os
import socket
import threading
import time
import tty
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from msgspec import Struct

from mcv import printable
from mcv.document.subject import Subject
from mcv.drivers import domain_xml
from mcv.errors import CallLost, LineLost, McvError, NotPermitted, PeerUnreachable, Refused
from mcv.host import Host
from mcv.rpc.tunnel import Granted
from mcv.system import lines
from mcv.system.answers import decoded
from mcv.system.lines import ASK, COMING, LEFT, Ending, Kind, Lead, Line
from mcv.vm import console_backlog

log = logging.getLogger(__name__)

PURPOSE = "line"  # what a stream says that it is for
MOST_WHO = 256
MOVING = 6.0  # s that a claimed VM's new owner may take to be written down
ENDING = 3.0  # s in which libvirt learns that a domain has ended
LEADS = 100  # that are remembered


@dataclass(frozen=True)
class Reader:
    """The operator who reads a line: the name, the process, and whether that still may go on.

    `may_go_on` raises NotPermitted where the right was taken away.
    """

    name: str
    pid: int
    may_go_on: Callable[[], None]


class ServedLine(Struct, frozen=True, kw_only=True):
    """A line as its node serves it."""

    token: str


class OpenLine(Struct, frozen=True, kw_only=True):
    """A line that is open for an operator: the node it is of, the unix socket to connect to."""

    token: str
    node: str
    path: str


class LineState(Struct, frozen=True, kw_only=True):
    """How a line ended; None while it is open."""

    ending: Ending | None


# The node that is typed on


def console(host: Host, name: str, reader: Reader, take: bool = False) -> OpenLine:
    """Open a VM's serial console for an operator of this node; with `take` another reader ends.

    Errors: Busy where another reader is, Refused where the VM does not run.
    """
    return _open(host, name, "console", reader, take)


def screen(host: Host, name: str, reader: Reader) -> OpenLine:
    """Open the stream of a VM's screen, which speaks RFB, for an operator of this node."""
    return _open(host, name, "screen", reader, take=False)


def _open(host: Host, name: str, kind: Kind, reader: Reader, take: bool) -> OpenLine:
    owner = host.read().vm(name).node
    who = f"{reader.name} on {host.name}"
    answer = host.call(owner, "line.serve", name=name, kind=kind, who=who, take=take)
    token = decoded(owner, "line.serve", answer, ServedLine).token
    line = host.lines.by_token(token) if owner == host.name else None
    if line is not None:
        line.may_go_on = reader.may_go_on
        return OpenLine(token=token, node=owner, path=str(line.path))
    lead = Lead(token, owner, name, host.settings.run)
    for oldest in list(host.leads)[:-LEADS]:
        if host.leads[oldest].over.is_set():
            host.leads.pop(oldest, None)
    host.leads[token] = lead
    is_led = threading.Event()
    leading = (host, lead, reader, is_led.set)
    threading.Thread(target=_lead, args=leading, name="line", daemon=True).start()
    if not is_led.wait(COMING):
        raise McvError(f"The line to {name} could not be opened.")
    return OpenLine(token=token, node=owner, path=str(lead.path))


def _lead(host: Host, lead: Lead, reader: Reader, is_led: Callable[[], None]) -> None:
    """Lead a line to its reader until it ends, the reader's process ends, or may not go on."""
    asked = {"for": PURPOSE, "token": lead.token}
    try:
        with host.tunnel(lead.path, lead.node, asked, ended=lead.over.set):
            is_led()
            while not lead.over.wait(ASK) and _lives(reader.pid):
                lead.ending = _why_not(reader)
                if lead.ending is not None:
                    break
    except OSError as error:
        lead.ending = Ending(kind="failed", message=f"The line to {lead.vm}: {error}.")
    finally:
        lead.over.set()


def _why_not(reader: Reader) -> Ending | None:
    try:
        reader.may_go_on()
    except McvError as error:
        return Ending(kind="denied", message=error.message, hint=error.hint)
    return None


def _lives(pid: int) -> bool:
    return not pid or Path(f"/proc/{pid}").exists()


def ended(host: Host, token: str) -> Ending:
    """How a line that was opened here ended well.

    Errors: NotPermitted where the right was taken away, LineLost for any other end.
    """
    lead, line = host.leads.get(token), host.lines.by_token(token)
    if line is not None:
        line.over.wait(MOVING)
        return _told(line.ending or LEFT)
    if lead is None:
        raise LineLost("The daemon was restarted, and the line ended with it.", "Open it again.")
    return _told(lead.ending or _ending_of(host, lead))


def _ending_of(host: Host, lead: Lead) -> Ending:
    """How a line ended on its node. LineLost where that node does not tell."""
    try:
        answer = host.call(lead.node, "line.ending", token=lead.token)
        ending = decoded(lead.node, "line.ending", answer, LineState).ending
    except (PeerUnreachable, CallLost) as error:
        raise LineLost(
            f"{lead.node}, where {lead.vm} runs, was lost: {error.message}",
            host.advice(lead.node),
        ) from error
    if ending is None:
        raise LineLost(f"The way to {lead.node} was cut.", "Open it again.")
    return ending


def _told(ending: Ending) -> Ending:
    if ending.kind == "denied":
        raise NotPermitted(ending.message, ending.hint)
    if ending.kind in ("taken", "failed"):
        raise LineLost(ending.message, ending.hint)
    return ending


# The owner


def serve(
    host: Host, name: str, kind: Kind, who: str, take: bool = False, sender: str = ""
) -> ServedLine:
    """Open the line to a guest of this node, and serve it to one reader, who comes within COMING s.

    Errors: Refused where the VM does not run here, Busy where another reader is.
    """
    vm = host.read().vm(name)
    if vm.node != host.name:
        raise Refused(f"{name} belongs to {vm.node} now.", "Try again.")
    door = _door(host, name, kind)
    who = printable.line(who)[:MOST_WHO]
    line = Line(name, kind, who, sender or host.name, host.settings.run)
    host.lines.reserve(line, take)
    try:
        if kind == "console":
            before = console_backlog.place(_log(name))
            far = _open_pty(host, name, door)
            first: Callable[[], bytes] = partial(
                console_backlog.joined, _log(name), before, partial(_read, far)
            )
        else:
            far, first = _connect(name, door), bytes
        lines.begin(line, far, first, partial(_how_it_ended, host, line), host.lines.release)
    except BaseException:
        host.lines.release(line)
        raise
    log.info("%s opened the %s of %s", line.who, kind, name)
    return ServedLine(token=line.token)


def ending(host: Host, token: str) -> LineState:
    """How a line of this node ended. Errors: LineLost where it is not known."""
    line = host.lines.by_token(token)
    if line is None:
        raise LineLost(f"The daemon of {host.name} was restarted.", "Open it again.")
    line.over.wait(2)
    return LineState(ending=line.ending if line.over.is_set() else None)


def target(host: Host, member: str, asked: Mapping[str, str]) -> Granted:
    """Where a member's stream leads: to the line that was opened for it."""
    line = host.lines.by_token(asked.get("token", ""))
    if line is None or line.member != member or line.over.is_set():
        raise Refused("No such line is open for that member.")
    return Granted(line.path)


def _log(name: str) -> Path:
    return Path(domain_xml.console_log(name))


def _door(host: Host, name: str, kind: Kind) -> str:
    """The pty or the socket of a running guest's line. Refused where there is none."""
    doors = host.domains.doors
    door = doors.console(name) if kind == "console" else doors.screen(name)
    if door:
        return door
    state = host.domains.state(name)
    if state not in ("running", "paused"):
        stopped = "stopped" if state == "absent" else state
        raise Refused(f"{name} does not run: it is {stopped}.", f"Start it: mcv start {name}")
    if kind == "screen" and host.read().vm(name).video == "none":
        raise Refused(f"{name} has no screen: its video is none.")
    raise Refused(
        f"{name} runs without a {kind} that can be led to a reader.",
        "Started by an earlier mcv, it has one from its next start on.",
    )


def _open_pty(host: Host, name: str, pty: str) -> int:
    if others := host.domains.doors.readers(pty):
        raise Refused(
            f"Another program on {host.name} reads the console of {name}: {', '.join(others)}.",
            "End it there (a virsh console is libvirt's daemon here).",
        )
    try:
        far = os.open(pty, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Refused(f"The console of {name} cannot be opened: {error.strerror}.") from error
    tty.setraw(far)
    return far


def _read(far: int) -> bytes:
    """What a pty has; nothing where its other side is gone, which the carrying finds too."""
    try:
        return os.read(far, console_backlog.MOST_LIVE)
    except OSError:
        return b""


def _connect(name: str, door: str) -> int:
    """Connect to the screen at a unix socket, or at a port of loopback."""
    address, _, port = door.rpartition(":")
    is_port = bool(address) and not door.startswith("/")
    with socket.socket(socket.AF_INET if is_port else socket.AF_UNIX) as sock:
        try:
            sock.settimeout(5)
            sock.connect((address, int(port)) if is_port else door)
            if is_port:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            raise Refused(f"The screen of {name} does not answer: {error.strerror}.") from error
        sock.setblocking(False)
        return sock.detach()


def _how_it_ended(host: Host, line: Line) -> Ending:
    """Why the guest's side of a line ended: it moved, or it is off. Waits until that is clear."""
    end = time.monotonic() + MOVING
    while time.monotonic() < end:
        document = host.both()[-1]
        vm = document.vms.get(line.vm)
        if vm is None:
            return Ending(kind="off", message=f"{line.vm} is gone.")
        if vm.node != host.name:
            word = "console" if line.kind == "console" else "vnc"
            return Ending(
                kind="moved",
                message=f"{line.vm} moved to {vm.node}.",
                hint=f"mcv {word} {line.vm}",
            )
        if document.claim_of(Subject.vm(line.vm)) is None and not _is_active(host, line.vm, end):
            return Ending(kind="off", message=f"{line.vm} is off.")
        time.sleep(0.1)
    return Ending(kind="off", message=f"The {line.kind} of {line.vm} has ended with its domain.")


def _is_active(host: Host, name: str, end: float) -> bool:
    try:
        return host.domains.is_active(name) and time.monotonic() < end - MOVING + ENDING
    except McvError:
        return False
