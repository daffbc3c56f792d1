"""The resources of this host: DRBD's utilities make, open, connect and close them."""

import time
from collections.abc import Callable
from pathlib import Path

from mcv.document.disks import SECTOR
from mcv.drivers import drbd_status, open_devices
from mcv.drivers.drbd_changes import Changes
from mcv.drivers.drbd_metadata import Metadata
from mcv.drivers.drbd_module import Module
from mcv.drivers.drbd_states import Role
from mcv.drivers.drbd_status import CONSISTENT, UP_TO_DATE, Status
from mcv.drivers.drbd_tools import Follow, Tools
from mcv.drivers.drbd_verification import Verification
from mcv.drivers.open_devices import Holder
from mcv.errors import Busy, CommandFailed
from mcv.ha.gate import OPEN, Passage
from mcv.system.process import Run, lines, run

# A promotion waits for the fence-peer handler, which asks over the network.
PROMOTION_TIMEOUT = 180.0
PROMOTION_REPEATS = 3
PROMOTION_PAUSE = 1.0
PROMOTION_PATIENCE = 30.0
DEMOTION_TRIES = 20
DEMOTION_PAUSE = 0.25


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
        gate: Passage = OPEN,
    ) -> None:
        self._gate = gate
        self._tools = Tools(run, follow, root, sleep)
        self.module = Module(self._tools)
        self.metadata = Metadata(self._tools)
        self.verification = Verification(self._tools, self.module)
        self.changes = Changes(self._tools)

    # What is

    def status(self, resource: str) -> Status | None:
        """The resource as it is now; None if the kernel does not know it."""
        return self._tools.status(resource)

    def statuses(self) -> dict[str, Status]:
        """Every resource that the kernel knows, by name."""
        return self._tools.look()

    def minors(self) -> list[int]:
        """The device numbers that the kernel has given away."""
        seen = (status.minor for status in self.statuses().values())
        return sorted(minor for minor in seen if minor is not None)

    def holders(self, resource: str) -> list[Holder]:
        """What has the device open on this host; only a Primary lets itself be opened."""
        now = self.status(resource)
        if now is None or now.minor is None or not now.is_primary:
            return []
        return open_devices.holders(self._tools.root, f"dev/drbd{now.minor}")

    def options(self, resource: str) -> dict[str, str]:
        """The options in force, defaults included; the secret is not among them."""
        return drbd_status.parse_options(
            self._tools.run("drbdsetup", "show", "--show-defaults", resource)
        )

    # From nothing to a device, and back

    def up(self, resource: str) -> None:
        """Attach and connect; a resource that is partly up is brought to what its file says."""
        now = self.status(resource)
        if now is not None:
            self._tools.require_no_shrinking(resource, now)
        self._tools.adm("adjust" if now else "up", resource)

    def down(self, resource: str) -> None:
        """Take the resource out of the kernel; needs no resource file."""
        self._tools.until(lambda now: now is None, resource, "drbdsetup", "down", resource)

    def adjust(self, resource: str) -> None:
        """Bring the running resource to what its file says, a lost connection included.

        A size that the kernel was not told of yet is taken up where there is a Primary; without
        one the resource goes down and up for it. Errors: CommandFailed where the device would
        become smaller; Busy where it would go down in the middle of a resync or a verification.
        """
        now = self.status(resource)
        if now is not None:
            self._tools.require_no_shrinking(resource, now)
            if self._needs_to_attach_anew(resource, now):
                if now.is_working:
                    raise Busy(f"{resource} is {now.replication}: its size is taken up afterwards.")
                self.down(resource)
                self._tools.adm("up", resource)
                return
        self._tools.adm("adjust", resource)

    def _needs_to_attach_anew(self, resource: str, now: Status) -> bool:
        """Whether the file names the device's size, the kernel does not, and nobody is Primary.

        Of two Secondaries 8.4 refuses a resize, also one to the size that the device has.
        """
        size = self._tools.size_in_file(resource)
        if size != now.size or now.is_detached or Role.PRIMARY in (now.role, now.peer_role):
            return False
        return self.options(resource).get("size") != f"{size // SECTOR}s"

    # Roles

    def promote(self, resource: str) -> None:
        """Make this node primary; harmless when it already is.

        The kernel gives a promotion four tries. Right after a loss the old connection and the
        fence-peer handler use them up, and `primary` fails although the handler has spoken: it
        is repeated for as long as the peer is Outdated.
        """

        def promoted() -> None:
            until = time.monotonic() + PROMOTION_PATIENCE
            for left in reversed(range(PROMOTION_REPEATS + 1)):
                try:
                    self._promote(resource)
                    return
                except CommandFailed:
                    if not left or time.monotonic() > until:
                        raise
                    if not _is_peer_outdated(self.status(resource)):
                        raise
                self._tools.sleep(PROMOTION_PAUSE)

        self._gate.begin(f"promote {resource}", promoted)

    def promote_by_force(self, resource: str) -> None:
        """Make this node primary although DRBD holds its replica for stale."""
        self._gate.begin(f"promote {resource}", lambda: self._promote("--force", resource))

    def _promote(self, *arguments: str) -> None:
        command = ("drbdadm", "primary", *arguments)
        self._tools.until(_is_primary, arguments[-1], *command, timeout=PROMOTION_TIMEOUT)

    def demote(self, resource: str) -> None:
        """Make this node secondary; harmless when it already is, or is down.

        The device can be held open for a moment after a domain has ended, so it is
        tried again for some seconds.
        """
        for left in reversed(range(DEMOTION_TRIES)):
            try:
                self._tools.until(_is_not_primary, resource, "drbdadm", "secondary", resource)
                return
            except CommandFailed:
                if not left:
                    raise
            self._tools.sleep(DEMOTION_PAUSE)

    def allow_two_primaries(self, resource: str) -> None:
        """Let both nodes be primary until the next `adjust`."""
        self._tools.adm("net-options", "--allow-two-primaries=yes", resource)

    def allows_two_primaries(self, resource: str) -> bool:
        return self.options(resource).get("allow-two-primaries", "no") == "yes"

    # The connection

    def connect(self, resource: str) -> None:
        """Begin to look for the peer; harmless when it does already, or has found it."""
        self._tools.until(_looks_for_its_peer, resource, "drbdadm", "connect", resource)

    def connect_discarding(self, resource: str) -> None:
        """Look for the peer, and give up what only this replica has when it is found."""
        self._tools.adm("connect", "--discard-my-data", resource)

    def disconnect(self, resource: str) -> None:
        """Part from the peer and look for it no more; harmless when that is so."""
        self._tools.until(
            lambda now: now is None or now.is_standalone,
            resource,
            "drbdadm",
            "disconnect",
            resource,
        )

    def ask_handler_again(self, resource: str) -> None:
        """Have the kernel call the fence-peer handler for a Primary that has lost its peer.

        Of a resource whose handler gave no verdict the kernel asks again only when its
        connection ends. Effect: the resource is StandAlone, and the kernel calls the handler
        after this has returned. Precondition: the resource looks for its peer.
        """
        self._tools.adm("disconnect", "--force", resource)

    # The data

    def attach(self, resource: str) -> None:
        """Take the replica's volume back after it was detached; harmless when it was not."""
        self._tools.until(_has_its_disk, resource, "drbdadm", "attach", resource)

    def invalidate(self, resource: str) -> None:
        """Copy the whole volume from the peer over this replica."""
        self._tools.adm("invalidate", resource)

    def invalidate_remote(self, resource: str) -> None:
        """Copy the whole volume from this replica over the peer's."""
        self._tools.adm("invalidate-remote", resource)

    def outdate(self, resource: str) -> None:
        """Mark this replica as stale, so that it is not promoted; raise where it did not take.

        DRBD says yes and does nothing while the peers are connected.
        """
        self._tools.adm("outdate", resource)
        now = self.status(resource)
        if now is None:
            stale = not self.metadata.generations(resource).up_to_date
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
        if self.module.generation() >= 9:
            self.promote_by_force(resource)
            self.demote(resource)
            return

        def cleared() -> None:
            self.down(resource)
            uuids = self._tools.adm("get-gi", resource).split()[-1].split(":")
            if uuids[CONSISTENT] != "1":
                raise CommandFailed(f"{resource} is not consistent: it cannot be taken.")
            if uuids[UP_TO_DATE] != "1":
                uuids[UP_TO_DATE] = "1"
                where = ("drbdmeta", "--force", str(minor), "v08", backing, "internal")
                self._tools.clean(*where, "set-gi", ":".join(uuids), timeout=60)
            self.up(resource)

        self._gate.begin(f"take {resource} as it is", cleared)


def _is_peer_outdated(now: Status | None) -> bool:
    return now is not None and not now.connected and now.peer_disk.is_outdated


def _is_primary(now: Status | None) -> bool:
    return now is not None and now.is_primary


def _is_not_primary(now: Status | None) -> bool:
    return now is None or not now.is_primary


def _has_its_disk(now: Status | None) -> bool:
    return now is not None and not now.is_detached


def _looks_for_its_peer(now: Status | None) -> bool:
    return now is not None and not now.is_standalone
