"""What DRBD says about a resource, read from its words: states, events, generations, options."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from mcv.document.generation import Value
from mcv.drivers.drbd_states import ConnectionState, DiskState, ReplicationState, Role

KIB = 1024

# The last bit of a generation UUID says that its node was Primary, not which data it is.
PRIMARY_BIT = 1

# Where flags are in what `get-gi` prints, after four UUIDs.
CONSISTENT, UP_TO_DATE, CRASHED = 4, 5, 10


class Status(Value, frozen=True, kw_only=True):
    """One resource as the kernel of this host sees it; sizes in bytes, names in DRBD's words.

    `connection` is the state of the replication where that says more than Established
    (SyncSource, VerifyS), else the state of the connection (Connected, Connecting,
    StandAlone). `suspended` is no, or why I/O stands still (fencing, user, no-data).
    """

    resource: str
    role: Role = Role.UNKNOWN
    suspended: str = "no"
    minor: int | None = None
    disk: DiskState = DiskState.DISKLESS
    size: int = 0
    connection: ConnectionState = ConnectionState.STANDALONE
    replication: ReplicationState = ReplicationState.OFF
    peer_role: Role = Role.UNKNOWN
    peer_disk: DiskState = DiskState.UNKNOWN
    out_of_sync: int = 0
    done: float | None = None
    resync_suspended: str = "no"
    upper_pending: int = 0

    @property
    def is_primary(self) -> bool:
        return self.role.is_primary

    @property
    def is_suspended(self) -> bool:
        """Whether I/O is suspended: what is written waits, and nothing reads."""
        return self.suspended != "no"

    @property
    def waits_for_fencing(self) -> bool:
        """Whether I/O is suspended until the fence-peer handler has given its verdict."""
        return "fencing" in self.suspended.split(",")

    @property
    def connected(self) -> bool:
        """Whether the peers are in contact and past their handshake."""
        return self.replication.is_connected

    @property
    def is_standalone(self) -> bool:
        return self.connection.is_standalone

    @property
    def is_detached(self) -> bool:
        """Whether the replica here has lost its disk, to an I/O error as a rule."""
        return self.disk.is_detached

    @property
    def is_verifying(self) -> bool:
        return self.replication.is_verifying

    @property
    def is_working(self) -> bool:
        """Whether a resync or a verification is under way, or is paused in the middle."""
        return self.replication.is_working

    @property
    def up_to_date(self) -> bool:
        return self.disk.is_up_to_date

    @property
    def both_up_to_date(self) -> bool:
        return self.up_to_date and self.peer_disk.is_up_to_date


@dataclass(frozen=True)
class Event:
    """One line of events2: what a line does not speak of is None.

    The verb is exists, create, change, destroy, call or response; a `change` carries only
    what has changed.
    """

    verb: str
    kind: str
    fields: dict[str, str]

    @property
    def resource(self) -> str:
        return self.fields.get("name", "")

    @property
    def role(self) -> Role | None:
        word = self._of("resource", "role")
        return None if word is None else Role(word)

    @property
    def disk(self) -> DiskState | None:
        word = self._of("device", "disk")
        return None if word is None else DiskState(word)

    @property
    def connection(self) -> ConnectionState | None:
        word = self._of("connection", "connection")
        return None if word is None else ConnectionState(word)

    @property
    def peer_role(self) -> Role | None:
        word = self._of("connection", "role")
        return None if word is None else Role(word)

    @property
    def replication(self) -> ReplicationState | None:
        word = self._of("peer-device", "replication")
        return None if word is None else ReplicationState(word)

    @property
    def peer_disk(self) -> DiskState | None:
        word = self._of("peer-device", "peer-disk")
        return None if word is None else DiskState(word)

    @property
    def out_of_sync(self) -> int | None:
        """Bytes; 8.4 tells them with every change of the replication, 9 now and then too."""
        found = self._of("peer-device", "out-of-sync")
        return None if found is None else _bytes(found)

    @property
    def ends_the_dump(self) -> bool:
        """Whether all that existed has been told, and what follows is news."""
        return self.verb == "exists" and self.kind == "-"

    def _of(self, kind: str, field_: str) -> str | None:
        return self.fields.get(field_) if self.kind == kind else None


def parse_event(line: str) -> Event | None:
    """Read one line of events2; None for an empty one.

    The notice that messages of the kernel were skipped is an event whose verb is `lost`:
    what they said is not known.
    """
    words = line.split()
    if len(words) < 2:
        return None
    if words[0] == "-":
        return Event("lost", words[1], {})
    fields = dict(word.partition(":")[::2] for word in words[2:])
    return Event(words[0], words[1], fields)


@dataclass
class Picture:
    """The resources as the events so far draw them."""

    _parts: dict[str, dict[str, dict[str, str]]] = field(default_factory=dict)

    def see(self, event: Event) -> None:
        """Take one event in; helpers and the end of the dump change nothing."""
        if not event.resource or event.kind == "helper":
            return
        parts = self._parts.setdefault(event.resource, {})
        if event.verb in ("exists", "create", "change"):
            parts.setdefault(event.kind, {}).update(event.fields)
        elif event.verb == "destroy" and event.kind == "resource":
            del self._parts[event.resource]
        elif event.verb == "destroy":
            parts.pop(event.kind, None)

    def status(self, resource: str) -> Status | None:
        """The resource as last seen; None if the kernel does not know it."""
        parts = self._parts.get(resource, {})
        if "resource" not in parts:
            return None
        whole, device = parts["resource"], parts.get("device", {})
        link, peer = parts.get("connection", {}), parts.get("peer-device", {})
        replication = ReplicationState(peer.get("replication", "Off"))
        connection = link.get("connection", "StandAlone")
        says_more = not (replication.is_off or replication.is_established)
        done = peer.get("done")
        return Status(
            resource=resource,
            role=Role(whole.get("role", "Unknown")),
            suspended=whole.get("suspended", "no"),
            minor=int(device["minor"]) if "minor" in device else None,
            disk=DiskState(device.get("disk", "Diskless")),
            size=_bytes(device.get("size")),
            connection=ConnectionState(replication if says_more else connection),
            replication=replication,
            peer_role=Role(link.get("role", "Unknown")),
            peer_disk=DiskState(peer.get("peer-disk", "DUnknown")),
            out_of_sync=_bytes(peer.get("out-of-sync")),
            done=float(done) if done else None,
            resync_suspended=peer.get("resync-suspended", "no"),
            upper_pending=int(device.get("upper-pending", "0")),
        )

    def statuses(self) -> dict[str, Status]:
        """Every resource that the kernel knows, by name."""
        seen = ((name, self.status(name)) for name in self._parts)
        return {name: status for name, status in seen if status is not None}


def parse_statuses(text: str) -> dict[str, Status]:
    """Read what `events2 --now --statistics` printed."""
    return picture(parse_event(line) for line in text.splitlines()).statuses()


def picture(events: Iterable[Event | None]) -> Picture:
    """Draw the picture that these events make together."""
    drawn = Picture()
    for event in events:
        if event is not None:
            drawn.see(event)
    return drawn


def _bytes(kib: str | None) -> int:
    # 8.4 says 2^64 - 1 sectors where a device without a disk has no size.
    number = int(kib or "0") * KIB
    return number if number < 2**62 else 0


def parse_progress(text: str, minor: int) -> float | None:
    """Read from /proc/drbd how many percent of a resync or a verification are done.

    Only 8.4 tells it there, and tells it nowhere else; None where nothing is under way. The
    amounts are read and not the percentage beside them: that one counts in units of 4 MiB,
    and says 20 % of a disk of 16 MiB before anything is done (drbd_get_syncer_progress).
    """
    section = re.search(rf"^ *{minor}: (.*?)(?=^ *\d+: |\Z)", text, re.MULTILINE | re.DOTALL)
    amounts = section and re.search(
        r"(?:sync'ed|verified): *[\d.]+% \((\d+)/(\d+)\)", section.group(1)
    )
    if not amounts:
        return None
    left, total = (int(amount) for amount in amounts.groups())
    return round(100 * (1 - left / total), 1) if 0 <= left <= total > 0 else 0.0


class Generations(Value, frozen=True, kw_only=True):
    """The UUIDs by which DRBD tells which data is newer, and flags from the metadata.

    `crashed`: the node died as Primary and the replicas have not been in step since, so that
    its bitmap counts all that it may just have been writing.
    """

    current: int
    bitmap: int
    history: tuple[int, ...] = ()
    consistent: bool = False
    up_to_date: bool = False
    crashed: bool = False

    @property
    def data(self) -> int:
        """Which data it is, whatever the role."""
        return self.current & ~PRIMARY_BIT

    @property
    def past(self) -> set[int]:
        """The generations that this data grew out of, as far as they are remembered."""
        return {uuid & ~PRIMARY_BIT for uuid in (self.bitmap, *self.history)} - {0}


def parse_generations(text: str) -> Generations:
    """Read what `get-gi` printed: four UUIDs in hexadecimal, then flags."""
    line = next(line for line in reversed(text.splitlines()) if line.count(":") >= 5)
    words = line.strip().split(":")
    uuids = [int(word, 16) for word in words[:4]]
    return Generations(
        current=uuids[0],
        bitmap=uuids[1],
        history=tuple(uuids[2:]),
        consistent=words[CONSISTENT] == "1",
        up_to_date=words[UP_TO_DATE] == "1",
        crashed=words[CRASHED : CRASHED + 1] == ["1"],
    )


def have_split(mine: Generations, theirs: Generations) -> bool:
    """Whether both sides wrote while disconnected: a split brain, told by the generations.

    Both grew out of the same one, and neither out of the other.
    """
    return (
        mine.data != theirs.data
        and mine.data not in theirs.past
        and theirs.data not in mine.past
        and bool(mine.past & theirs.past)
    )


def parse_options(text: str) -> dict[str, str]:
    """Read what `drbdsetup show --show-defaults` printed: every option by its name.

    The secret is left out: nothing that reads options has any business with it.
    """
    pairs = re.findall(r'^\s*([a-z0-9-]+)\s+"?([^\s";]*)"?;', text, re.MULTILINE)
    return {name: value for name, value in pairs if name != "shared-secret"}
