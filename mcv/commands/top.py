"""The load of nodes and VMs, as a table that is printed once or drawn anew at intervals."""

import contextlib
import os
import select
import shutil
import sys
import time
from collections.abc import Iterator
from typing import Any

import click

from mcv.commands import output
from mcv.commands.options import common
from mcv.commands.session import Session
from mcv.errors import DaemonDown, PeerUnreachable

AMOUNTS = ("memory", "read", "written")
AGAIN = 2.0  # s between two drawings
HOME, TO_END, TO_LINE_END = "\x1b[H", "\x1b[J", "\x1b[K"
SHOW_OTHER, HIDE_OTHER = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"


@click.command()
@click.option("--once", is_flag=True, help="Print one table and end, on a terminal too.")
@common(changes=False)
@click.pass_obj
def top(session: Session, once: bool) -> None:
    """Show how busy nodes and VMs are.

    Of a node: percent of all its processors, memory in use. Of each VM that runs: percent of one
    processor, memory that it takes of its node, what its disks read and write in a second. On a
    terminal it is drawn anew every two seconds; q or ^C ends it.
    """
    if once or session.json or not sys.stdout.isatty():
        found = session.call("top.show")
        session.show(found, lambda: "\n\n".join(tables(found)))
        return
    with screen(), contextlib.suppress(KeyboardInterrupt):
        while True:
            draw(_parts(session))
            if key(AGAIN) in ("q", "Q"):
                return


def _parts(session: Session) -> list[str]:
    """What is drawn: the tables, or why there are none while a daemon is away."""
    try:
        return tables(session.call("top.show"))
    except (DaemonDown, PeerUnreachable) as error:
        return [output.error_text(error)]


def tables(found: dict[str, Any]) -> list[str]:
    """The nodes, and the VMs, the busiest first."""
    nodes = [
        (
            node["node"],
            output.percent(node["cpu"]),
            output.size(node["memory"]),
            output.size(node.get("memory_total")),
            node.get("problem"),
        )
        for node in found["nodes"]
    ]
    vms = [
        (
            vm["vm"],
            vm["node"],
            f"{vm['cpu']:.0f}%",
            *(output.size(vm[amount]) for amount in AMOUNTS),
        )
        for vm in sorted(found["vms"], key=lambda vm: (-vm["cpu"], vm["vm"]))
    ]
    said = [output.table(nodes, ("node", "cpu", "memory", "of", "problem"))]
    headings = ("vm", "node", "cpu", "memory", "read/s", "written/s")
    return [*said, output.table(vms, headings) if vms else "No VM runs."]


def draw(parts: list[str]) -> None:
    """Draw over what was drawn before, as much as the terminal has room for."""
    columns, rows = shutil.get_terminal_size()
    lines = "\n\n".join(parts).split("\n")[: max(1, rows - 1)]
    shown = "".join(f"{line[:columns]}{TO_LINE_END}\n" for line in lines)
    sys.stdout.write(f"{HOME}{shown}{TO_END}")
    sys.stdout.flush()


@contextlib.contextmanager
def screen() -> Iterator[None]:
    """Have the terminal's other screen, keys as they are pressed; all is given back at the end."""
    with _unbuffered_keys():
        sys.stdout.write(SHOW_OTHER)
        try:
            yield
        finally:
            sys.stdout.write(HIDE_OTHER)
            sys.stdout.flush()


@contextlib.contextmanager
def _unbuffered_keys() -> Iterator[None]:
    if not sys.stdin.isatty():
        yield
        return
    import termios
    import tty

    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def key(wait: float) -> str:
    """The key that was pressed within so many seconds; "" where none was, q where none can be."""
    if not sys.stdin.isatty():
        time.sleep(wait)
        return ""
    ready, _, _ = select.select([sys.stdin], [], [], wait)
    return (os.read(sys.stdin.fileno(), 1).decode(errors="replace") or "q") if ready else ""
