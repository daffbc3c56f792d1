"""The serial console of a VM."""

import os
import sys

import click

from mcv.commands import line as lines
from mcv.commands.options import common, vm_argument
from mcv.commands.session import Session


@click.command()
@vm_argument
@click.option("--take", is_flag=True, help="End the console of another reader.")
@common(changes=False)
@click.pass_obj
def console(session: Session, name: str, take: bool) -> None:
    """Open the serial console of a VM, on whichever node it runs.

    What the guest said last is shown first. Leave with ^]; every other key is the guest's. One
    reader at a time: another one is refused, or ends the first with --take.

    Input may be a pipe: when it has ended and the guest has said nothing for 3 s, so does the
    console. With --json what the guest says is in the document at the end.

    A serial line has no size: tell the guest with stty, as the first line says.

    The console ends with exit 0 when the guest is off or has moved, with 4 when another reader
    took it over or its node was lost, with 3 when the right to it was taken away.

    \b
    Examples:
      mcv console web1
      mcv console web1 --take
      printf 'uname -r\\n' | mcv console web1
    """
    line = lines.opened(session, "vm.console", name=name, take=take)
    is_terminal = os.isatty(sys.stdin.fileno())
    if is_terminal:
        session.note(f"The console of {name} on {line.node}; leave with ^].{lines.size_hint()}")
    said = bytearray() if session.json else None
    try:
        has_ended = lines.talk(line, said)
    finally:
        lines.close(line)
        if is_terminal:
            session.note("")
    ended = lines.Ended("left", f"You left {name}.")
    if has_ended:
        ended = lines.why_ended(session, line)
    if said is None:
        session.note(ended.message)
        return
    text = said.decode("utf-8", "replace")
    session.show({"vm": name, "node": line.node, "said": text, "ended": ended.kind}, "")
