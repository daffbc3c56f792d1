"""Commands in a guest, through its agent: begun on the owner, and asked for by who waits."""

from msgspec import Struct

from mcv.errors import Refused, refuse_all
from mcv.host import Host
from mcv.rules import preconditions

LONGEST = 128 << 10  # bytes of a command with its arguments


class Begun(Struct, frozen=True, kw_only=True):
    """A command that runs in a guest: the number of its process there."""

    name: str
    node: str
    process: int


class CommandState(Struct, frozen=True, kw_only=True):
    """What became of a command in a guest.

    Once it has ended: its exit code, or the signal that killed it, and what it wrote, in base64.
    The agent keeps so much of that and no more: `cut` says that it wrote more.
    """

    name: str
    node: str
    ended: bool
    exit_code: int | None = None
    signal: int | None = None
    stdout: str = ""
    stderr: str = ""
    cut: bool = False


def begin(host: Host, name: str, command: list[str]) -> Begun:
    """Have the agent in a VM's guest begin a command, as the user that the agent is.

    Raises Refused where nothing was begun: the VM does not run, its agent does not answer or
    refuses. What the command is, no job and no log says.
    """
    preconditions.owned(host.both(), host.name, name)
    problems = _problems_of(command)
    problems += _why_not_asked(host, name)
    refuse_all(problems)
    return Begun(name=name, node=host.name, process=host.domains.agent.begin(name, command))


def _problems_of(command: list[str]) -> list[Refused]:
    if not command or not command[0]:
        return [Refused("There is no command to run.", "mcv exec VM -- COMMAND")]
    found = []
    if sum(len(word.encode(errors="replace")) for word in command) > LONGEST:
        found.append(Refused(f"The command has more than {LONGEST} bytes."))
    if any("\0" in word for word in command):
        found.append(Refused("The command has a byte 0 in it, which no argument can have."))
    return found


def _why_not_asked(host: Host, name: str) -> list[Refused]:
    if not host.domains.is_active(name):
        preconditions.no_foreign(host.name, host.domains.foreign(name))
        return [Refused(f"{name} does not run on {host.name}.", f"mcv start {name}")]
    if host.domains.state(name) == "paused":
        message = f"{name} is paused, so its agent hears nothing."
        return [Refused(message, f"mcv resume {name}")]
    return []


def state(host: Host, name: str, process: int) -> CommandState:
    """What became of a command that was begun. Its end and its output are told once."""
    preconditions.owned(host.both(), host.name, name)
    status = host.domains.agent.status(name, process)
    return CommandState(
        name=name,
        node=host.name,
        ended=status.exited,
        exit_code=status.exitcode,
        signal=status.signal,
        stdout=status.out_data,
        stderr=status.err_data,
        cut=status.out_truncated or status.err_truncated,
    )


def agent(host: Host, name: str) -> str:
    """Of the agent in a guest: "none" is connected, it "answers", or it is "silent"."""
    if not host.domains.agent.is_connected(name):
        return "none"
    return "answers" if host.domains.agent.answers(name) else "silent"
