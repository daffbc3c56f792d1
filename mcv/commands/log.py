"""What the nodes wrote down about a VM, and what a node's daemon says."""

import time
from typing import Any

import click

from mcv.commands import output
from mcv.commands.completion import either, nodes, vms
from mcv.commands.events import POLL, Reader
from mcv.commands.options import common, whole_number
from mcv.commands.session import Session
from mcv.errors import NotFound, Refused


@click.command()
@click.argument("name", metavar="VM|NODE", shell_complete=either(vms, nodes))
@click.option("--follow", is_flag=True, help="Go on with what is written from now on; ^C ends it.")
@click.option("--lines", metavar="N", help="How many lines at the most; default: 200.")
@common(changes=False)
@click.pass_obj
def log(session: Session, name: str, follow: bool, lines: str | None) -> None:
    """Show the logs about a VM, or the log of a node's mcvd.

    Of a VM, from all nodes: the log of libvirt and QEMU, events, and the lines of mcvd that name
    it. What its guest printed is not there. A VM comes before a node of the same name. With
    --follow and --json each line is a document.
    """
    most = whole_number(lines, "--lines") if lines is not None else 200
    if most is None or not 1 <= most <= 1000:
        raise Refused(f"--lines {lines} is no number of lines.", "At least 1, at most 1000.")
    reader, rows = _first(session, name, most)
    if not follow:
        session.show(rows, lambda: output.listed(map(text, rows)) or f"Nothing about {name}.")
        return
    while True:
        for row in rows:
            session.say(output.as_line(row) if session.json else output.listed([text(row)]))
        time.sleep(POLL)
        rows = reader.later()


def _first(session: Session, name: str, most: int) -> tuple[Reader, list[dict[str, Any]]]:
    """What there is, and who reads on: of the VM of that name, or else of the node."""
    reader = Reader(session, "vm.log", "lines", name=name, lines=most)
    try:
        return reader, reader.all()
    except NotFound:
        reader = Reader(session, "node.log", "lines", name=name, lines=most)
        return reader, reader.all()


def text(row: dict[str, Any]) -> str:
    return f"{row['when'][:19]}Z  {row['node']}  {row['source']}  {row['text']}"
