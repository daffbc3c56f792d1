"""The DRBD utilities and the kernel module of this host."""

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from itertools import chain
from pathlib import Path
from typing import IO, Protocol

from msgspec.structs import replace

from mcv.drivers import drbd_status
from mcv.drivers.drbd_status import CONSISTENT, UP_TO_DATE, Event, Generations, Status
from mcv.errors import CommandFailed
from mcv.system import files, process
from mcv.system.process import Run, lines, run

# A promotion waits for the fence-peer handler, which asks over the network.
PROMOTION_TIMEOUT = 180.0
METADATA_TIMEOUT = 600.0
DEMOTION_TRIES = 20
DEMOTION_PAUSE = 0.25

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


class Drbd:
    """Talks to the DRBD of this host.

    DRBD's exit codes do not tell whether something is as it should be: a verb here looks
    at the state first, does nothing if that is already so, and looks again before it
    complains.
    """

    def __init__(
        self,
        run: Run = run,
        follow: Follow = lines,
        root: Path = Path("/"),
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._run = run
        self._follow = follow
        self._proc = root / "proc/drbd"
        self._module = root / "sys/module/drbd"
        self._sleep = sleep

    # The module and the utilities

    def loaded(self) -> bool:
        return self._module.exists()

    def load_module(self) -> None:
        """Load the kernel module; harmless when it is loaded."""
        if not self.loaded():
            self._run("modprobe", "drbd")

    def versions(self) -> tuple[str, str]:
        """The version of the loaded module ("" if none is) and that of the utilities."""
        utils = re.search(
            r"^DRBDADM_VERSION=(\S+)", self._run("drbdadm", "--version"), re.MULTILINE
        )
        kernel = files.read_or_none(self._module / "version") or ""
        return kernel.strip(), utils.group(1) if utils else ""

    def generation(self) -> int:
        """8 or 9: of the loaded module, else of the one that would be loaded, else 0."""
        kernel = files.read_or_none(self._module / "version") or self.loadable_version()
        number = kernel.strip().partition(".")[0]
        return int(number) if number.isdecimal() else 0

    def missing(self) -> dict[str, str]:
        """The tools for disks that this host does not have, each with its Debian package."""
        return process.missing()

    def loadable_version(self) -> str:
        """The version of the module that would be loaded; "" if there is none."""
        try:
            return self._run("modinfo", "--field", "version", "drbd").strip()
        except CommandFailed:
            return ""

    # What is

    def status(self, resource: str) -> Status | None:
        """The resource as it is now; None if the kernel does not know it."""
        return self._look(resource).get(resource)

    def statuses(self) -> dict[str, Status]:
        """Every resource that the kernel knows, by name."""
        return self._look()

    def minors(self) -> list[int]:
        """The device numbers that the kernel has given away."""
        seen = (status.minor for status in self.statuses().values())
        return sorted(minor for minor in seen if minor is not None)

    def _look(self, *resource: str) -> dict[str, Status]:
        if not self.loaded():
            return {}
        text = self._run("drbdsetup", "events2", "--now", "--statistics", *resource)
        seen = drbd_status.parse_statuses(text)
        return {name: self._with_progress(status) for name, status in seen.items()}

    def _with_progress(self, status: Status) -> Status:
        if not status.is_working or status.done is not None or status.minor is None:
            return status
        return replace(status, done=self.progress(status.minor))

    def progress(self, minor: int) -> float | None:
        """How many percent of a resync or a verification are done, where 8.4 tells it."""
        return drbd_status.parse_progress(files.read_or_none(self._proc) or "", minor)

    def generation_uuids(self, resource: str) -> Generations:
        """The generations of this node's replica, also of one that is down."""
        return drbd_status.parse_generations(self._adm("get-gi", resource))

    def options(self, resource: str) -> dict[str, str]:
        """The options in force, defaults included; the secret is not among them."""
        return drbd_status.parse_options(
            self._run("drbdsetup", "show", "--show-defaults", resource)
        )

    @contextlib.contextmanager
    def events(self, resource: str) -> Iterator[Iterator[Event]]:
        """Follow a resource: first all that exists, then what happens, as it happens.

        Once the context is entered nothing is missed any more. The iterator ends when
        the stream is lost, or a part of it: what happens from then on is not known.
        """
        command = ("drbdsetup", "events2", "--statistics", resource)
        with self._follow(*command) as process:
            stream = _read(process)
            dump: list[Event] = []
            for event in stream:
                dump.append(event)
                if event.ends_the_dump:
                    break
            else:
                raise CommandFailed(f"`{' '.join(command)}` ended at once.")
            yield chain(dump, stream)

    # From nothing to a device, and back

    def create_metadata(self, resource: str) -> None:
        """Write new metadata over whatever is there, without a question."""
        self._adm("--force", "create-md", resource, timeout=METADATA_TIMEOUT)

    def up(self, resource: str) -> None:
        """Attach and connect; a resource that is partly up is brought to what its file says."""
        self._adm("adjust" if self.status(resource) else "up", resource)

    def down(self, resource: str) -> None:
        """Take the resource out of the kernel; needs no resource file."""
        self._until(lambda now: now is None, resource, "drbdsetup", "down", resource)

    def adjust(self, resource: str) -> None:
        """Bring the running resource to what its file says, a lost connection included."""
        self._adm("adjust", resource)

    def new_current_uuid_clear_bitmap(self, resource: str, minor: int) -> None:
        """Declare both new replicas equal as they are; harmless when they are UpToDate."""
        command = ("drbdsetup", "new-current-uuid", str(minor), "--clear-bitmap")
        self._until(lambda now: now is not None and now.both_up_to_date, resource, *command)

    # Roles

    def promote(self, resource: str) -> None:
        """Make this node primary; harmless when it already is."""
        self._promote(resource)

    def promote_by_force(self, resource: str) -> None:
        """Make this node primary although DRBD holds its replica for stale."""
        self._promote("--force", resource)

    def _promote(self, *arguments: str) -> None:
        command = ("drbdadm", "primary", *arguments)
        self._until(_is_primary, arguments[-1], *command, timeout=PROMOTION_TIMEOUT)

    def demote(self, resource: str) -> None:
        """Make this node secondary; harmless when it already is, or is down.

        The device can be held open for a moment after a domain has ended, so it is
        tried again for some seconds.
        """
        for left in reversed(range(DEMOTION_TRIES)):
            try:
                self._until(_is_not_primary, resource, "drbdadm", "secondary", resource)
                return
            except CommandFailed:
                if not left:
                    raise
            self._sleep(DEMOTION_PAUSE)

    def allow_two_primaries(self, resource: str) -> None:
        """Let both nodes be primary until the next `adjust`."""
        self._adm("net-options", "--allow-two-primaries=yes", resource)

    def allows_two_primaries(self, resource: str) -> bool:
        return self.options(resource).get("allow-two-primaries", "no") == "yes"

    # The connection

    def connect(self, resource: str) -> None:
        """Begin to look for the peer; harmless when it does already, or has found it."""
        self._until(_looks_for_its_peer, resource, "drbdadm", "connect", resource)

    def connect_discarding(self, resource: str) -> None:
        """Look for the peer, and give up what only this replica has when it is found."""
        self._adm("connect", "--discard-my-data", resource)

    def disconnect(self, resource: str) -> None:
        """Part from the peer and look for it no more; harmless when that is so."""
        self._until(
            lambda now: now is None or now.is_standalone,
            resource,
            "drbdadm",
            "disconnect",
            resource,
        )

    # The data

    def attach(self, resource: str) -> None:
        """Take the replica's volume back after it was detached; harmless when it was not."""
        self._until(_has_its_disk, resource, "drbdadm", "attach", resource)

    def verify(self, resource: str) -> None:
        """Begin to compare both replicas, from the first block on; open `events` first, to see
        how it ends.

        Unless told where to begin DRBD goes on where the last one was interrupted, and would
        call clean what nobody has compared.
        """
        self._adm("--", "--start=0", "verify", resource)

    def stop_verifying(self, resource: str) -> None:
        """End a verification where it is, with the connection as it was; harmless without one.

        The kernel takes the new end over although one is under way; the events tell when it
        has stopped, in the words of one that came to its end.
        """
        command = ("drbdadm", "--", "--start=0", "--stop=8", "verify", resource)
        self._until(lambda now: now is None or not now.is_verifying, resource, *command)

    def set_rate(self, resource: str, rate: int) -> None:
        """Let resync and verification move so many bytes a second until the next `adjust`."""
        verb = "peer-device-options" if self.generation() >= 9 else "disk-options"
        self._adm(verb, f"--resync-rate={max(1, rate // 1024)}K", resource)

    def invalidate(self, resource: str) -> None:
        """Copy the whole volume from the peer over this replica."""
        self._adm("invalidate", resource)

    def invalidate_remote(self, resource: str) -> None:
        """Copy the whole volume from this replica over the peer's."""
        self._adm("invalidate-remote", resource)

    def outdate(self, resource: str) -> None:
        """Mark this replica as stale, so that it is not promoted; raise where it did not take.

        DRBD says yes and does nothing while the peers are connected.
        """
        self._adm("outdate", resource)
        now = self.status(resource)
        if now is None:
            stale = not self.generation_uuids(resource).up_to_date
        else:
            stale = now.disk.is_known and not now.disk.is_promotable
        if not stale:
            state = f"{now.connection}, {now.disk}" if now else "down, UpToDate"
            raise CommandFailed(f"`drbdadm outdate {resource}` changed nothing: it is {state}.")

    def clear_outdated(self, resource: str, minor: int, backing: str) -> None:
        """Lift the mark that this replica is stale; harmless where it has none.

        It is Consistent then, of the generation that it has. `primary --force` begins two at
        once on 8.4 and forgets the one that both sides came from, so that a peer which wrote
        nothing alone looks like the other side of a split brain; 9 knows better.
        """
        if self.generation() >= 9:
            self.promote_by_force(resource)
            self.demote(resource)
            return
        self.down(resource)
        uuids = self._adm("get-gi", resource).split()[-1].split(":")
        if uuids[CONSISTENT] != "1":
            raise CommandFailed(f"{resource} is not consistent: it cannot be taken.")
        if uuids[UP_TO_DATE] != "1":
            uuids[UP_TO_DATE] = "1"
            where = ("drbdmeta", "--force", str(minor), "v08", backing, "internal")
            self._clean(*where, "set-gi", ":".join(uuids), timeout=60)
        self.up(resource)

    # How commands are run

    def _until(self, done: Done, resource: str, *command: str, timeout: float = 60) -> None:
        """Run a command unless its end is reached already; complain unless it is afterwards."""
        if done(self.status(resource)):
            return
        try:
            self._clean(*command, timeout=timeout)
        except CommandFailed:
            if not done(self.status(resource)):
                raise

    def _adm(self, *arguments: str, timeout: float = 60) -> str:
        return self._clean("drbdadm", *arguments, timeout=timeout)

    def _clean(self, *command: str, timeout: float) -> str:
        """Run a command; where it fails, leave the secret out of what drbdadm repeats."""
        try:
            return self._run(*command, timeout=timeout)
        except CommandFailed as error:
            message = without_secret(error.message)
            hint = UNREADABLE if any(one in message for one in COMPLAINTS) else error.hint
            raise CommandFailed(message, hint) from None


def without_secret(text: str) -> str:
    """What drbdadm said, less the command line that it quotes, which may hold the secret."""
    text = re.sub(r"(?<=[^:\s])\s*Command '.*?' terminated with exit code \d+", "", text)
    return re.sub(r"(--shared-secret=)[^\s']+", r"\1...", text)


def _is_primary(now: Status | None) -> bool:
    return now is not None and now.is_primary


def _is_not_primary(now: Status | None) -> bool:
    return now is None or not now.is_primary


def _has_its_disk(now: Status | None) -> bool:
    return now is not None and not now.is_detached


def _looks_for_its_peer(now: Status | None) -> bool:
    return now is not None and not now.is_standalone


def _read(process: Stream) -> Iterator[Event]:
    assert process.stdout is not None
    for line in process.stdout:
        event = drbd_status.parse_event(line)
        if event is None:
            continue
        if event.verb == "lost":
            return
        yield event
