"""How DRBD's utilities are run on this host: what every part of the driver stands on."""

import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from msgspec.structs import replace

from mcv.drivers import drbd_resource_file, drbd_status
from mcv.drivers.drbd_status import Status
from mcv.errors import CommandFailed
from mcv.system import files
from mcv.system.process import Run, lines, run

# What drbdadm says of a resource file that it cannot read.
COMPLAINTS = (
    "Parse error",
    "not defined in your config",
    "no resources defined",
    "Failed to open include file",
)
UNREADABLE = (
    "The resource file in /etc/drbd.d was edited or is missing. It is written anew by: "
    "mcv cluster check --fix"
)

# drbdadm reads all that its configuration includes before it does anything, and a file that it
# cannot read stops it. So each resource has a configuration of its own. The kernel's calls
# (drbdadm fence-peer minor-100) use the configuration that the minor was brought up with. The
# names of udev's links are those of Debian's global_common.conf.
CONFIGURATION = """\
# Written by mcv: drbdadm reads this resource's file and no other.
global {{ usage-count no; udev-always-use-vnr; }}
include "{file}";
"""

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
        """Run a command; where it fails, leave the secret out of what drbdadm repeats.

        A command of drbdadm ends with the resource, whose file alone it reads.
        """
        tool, *arguments = command
        if tool == "drbdadm":
            arguments = ["--config-file", self._configuration(arguments[-1]), *arguments]
        try:
            return self.run(tool, *arguments, timeout=timeout)
        except CommandFailed as error:
            message = without_secret(error.message)
            if tool == "drbdadm" and not self._file(command[-1]).exists():
                # Of the include of a file that is not there drbdadm tells the include alone.
                message = f"'{command[-1]}' not defined in your config (for this host): {message}"
            hint = UNREADABLE if any(one in message for one in COMPLAINTS) else error.hint
            raise CommandFailed(message, hint) from None

    def require_no_shrinking(self, resource: str, now: Status) -> None:
        """Raise CommandFailed where the resource's file gives its device less than it has.

        DRBD cuts the end of a connected Primary off without a word.
        """
        size = self.size_in_file(resource)
        if size is not None and size < now.size:
            raise CommandFailed(
                f"{self._file(resource)} gives the device {size} bytes, and it has {now.size}: "
                "what is behind them would be lost."
            )

    def size_in_file(self, resource: str) -> int | None:
        """The size that the resource's file gives its device; None where it gives none."""
        return drbd_resource_file.size_in(files.read_or_none(self._file(resource)) or "")

    def _file(self, resource: str) -> Path:
        return files.child(self.root / "etc/drbd.d", f"{resource}.res")

    def _configuration(self, resource: str) -> str:
        """The path of the configuration that includes one resource's file, written if need be.

        It lies in /run: a boot begins without it, and a full disk does not keep it from being.
        """
        path = files.child(self.root / "run/mcv/drbd", f"{resource}.conf")
        text = CONFIGURATION.format(file=self._file(resource))
        if files.read_or_none(path) != text:
            files.write_atomically(path, text)
        return str(path)


def without_secret(text: str) -> str:
    """What drbdadm said, less the command line that it quotes, which may hold the secret."""
    text = re.sub(r"(?<=[^:\s])\s*Command '.*?' terminated with exit code \d+", "", text)
    return re.sub(r"(--shared-secret=)[^\s']+", r"\1...", text)
