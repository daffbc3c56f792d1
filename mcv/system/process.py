"""The only subprocess wrapper: commands run to their end, in time; errors quote them."""

import contextlib
import contextvars
import logging
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any, Protocol

from mcv.errors import CommandFailed

log = logging.getLogger(__name__)

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C",
    "LVM_SUPPRESS_FD_WARNINGS": "1",
}

# The tools that mcvd starts, and where Debian has them.
PACKAGES = {
    "arping": "iputils-arping",
    "blkdiscard": "util-linux",
    "drbdadm": "drbd-utils",
    "drbdmeta": "drbd-utils",
    "drbdsetup": "drbd-utils",
    "gzip": "gzip",
    "ip": "iproute2",
    "lvcreate": "lvm2",
    "lvs": "lvm2",
    "modinfo": "kmod",
    "modprobe": "kmod",
    "prlimit": "util-linux",
    "pvs": "lvm2",
    "qemu-img": "qemu-utils",
    "qemu-io": "qemu-utils",
    "qemu-nbd": "qemu-utils",
    "setpriv": "util-linux",
    "xz": "xz-utils",
    "zstd": "zstd",
}

# What a tool prints may quote any bytes: those that are no text are shown as \xNN.
NO_TEXT = "backslashreplace"

WATCH = 0.5  # s between two looks at whether a command is still wanted
KILLED = 5.0  # s that a killed command has to end

# Descriptors that every command of this thread inherits: a lock is held until the last
# command that was started under it has ended, also when the daemon dies before it.
inherited: contextvars.ContextVar[tuple[int, ...]] = contextvars.ContextVar("inherited", default=())


class Run(Protocol):
    """How drivers start commands; tests hand them a recorder of the same shape."""

    def __call__(self, *command: str, stdin: str = "", timeout: float = 60) -> str: ...


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, 128 and more or below 0 for a signal, and its words."""

    code: int
    out: str
    err: str


def run(
    *command: str,
    stdin: str = "",
    timeout: float = 60,
    pass_fds: tuple[int, ...] = (),
    watch: Callable[[], None] | None = None,
    user: int | None = None,
) -> str:
    """Run a command to its end and return what it printed; as another user where one is given.

    Raises CommandFailed, quoting the command and its last words, when it exits
    non-zero, is missing, or outlives the timeout (seconds); then it and all that it
    started are killed. So they are when `watch`, called now and then meanwhile, raises.
    """
    done = ended(*command, stdin=stdin, timeout=timeout, pass_fds=pass_fds, watch=watch, user=user)
    if done.code != 0:
        line, words = shlex.join(command), last_words(done.err) or last_words(done.out)
        raise CommandFailed(f"`{line}` exited with {done.code}: {words}")
    return done.out


def ended(
    *command: str,
    stdin: str = "",
    timeout: float = 60,
    pass_fds: tuple[int, ...] = (),
    watch: Callable[[], None] | None = None,
    user: int | None = None,
) -> Ended:
    """As `run`, for a command whose exit code is an answer: none of them is an error."""
    line = shlex.join(command)
    log.debug("run: %s", line)
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=ENVIRONMENT,
            encoding="utf-8",
            errors=NO_TEXT,
            start_new_session=True,
            pass_fds=(*inherited.get(), *pass_fds),
            user=user,
            group=user,
            extra_groups=None if user is None else [],
        )
    except OSError as error:
        raise _not_started(line, command[0], error) from error
    try:
        out, err = _outcome(process, stdin, timeout, watch)
    except subprocess.TimeoutExpired as error:
        _kill_group(process)
        raise CommandFailed(f"`{line}` ran past {timeout:.0f} s.") from error
    except BaseException:
        _kill_group(process)
        raise
    return Ended(process.returncode, out, err)


def _outcome(
    process: "subprocess.Popen[str]",
    stdin: str,
    timeout: float,
    watch: Callable[[], None] | None,
) -> tuple[str, str]:
    """What a command printed, both ways. Raises TimeoutExpired, and what `watch` raises."""
    if watch is None:
        return process.communicate(stdin, timeout=timeout)
    until = time.monotonic() + timeout
    while True:
        left = until - time.monotonic()
        try:
            return process.communicate(stdin or None, timeout=min(left, WATCH))
        except subprocess.TimeoutExpired:
            if left <= WATCH:
                raise
        stdin = ""  # it is on its way
        watch()


def _not_started(line: str, tool: str, error: OSError) -> CommandFailed:
    hint = f"It comes with {PACKAGES[tool]}." if tool in PACKAGES else ""
    return CommandFailed(f"`{line}` could not be started: {error.strerror}.", hint)


def missing() -> dict[str, str]:
    """The tools that this host does not have, each with the Debian package that has it."""
    path = ENVIRONMENT["PATH"]
    return {tool: PACKAGES[tool] for tool in PACKAGES if shutil.which(tool, path=path) is None}


def last_words(text: str) -> str:
    """The last lines of a complaint, joined: the reason often stands before the very last."""
    return "; ".join(line.strip() for line in text.strip().splitlines()[-3:])


def _kill_group(process: "subprocess.Popen[Any]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    # A process that waits for suspended I/O ends later, and holds nobody up.
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.communicate(timeout=KILLED)


@contextlib.contextmanager
def lines(*command: str) -> Iterator["subprocess.Popen[str]"]:
    """Start a command whose output is read line by line while it runs; killed at the end."""
    log.debug("follow: %s", shlex.join(command))
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=ENVIRONMENT,
            encoding="utf-8",
            errors=NO_TEXT,
            start_new_session=True,
        )
    except OSError as error:
        raise _not_started(shlex.join(command), command[0], error) from error
    try:
        yield process
    finally:
        _kill_group(process)


@contextlib.contextmanager
def piped(*command: str, stdin: int, user: int | None = None) -> Iterator[IO[bytes]]:
    """Start a command that reads an open file; yields the pipe with what it prints.

    At the end of the block raises CommandFailed, quoting its last words, unless it has printed
    all and exited with 0. It is killed where the block ends before.
    """
    line = shlex.join(command)
    log.debug("pipe: %s", line)
    with tempfile.TemporaryFile() as complaints:
        try:
            process = subprocess.Popen(
                command,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=complaints,
                env=ENVIRONMENT,
                start_new_session=True,
                pass_fds=inherited.get(),
                user=user,
                group=user,
                extra_groups=None if user is None else [],
            )
        except OSError as error:
            raise _not_started(line, command[0], error) from error
        try:
            assert process.stdout is not None
            yield process.stdout
            code = process.wait(KILLED)
        except subprocess.TimeoutExpired as error:
            raise CommandFailed(f"`{line}` did not end.") from error
        finally:
            if process.poll() is None:
                _kill_group(process)
        if code != 0:
            complaints.seek(0)
            words = last_words(complaints.read().decode(errors=NO_TEXT))
            raise CommandFailed(f"`{line}` exited with {code}: {words}")
