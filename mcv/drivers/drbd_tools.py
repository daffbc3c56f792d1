"""How DRBD's utilities are run on this host: what every part of the driver stands on."""

import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from msgspec.structs import replace

from mcv.drivers import drbd_status
from mcv.drivers.drbd_status import Status
from mcv.errors import CommandFailed
from mcv.system import files
from mcv.system.process import Run, lines, run

# What drbdadm says of files that it cannot read; it reads all of them for every command.
COMPLAINTS = ("Parse error", "not defined in your config", "conflicting use")
UNREADABLE = (
    "A file in /etc/drbd.d was edited or is missing. One of mcv's is written anew by: "
    "mcv cluster check --fix; another one is yours to mend."
)

Done = Callable[[Status | None], bool]


class Stream(Protocol):
    """A command that is read while it runs."""

    stdout: IO[str] | None


class Follow(Protocol):
    """How the driver starts one; it is killed when the context is left."""

    def __call__(self, *command: str) -> AbstractContextManager[Stream]: ...


@dataclass(frozen=True)
class Tools:
    """Runs the utilities, and looks at what the kernel says before and after.

    DRBD's exit codes do not tell whether something is as it should be: `until` looks at the
    state first, does nothing if that is already so, and looks again before it complains.
    """

    run: Run = run
    follow: Follow = lines
    root: Path = Path("/")
    sleep: Callable[[float], None] = time.sleep

    @property
    def is_loaded(self) -> bool:
        """Whether the kernel module is loaded."""
        return (self.root / "sys/module/drbd").exists()

    def look(self, *resource: str) -> dict[str, Status]:
        """The named resources, or all, as the kernel has them."""
        if not self.is_loaded:
            return {}
        text = self.run("drbdsetup", "events2", "--now", "--statistics", *resource)
        seen = drbd_status.parse_statuses(text)
        return {name: self._with_progress(status) for name, status in seen.items()}

    def _with_progress(self, status: Status) -> Status:
        if not status.is_working or status.done is not None or status.minor is None:
            return status
        return replace(status, done=self.progress(status.minor))

    def progress(self, minor: int) -> float | None:
        """How many percent of a resync or a verification are done, where 8.4 tells it."""
        return drbd_status.parse_progress(files.read_or_none(self.root / "proc/drbd") or "", minor)

    def status(self, resource: str) -> Status | None:
        """The resource as it is now; None if the kernel does not know it."""
        return self.look(resource).get(resource)

    def until(self, done: Done, resource: str, *command: str, timeout: float = 60) -> None:
        """Run a command unless its end is reached already; complain unless it is afterwards."""
        if done(self.status(resource)):
            return
        try:
            self.clean(*command, timeout=timeout)
        except CommandFailed:
            if not done(self.status(resource)):
                raise

    def adm(self, *arguments: str, timeout: float = 60) -> str:
        """Run drbdadm to its end."""
        return self.clean("drbdadm", *arguments, timeout=timeout)

    def clean(self, *command: str, timeout: float) -> str:
        """Run a command; where it fails, leave the secret out of what drbdadm repeats."""
        try:
            return self.run(*command, timeout=timeout)
        except CommandFailed as error:
            message = without_secret(error.message)
            hint = UNREADABLE if any(one in message for one in COMPLAINTS) else error.hint
            raise CommandFailed(message, hint) from None


def without_secret(text: str) -> str:
    """What drbdadm said, less the command line that it quotes, which may hold the secret."""
    text = re.sub(r"(?<=[^:\s])\s*Command '.*?' terminated with exit code \d+", "", text)
    return re.sub(r"(--shared-secret=)[^\s']+", r"\1...", text)
