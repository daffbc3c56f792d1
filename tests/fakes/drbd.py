"""What stands in for DRBD: as tests/contract says of it, and no more than operations ask for."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from mcv.drivers.drbd_resource_file import size_in
from mcv.drivers.drbd_states import ConnectionState, DiskState, ReplicationState, Role
from mcv.drivers.drbd_status import Generations, Status, have_split
from mcv.drivers.open_devices import Holder
from mcv.errors import CommandFailed
from mcv.ha.gate import OPEN, Passage
from mcv.system import files
from tests.fakes.drbd_doors import JUST_CREATED, FakeMetadata, FakeModule, FakeVerification
from tests.fakes.volumes import FakeLvm

SIZE = 8 * 1024**2  # of a device whose file names no size and whose volumes nobody told of


@dataclass
class Replica:
    """One side of a resource that is up."""

    minor: int
    role: str = "Secondary"
    disk: str = "Inconsistent"
    known_of_peer: str = "DUnknown"  # what it goes by while they are apart


@dataclass
class World:
    """What the kernels of all hosts share: the replicas, and who is cut off from whom."""

    replicas: dict[str, dict[str, Replica]] = field(default_factory=dict)
    differs: dict[str, int] = field(default_factory=dict)  # that no verification has seen yet
    out_of_sync: dict[str, int] = field(default_factory=dict)
    verifying: dict[str, str] = field(default_factory=dict)  # resource -> where it was begun
    down: set[str] = field(default_factory=set)
    doors: dict[str, "FakeDrbd"] = field(default_factory=dict)
    met: set[str] = field(default_factory=set)  # resources whose replicas have found each other
    sizes: dict[str, int] = field(default_factory=dict)  # of the devices, in bytes
    invalidated: list[str] = field(default_factory=list)  # whose peer is to get all blocks
    begun: int = JUST_CREATED  # the last generation that began anywhere


class FakeDrbd:
    """The DRBD of one host in a world of several, that reads the files in a directory.

    Its fence-peer handler says of every peer that is away that it is dead.
    """

    def __init__(self, me: str, world: World, directory: Path) -> None:
        self.me = me
        self.world = world
        self.directory = directory
        self.broken: set[str] = set()
        self.gate: Passage = OPEN
        self.lacks: dict[str, str] = {}
        self.loaded = False
        self.words: dict[str, str] = {}  # the secret that the kernel has of each resource
        self.created: list[str] = []  # resources, each time that they got new metadata
        self.ports: dict[str, str] = {}  # where the kernel has each resource's connection
        self.unreadable = ""  # what drbdadm says of a foreign file
        self.release = 8
        self.kept: dict[str, str] = {}  # how the data is, by the metadata of what is down
        self.standalone: set[str] = set()
        self.two_primaries: set[str] = set()  # resources that may be primary on both sides
        self.discarding: set[str] = set()  # what gives up its data when it finds its peer
        self.suspended: set[str] = set()  # resources whose I/O waits for the handler's verdict
        self.verdict = 7  # what the handler says when it is asked again
        self.held: dict[str, list[Holder]] = {}  # what has a device open
        self.wrote: dict[str, int] = {}  # bytes since the peer was lost
        self.generations: dict[str, Generations] = {}
        self.pings: dict[str, str] = {}  # how often the kernel looks for each resource's peer
        self.lvm: FakeLvm | None = None  # what the volumes below are
        self.module = FakeModule(self)
        self.metadata = FakeMetadata(self)
        self.verification = FakeVerification(self)
        world.doors[me] = self

    def minors(self) -> list[int]:
        return sorted(one.minor for one in self.statuses().values() if one.minor is not None)

    def up(self, resource: str) -> None:
        minor = self._minor("up", resource)
        mine = self._replica(resource)
        self._require_no_shrinking(resource)
        if mine is None:
            mine = Replica(minor, disk="Diskless")
            self.world.replicas.setdefault(resource, {})[self.me] = mine
        if mine.disk == "Diskless":
            if resource not in self.kept:
                self.standalone.add(resource)
                raise CommandFailed(f"`drbdadm up {resource}`: No valid meta data found")
            disk = self.kept[resource]
            # Which of two is newer is known only when they have met.
            mine.disk = "Consistent" if disk == "UpToDate" else disk
            self._take_size(resource)
        self.standalone.discard(resource)
        self._take_options(resource)
        self._peer(resource)

    def options(self, resource: str) -> dict[str, str]:
        """What the kernel was told last, of what tests ask for."""
        return {"ping-int": self.pings.get(resource, "10")}

    def _take_options(self, resource: str) -> None:
        text = files.read_or_none(self.directory / f"{resource}.res") or ""
        found = re.search(r"ping-int (\d+);", text)
        self.pings[resource] = found[1] if found else "10"

    def down(self, resource: str) -> None:
        self._may("down", resource)
        gone = self._replica(resource)
        if gone is None:
            return
        if gone.disk != "Diskless":
            self.kept[resource] = "UpToDate" if gone.disk == "Consistent" else gone.disk
        del self.world.replicas[resource][self.me]
        self.two_primaries.discard(resource)
        self.standalone.discard(resource)
        self.world.met.discard(resource)

    def adjust(self, resource: str) -> None:
        self._minor("adjust", resource)
        self.up(resource)
        self._take_size(resource)
        mine, other = self._mine(resource), self._peer(resource)
        if other is None or (mine.role, other.role) != ("Primary", "Primary"):
            self.two_primaries.discard(resource)

    def promote(self, resource: str) -> None:
        may = {"UpToDate", "Consistent"}
        self.gate.begin(f"promote {resource}", lambda: self._promote(resource, may))

    def promote_by_force(self, resource: str) -> None:
        may = {"UpToDate", "Consistent", "Outdated", "Inconsistent"}
        self.gate.begin(f"promote {resource}", lambda: self._promote(resource, may))

    def demote(self, resource: str) -> None:
        self._may("demote", resource)
        if resource in self.held:
            raise CommandFailed("State change failed: (-12) Device is held open by someone")
        if (mine := self._replica(resource)) is not None:
            mine.role = "Secondary"

    def allow_two_primaries(self, resource: str) -> None:
        self._minor("allow", resource)
        self._mine(resource)
        self.two_primaries.add(resource)

    def allows_two_primaries(self, resource: str) -> bool:
        return resource in self.two_primaries

    def disconnect(self, resource: str) -> None:
        self._may("disconnect", resource)
        mine, other = self._replica(resource), self._peer(resource)
        if mine is None:
            return
        self.standalone.add(resource)
        self.discarding.discard(resource)
        if begun := self.world.verifying.pop(resource, None):
            self.world.doors[begun].verification.cut(resource)
        self.world.met.discard(resource)
        for one, two in ((mine, other), (other, mine)):
            if one is not None and two is not None and one.role == "Primary":
                # It tells who parts from it to be stale, so that nobody is primary beside it.
                one.known_of_peer, two.disk = "Outdated", "Outdated"

    def invalidate_remote(self, resource: str) -> None:
        self._minor("invalidate_remote", resource)
        if self._mine(resource).role != "Primary":
            raise CommandFailed(f"`drbdadm invalidate-remote {resource}` exited with 11: ")
        self.world.invalidated.append(resource)

    def detach(self, resource: str) -> None:
        """What an I/O error makes of a replica."""
        mine = self._mine(resource)
        self.kept[resource], mine.disk = "Outdated", "Diskless"

    def attach(self, resource: str) -> None:
        self._minor("attach", resource)
        mine = self._mine(resource)
        if mine.disk != "Diskless":
            return
        if resource not in self.kept:
            raise CommandFailed(f"`drbdadm attach {resource}`: No valid meta data found")
        mine.disk = self.kept[resource]
        self.world.met.discard(resource)
        self._peer(resource)

    def connect(self, resource: str) -> None:
        self._minor("connect", resource)
        self._mine(resource)
        self.standalone.discard(resource)
        self._peer(resource)

    def connect_discarding(self, resource: str) -> None:
        self._minor("connect_discarding", resource)
        if resource not in self.standalone or self._mine(resource).role == "Primary":
            raise CommandFailed(f"`drbdadm connect --discard-my-data {resource}` exited with 10: ")
        self.discarding.add(resource)
        self.connect(resource)

    def ask_handler_again(self, resource: str) -> None:
        self._minor("ask_handler_again", resource)
        self._mine(resource)
        if resource in self.standalone:
            raise CommandFailed(f"`drbdadm disconnect --force {resource}`: it looks for no peer")
        self.standalone.add(resource)
        if self.verdict in (3, 4, 5, 7):
            self.suspended.discard(resource)

    def holders(self, resource: str) -> list[Holder]:
        return self.held.get(resource, [])

    def outdate(self, resource: str) -> None:
        self._minor("outdate", resource)
        mine = self._replica(resource)
        if mine is None:
            if self.kept.get(resource) not in ("UpToDate", "Outdated"):
                raise CommandFailed(f"`drbdadm outdate {resource}`: Device is inconsistent.")
            self.kept[resource] = "Outdated"
            return
        if self._peer(resource) is not None or mine.role == "Primary":
            raise CommandFailed(f"`drbdadm outdate {resource}` changed nothing.")
        mine.disk = "Outdated"

    def clear_outdated(self, resource: str, minor: int, backing: str) -> None:
        self.gate.begin(f"take {resource} as it is", lambda: self._clear_mark(resource))

    def _clear_mark(self, resource: str) -> None:
        self._minor("clear_outdated", resource)
        self.down(resource)
        if self.kept.get(resource) not in ("Outdated", "UpToDate"):
            raise CommandFailed(f"{resource} is not consistent: it cannot be taken.")
        self.kept[resource] = "UpToDate"
        self.up(resource)

    def status(self, resource: str) -> Status | None:
        return self.statuses().get(resource)

    def statuses(self) -> dict[str, Status]:
        return {
            resource: self._seen(resource, sides[self.me])
            for resource, sides in list(self.world.replicas.items())
            if self.me in sides
        }

    # What the kernel does by itself

    def _seen(self, resource: str, mine: Replica) -> Status:
        other = self._peer(resource)
        alone = "StandAlone" if resource in self.standalone else "Connecting"
        begun_with = self.generations.get(resource)
        is_new = begun_with is not None and begun_with.current == JUST_CREATED
        verifying = self.world.verifying.get(resource, "")
        work = {"": "", self.me: "VerifyS"}.get(verifying, "VerifyT") if other else ""
        return Status(
            resource=resource,
            minor=mine.minor,
            role=Role(mine.role),
            suspended="fencing" if resource in self.suspended else "no",
            disk=DiskState(mine.disk),
            size=0 if mine.disk == "Diskless" else self.world.sizes.get(resource, SIZE),
            connection=ConnectionState(work or ("Connected" if other else alone)),
            replication=ReplicationState(work or ("Established" if other else "Off")),
            peer_role=Role(other.role if other else "Unknown"),
            peer_disk=DiskState(other.disk if other else mine.known_of_peer),
            out_of_sync=self.wrote.get(resource, 0)
            + self.world.out_of_sync.get(resource, SIZE if is_new else 0),
        )

    def _promote(self, resource: str, disks: set[str]) -> None:
        self._minor("promote", resource)
        mine, other = self._mine(resource), self._peer(resource)
        if mine.role == "Primary":
            return
        if mine.disk not in disks:
            raise CommandFailed("State change failed: (-2) Need access to UpToDate data")
        allowed = any(resource in door.two_primaries for door in self.world.doors.values())
        if other is not None and other.role == "Primary" and not allowed:
            raise CommandFailed("State change failed: (-1) Multiple primaries not allowed")
        if other is None:
            mine.known_of_peer = "Outdated"
            # One that is alone begins a generation once, until it has met its peer.
            if (past := self.generations[resource]).bitmap == 0:
                self.generations[resource] = Generations(current=self._begin(), bitmap=past.current)
        mine.role, mine.disk = "Primary", "UpToDate"

    def _meet(self, resource: str, peer: "FakeDrbd") -> None:
        """Two replicas find each other: the newer is copied, and those that have split part."""
        sides = [self._mine(resource), peer._mine(resource)]
        mine, theirs = self.generations[resource], peer.generations[resource]
        disks = {side.disk for side in sides}
        if "Diskless" in disks:
            return
        words = [door.words[resource] for door in (self, peer) if resource in door.words]
        if len(set(words)) > 1:
            # Neither believes the other, and neither tries again by itself.
            self.standalone.add(resource)
            peer.standalone.add(resource)
            return
        giving_up = [one for one in (self, peer) if resource in one.discarding]
        if have_split(mine, theirs) and len(giving_up) == 1:
            kept = mine if giving_up == [peer] else theirs
            self._agree(resource, kept.current)
        elif have_split(mine, theirs):
            self.standalone.add(resource)
            peer.standalone.add(resource)
        elif disks != {"Inconsistent"}:
            if any(side.role == "Primary" for side in sides) or "Outdated" in disks:
                self.world.out_of_sync.pop(resource, None)
            older = mine.current in (JUST_CREATED, theirs.bitmap)
            self._agree(resource, (theirs if older else mine).current)

    def _agree(self, resource: str, generation: int) -> None:
        port = self.ports.get(resource)
        for node, side in self.world.replicas[resource].items():
            if port not in (None, self._port_at(node, resource)):
                continue
            side.disk, side.known_of_peer = "UpToDate", "DUnknown"
            door = self.world.doors[node]
            door.generations[resource] = Generations(current=generation, bitmap=0)
            door.wrote.pop(resource, None)
            door.discarding.discard(resource)

    def _begin(self) -> int:
        # The last bit of a generation only tells a role.
        self.world.begun += 2
        return self.world.begun

    # Who is there

    def _replica(self, resource: str) -> Replica | None:
        return self.world.replicas.get(resource, {}).get(self.me)

    def _mine(self, resource: str) -> Replica:
        mine = self._replica(resource)
        if mine is None:
            raise CommandFailed(f"{resource} exited with 10: unknown resource")
        return mine

    def _peer(self, resource: str) -> Replica | None:
        """The other side, if this one and it are in contact; they meet when they first are."""
        door = self._in_touch(resource)
        if door is None:
            # A third replica, left on another port, has not met the two that have.
            if len(self.world.replicas.get(resource, {})) < 3:
                self.world.met.discard(resource)
        elif resource not in self.world.met:
            self.world.met.add(resource)
            self._meet(resource, door)
            door = self._in_touch(resource)
        return None if door is None else door._replica(resource)

    def _in_touch(self, resource: str) -> "FakeDrbd | None":
        """The door of the peer's host, where nothing is between the replicas."""
        others = self.world.replicas.get(resource, {}).keys() - {self.me}
        port = self.ports.get(resource)
        there = (node for node in others if port in (None, self._port_at(node, resource)))
        here = (self.me, *there)
        doors = [self.world.doors[node] for node in here]
        apart = any(
            one.me in self.world.down
            or resource in one.standalone
            or one._replica(resource) is None
            for one in doors
        )
        return None if apart or len(doors) < 2 else doors[1]

    def _port_at(self, node: str, resource: str) -> str | None:
        """Where a node's kernel has the connection; as here, where nobody told it."""
        return self.world.doors[node].ports.get(resource, self.ports.get(resource))

    def _minor(self, verb: str, resource: str) -> int:
        """The device number that the resource's file gives it; without a file drbdadm refuses."""
        self._may(verb, resource)
        text = files.read_or_none(self.directory / f"{resource}.res") or ""
        found = re.search(r" minor (\d+);", text)
        if found is None:
            raise CommandFailed(f"'{resource}' not defined in your config (for this host).")
        if verb in ("up", "adjust", "connect", "connect_discarding"):
            word = re.search(r'shared-secret "(.*)";', text)
            self.words[resource] = word.group(1) if word else ""
            address = re.search(r" address .*:(\d+);", text)
            port = address.group(1) if address else ""
            if self.ports.get(resource, port) != port:
                self.world.met.discard(resource)
            self.ports[resource] = port
        return int(found.group(1))

    def _size_in_file(self, resource: str) -> int | None:
        return size_in(files.read_or_none(self.directory / f"{resource}.res") or "")

    def _require_no_shrinking(self, resource: str) -> None:
        size, now = self._size_in_file(resource), self.status(resource)
        if size is not None and now is not None and size < now.size:
            raise CommandFailed(f"{resource}.res gives the device {size} bytes, it has {now.size}")

    def _take_size(self, resource: str) -> None:
        """The device is as large as the file says; the end of a larger one is cut off."""
        if (size := self._size_in_file(resource)) is not None:
            self.world.sizes[resource] = size

    def _may(self, verb: str, resource: str) -> None:
        if verb in self.broken or resource in self.broken:
            raise CommandFailed(f"`drbdadm {verb} {resource}` exited with 17: State change failed")
