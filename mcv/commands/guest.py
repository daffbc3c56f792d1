"""Commands in a guest, through its agent."""

import base64
import binascii
import time
from typing import Any

import click

from mcv.commands import output
from mcv.commands.options import common, seconds, vm_argument
from mcv.commands.session import Session
from mcv.errors import DoneInPart, McvError, ProblemFound

FIRST, LONGEST = 0.1, 1.0  # s between two looks whether it has ended: each half as long again
GROWTH = 1.5


@click.command("exec")
@vm_argument
@click.argument("command", metavar="-- COMMAND", nargs=-1, required=True)
@click.option("--timeout", metavar="S", help="Wait so many seconds and no longer; then exit 4.")
@common()
@click.pass_obj
def exec_(session: Session, name: str, command: tuple[str, ...], timeout: str | None) -> None:
    """Run a command in a guest.

    The guest's agent (the package qemu-guest-agent) runs it, as root as a rule, without a shell
    and without input, and tells its output when it has ended, as it wrote it. An agent keeps
    16 MiB of it at most, and libvirt takes 10 MiB at once.

    Exit code 0 is the command's own; every other one of it, and a signal, is 5, and is named on
    stderr. 3: it was not begun. 4: it may still run in the guest.

    \b
    Examples:
      mcv exec web1 -- systemctl is-active nginx
      mcv exec web1 --timeout 30 -- sh -c 'df -h | grep vda'
    """
    limit = seconds(timeout)
    begun = session.run("vm.exec", name=name, command=list(command))
    ended = _await(session, name, begun["process"], limit)
    written = [_decoded(name, ended.get(each)) for each in ("stdout", "stderr")]
    if session.json:
        texts = [each.decode(errors="replace") for each in written]
        session.show({**ended, "stdout": texts[0], "stderr": texts[1]}, "")
    else:
        output.say_raw(written[0])
        output.say_raw(written[1], err=True)
    if ended.get("cut"):
        session.note(f"The agent in {name} kept a part of the output and cut the rest.")
    if ended.get("signal") is not None:
        raise ProblemFound(f"{command[0]} was ended in {name} by signal {ended['signal']}.")
    if ended.get("exit_code"):
        raise ProblemFound(f"{command[0]} exited in {name} with {ended['exit_code']}.")


def _await(session: Session, name: str, process: int, limit: float | None) -> Any:
    """What became of a process in the guest. Raises DoneInPart where it may still run."""
    began, pause = time.monotonic(), FIRST
    try:
        while True:
            state = session.call("vm.exec_state", name=name, process=process)
            if state["ended"]:
                return state
            if limit is not None and time.monotonic() - began > limit:
                raise _runs_on(name, process, f"has not ended within {limit:g} s")
            time.sleep(pause)
            pause = min(LONGEST, pause * GROWTH)
    except KeyboardInterrupt:
        raise _runs_on(name, process, "is waited for no longer") from None
    except DoneInPart:
        raise
    except McvError as error:
        raise DoneInPart(
            f"What became of process {process} in {name} is not known: {error.message}", error.hint
        ) from error


def _runs_on(name: str, process: int, why: str) -> DoneInPart:
    return DoneInPart(
        f"It {why}, and runs on in {name} as process {process}; nobody takes its output.",
        f"End it with: mcv exec {name} -- kill {process}",
    )


def _decoded(name: str, text: object) -> bytes:
    try:
        return base64.b64decode(str(text or ""), validate=True)
    except binascii.Error as error:
        raise DoneInPart(f"What the agent in {name} tells as output is no base64.") from error
