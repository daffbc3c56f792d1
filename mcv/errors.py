"""Every way to say no: families told apart by what they left behind, and so are exit codes."""

import contextlib
import errno
from collections.abc import Iterator
from typing import Any, ClassVar

from mcv.printable import names


class McvError(Exception):
    """A sentence for the operator and, where there is one, the next thing to try.

    Message, hint and problems are positional arguments, so that an error can be rebuilt
    on the other side of the wire as `cls(*args)`. `problems` are (message, hint) pairs:
    several complaints that travel together.
    """

    exit_code: ClassVar[int] = 1
    kind: ClassVar[str] = "error"

    def __init__(
        self, message: str, hint: str = "", problems: list[tuple[str, str]] | None = None
    ) -> None:
        self.message = message
        self.hint = hint
        self.problems = [(str(said), str(help_)) for said, help_ in problems or []]
        super().__init__(message, hint, self.problems)

    def __str__(self) -> str:
        return self.message

    @property
    def sentence(self) -> str:
        """Message and hint in a line."""
        return f"{self.message.rstrip('.')}: {self.hint}" if self.hint else self.message


class Refused(McvError):
    """Checked first and declined: nothing was changed."""

    exit_code = 3
    kind = "refused"


class NotFound(Refused):
    """What was named does not exist."""

    kind = "not-found"


class Busy(Refused):
    """Somebody else is at work on it."""

    kind = "busy"


class PeerUnreachable(Refused):
    """A member whose part is needed does not answer, and nothing was changed."""

    kind = "peer-unreachable"


class DaemonDown(Refused):
    """The daemon of this node does not answer."""

    kind = "daemon-down"


class NoAnswer(PeerUnreachable):
    """A question was not answered in time; a question changes nothing."""

    kind = "no-answer"


class NotPermitted(Refused):
    """The caller lacks the right to do this."""

    kind = "not-permitted"


class NeedsPassword(Refused):
    """The other host wants a root password, and none was given."""

    kind = "needs-password"


class LibvirtSilent(McvError):
    """Refused: libvirt does not answer a question on a host, and no change was asked of it."""

    exit_code = 3
    kind = "libvirt-silent"


class AgentSilent(Refused):
    """The agent in a guest does not answer; nothing was asked of it but a sign of life."""

    kind = "agent-silent"


class Cancelled(Refused):
    """Somebody ended the wait before anything had been changed."""

    kind = "cancelled"


class LookAgain(Refused):
    """The document has moved on since the change was made from it."""

    kind = "look-again"


class StoreMoved(LookAgain):
    """The document lies in etcd by now, or does not lie there any more: the other door is open."""

    kind = "store-moved"


class OutOfStep(Refused):
    """The caller's epoch or claim differs from what this node knows."""

    kind = "out-of-step"


class StoreFull(Refused):
    """etcd has reached its quota, and takes no write until there is room."""

    kind = "store-full"


class NotMember(Refused):
    """Another node does not accept this node's certificate."""

    kind = "not-member"


class NotThatNode(Refused):
    """What answers at a node's address is another machine: it shows another certificate."""

    kind = "not-that-node"


class NotUnderstood(McvError):
    """Another node answered in a shape that this mcv does not know."""

    kind = "not-understood"


class Failed(McvError):
    """It was begun, it failed, and what had been done was undone."""

    exit_code = 1
    kind = "failed"


class RepairNeeded(McvError):
    """The journal keeps what is left."""

    exit_code = 4
    kind = "repair-needed"


class OutcomeOpen(RepairNeeded):
    """A change was proposed and it is not known yet whether it is committed."""

    kind = "outcome-open"


class LineLost(McvError):
    """A console or a screen that was open has ended before its reader left it."""

    exit_code = 4
    kind = "line-lost"


class DoneInPart(McvError):
    """It is done, or was asked for, but for a part that the message names."""

    exit_code = 4
    kind = "done-in-part"


class ProblemFound(McvError):
    """A check looked, and what it looked at is not well."""

    exit_code = 5
    kind = "problem-found"


class OutOfSync(ProblemFound):
    """A verification found blocks that differ, or did not come to its end."""

    kind = "out-of-sync"


class Diverged(McvError):
    """Refused: there are two committed documents of which neither contains the other."""

    exit_code = 3
    kind = "diverged"


class CommandFailed(McvError):
    """A command of this host exited non-zero, is missing, or ran past its time."""

    kind = "command-failed"


class SystemFailed(McvError):
    """The system of a host refused a file, a device or a socket."""

    kind = "system-failed"


class HypervisorFailed(McvError):
    """Libvirt said no."""

    kind = "hypervisor-failed"


class Unreadable(McvError):
    """A file of mcv's on this host is torn, is foreign, or is no file at all."""

    exit_code = 3
    kind = "unreadable"


class SlowAnswer(McvError):
    """A member's mcvd answers, and did not tell in time what it was asked."""

    kind = "slow-answer"


class CallLost(McvError):
    """A call to another daemon got no answer; whether it was carried out is not known."""

    kind = "call-lost"


NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def of_system(error: OSError, path: object = None) -> SystemFailed:
    """An error of the system as an error of mcv's, in words: the one place where that is done."""
    where = error.filename or path
    about = f"{where}: " if where else ""
    what = f"{about}{error.strerror or error}".rstrip(".")
    return SystemFailed(f"{what}.", "Make room: df -h" if error.errno in NO_ROOM else "")


@contextlib.contextmanager
def in_words(path: object = None) -> Iterator[None]:
    """Raise SystemFailed for an error of the system in this block, which may be about a path."""
    try:
        yield
    except OSError as error:
        raise of_system(error, path) from error


def with_hint(message: str, hint: str) -> str:
    """A message and what helps, in one text: `web1 is paused. Next: mcv resume web1.`"""
    lead = "Next: " if hint.startswith("mcv ") else ""
    return f"{message} {lead}{hint.rstrip('.')}." if hint else message


def in_full(error: McvError) -> str:
    """An error's message and its problems, each with its hint; without the error's own hint."""
    return " ".join([error.message, *(with_hint(*problem) for problem in error.problems)])


def ways_out(*nodes: str) -> str:
    """What an operator can do about members whose hosts answer on no path."""
    they, hosts, are = (
        ("it comes", "its host", "is") if len(nodes) == 1 else ("they come", "their hosts", "are")
    )
    return (
        f"Wait until {they} back, and look at {hosts}. Only if {hosts} {are} off for good: "
        f"mcv node offline {' '.join(nodes)} --confirm-dead"
    )


def wait_for(*nodes: str) -> str:
    """What an operator can do about members that do not answer, and whose hosts may well live."""
    they = "it comes" if len(nodes) == 1 else "they come"
    there = names(nodes)
    return f"Wait until {they} back, or look: mcv info; on {there}: systemctl status mcvd"


def error_to_plain(error: McvError) -> dict[str, Any]:
    """An error as plain values, for the wire and for records."""
    return {
        "class": type(error).__name__,
        "message": error.message,
        "hint": error.hint,
        "problems": [list(problem) for problem in error.problems],
    }


def family() -> dict[str, type[McvError]]:
    """Every error class by its name: what the wire may rebuild, and nothing else."""
    kinds: dict[str, type[McvError]] = {}
    todo: list[type[McvError]] = [McvError]
    while todo:
        kind = todo.pop()
        kinds[kind.__name__] = kind
        todo.extend(kind.__subclasses__())
    return kinds


def refuse_all(problems: list[Refused]) -> None:
    """Raise all problems at once: a single problem as it is, several in one Refused."""
    if not problems:
        return
    if len(problems) == 1:
        raise problems[0]
    said = [(problem.message, problem.hint) for problem in problems]
    raise Refused(f"{len(problems)} things stand in the way.", "", said)
