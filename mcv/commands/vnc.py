"""The screen of a VM, led to a port of the node that is typed on."""

import contextlib
import select
import socket
import time
from collections.abc import Iterator

import click

from mcv.carrying import Way, carry
from mcv.commands import line as lines
from mcv.commands import rfb
from mcv.commands.options import common, vm_argument
from mcv.commands.session import Session
from mcv.errors import McvError, Refused

LOOPBACK = "127.0.0.1"
MOST_WRONG = 10  # viewers that do not know the password, after which the command ends
PAUSE = 1.0  # s after each


@click.command()
@vm_argument
@click.option("--listen", is_flag=True, help="Listen on the node's address, not on loopback.")
@click.option("--password", is_flag=True, help="Ask viewers for a password, made for this once.")
@common(changes=False)
@click.pass_obj
def vnc(session: Session, name: str, listen: bool, password: bool) -> None:
    """Open the screen of a VM at a port of this node, until Ctrl-C.

    The way between the nodes is the daemons' TLS. One viewer at a time; a viewer that has left may
    come again. Every user of this node can connect to a port on loopback: --password keeps those
    out who do not know it. --listen goes only with --password, and what a viewer elsewhere
    sees and types is not encrypted: an ssh tunnel to the port on loopback is.

    \b
    Examples:
      mcv vnc web1
      mcv vnc web1 --listen --password
    """
    if listen and not password:
        raise click.UsageError("--listen goes only with --password.")
    address = _own_address(session) if listen else LOOPBACK
    secret = rfb.new_password() if password else None
    line = lines.opened(session, "vm.screen", name=name)
    try:
        with _listening(address) as listener:
            port = int(listener.getsockname()[1])
            told = {"vm": name, "address": address, "port": port, "password": secret}
            how = f"; password: {secret}" if secret else "; every user of this node may connect"
            session.show(told, f"{name} is shown on {address} port {port}{how}. End with Ctrl-C.")
            _serve(session, name, line, listener, secret)
    finally:
        lines.close(line)


def _own_address(session: Session) -> str:
    nodes = session.call("cluster.info")["nodes"]
    return str(next(node["ip_address"] for node in nodes if node["local"]))


@contextlib.contextmanager
def _listening(address: str) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        listener = socket.create_server((address, 0), family=family, backlog=1)
    except OSError as error:
        raise Refused(f"Nothing can listen on {address}: {error.strerror}.") from error
    with listener:
        yield listener


def _serve(
    session: Session, name: str, line: lines.Line, listener: socket.socket, secret: str | None
) -> None:
    """Show the screen to one viewer after the other until it ends."""
    wrong = 0
    while True:
        if not _await_viewer(line, listener):
            session.note(lines.why_ended(session, line).message)
            return
        viewer, _ = listener.accept()
        with viewer:
            try:
                if secret is not None:
                    rfb.ask(viewer, secret)
                    rfb.enter(line.sock)
            except (rfb.NotLetIn, OSError) as error:
                session.note(f"A viewer was not let in: {error}.")
                wrong += 1
                if wrong >= MOST_WRONG:
                    raise Refused(f"{wrong} viewers were not let in.", f"mcv vnc {name}") from error
                time.sleep(PAUSE)
                continue
            if _show(viewer, line):
                session.note(lines.why_ended(session, line).message)
                return
        lines.close(line)
        line = _again(session, name)


def _again(session: Session, name: str) -> lines.Line:
    """Open the screen for the next viewer; the daemons may not have noticed the last one's end."""
    for _ in range(20):
        try:
            return lines.opened(session, "vm.screen", name=name)
        except McvError as error:
            if error.kind != "busy":
                raise
            time.sleep(0.2)
    return lines.opened(session, "vm.screen", name=name)


def _await_viewer(line: lines.Line, listener: socket.socket) -> bool:
    """Wait for a viewer; False where the screen ended before. QEMU's greeting stays unread."""
    while True:
        ready, _, _ = select.select([listener], [], [], 0.5)
        if _has_ended(line):
            return False
        if ready:
            return True


def _has_ended(line: lines.Line) -> bool:
    """Whether the daemon has closed the line, behind whatever is still unread."""
    poll = select.poll()
    poll.register(line.sock, select.POLLRDHUP)
    return bool(poll.poll(0))


def _show(viewer: socket.socket, line: lines.Line) -> bool:
    """Carry a screen to a viewer; whether the screen ended."""
    viewer.setblocking(False)
    line.sock.setblocking(False)
    typed = Way(viewer.fileno(), line.sock.fileno())
    shown = Way(line.sock.fileno(), viewer.fileno())
    carry((typed, shown))
    return typed.target_is_gone or (shown.ended and not shown.target_is_gone)
