"""What stands in for libvirt, DRBD, LVM and bridges: as little as the operations ask for."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from mcv.drbd.status import Event, Generations, Status
from mcv.errors import CommandFailed, HypervisorFailed
from mcv.storage.lvm import Group, Volume
from mcv.vm.hypervisor import Capabilities, Definition

GIB = 1024**3


class FakeDomains:
    """Domains of one host: what is defined, and the state of what is active."""

    def __init__(self) -> None:
        self.defined: dict[str, str] = {}
        self.active: dict[str, str] = {}
        self.autostart: set[str] = set()
        self.broken: set[str] = set()

    def define(self, xml: str) -> None:
        name = xml.partition("<name>")[2].partition("</name>")[0]
        self._may("define", name)
        self.defined[name] = xml

    def undefine(self, name: str) -> None:
        self._may("undefine", name)
        self.defined.pop(name, None)

    def start(self, name: str) -> None:
        self._may("start", name)
        if name not in self.defined:
            raise HypervisorFailed(f"Could not start {name}: no such domain.")
        self.active[name] = "running"

    def stop(self, name: str) -> None:
        self.active.pop(name, None)

    def shutdown(self, name: str) -> None:
        self.active.pop(name, None)

    def pause(self, name: str) -> None:
        self.active[name] = "paused"

    def reset(self, name: str) -> None:
        self._may("reset", name)

    def state(self, name: str) -> str:
        return self.active.get(name, "stopped" if name in self.defined else "absent")

    def states(self) -> dict[str, str]:
        return {name: self.state(name) for name in {*self.defined, *self.active}}

    def definitions(self) -> dict[str, Definition]:
        return {
            name: Definition(xml=xml, persistent=True, autostart=name in self.autostart)
            for name, xml in self.defined.items()
        }

    def leave_to_mcv(self, name: str) -> None:
        self.autostart.discard(name)

    def is_active(self, name: str) -> bool:
        return name in self.active

    def vnc(self, name: str) -> str | None:
        return "127.0.0.1:5900" if name in self.active else None

    def capabilities(self) -> Capabilities:
        return Capabilities(emulators={"qemu": "/usr/bin/qemu-system-x86_64"})

    def _may(self, verb: str, name: str) -> None:
        if verb in self.broken or name in self.broken:
            raise HypervisorFailed(f"Could not {verb} {name}: it is broken.")


@dataclass
class Replica:
    """One side of a resource."""

    minor: int
    role: str = "Secondary"
    disk: str = "Inconsistent"


@dataclass
class World:
    """What the kernels of all hosts share: the replicas, and who is cut off from whom."""

    replicas: dict[str, dict[str, Replica]] = field(default_factory=dict)
    out_of_sync: dict[str, int] = field(default_factory=dict)
    down: set[str] = field(default_factory=set)


class FakeDrbd:
    """The DRBD of one host in a world of several."""

    def __init__(self, me: str, world: World) -> None:
        self.me = me
        self.world = world
        self.broken: set[str] = set()
        self.loaded = False
        self.kept: dict[str, str] = {}  # how the data of what is down is, by its metadata
        self.standalone: set[str] = set()
        self.generations: dict[str, Generations] = {}

    def load_module(self) -> None:
        self._may("load_module", "")
        self.loaded = True

    def versions(self) -> tuple[str, str]:
        return "8.4.11", "9.22.0"

    def generation(self) -> int:
        return 8

    def minors(self) -> list[int]:
        return [side.minor for sides in self.world.replicas.values() for side in sides.values()]

    def create_metadata(self, resource: str) -> None:
        self._may("create_metadata", resource)
        self.kept.pop(resource, None)

    def up(self, resource: str) -> None:
        self._may("up", resource)
        disk = self.kept.get(resource, "Inconsistent")
        self.world.replicas.setdefault(resource, {})[self.me] = Replica(100, disk=disk)

    def down(self, resource: str) -> None:
        self._may("down", resource)
        gone = self.world.replicas.get(resource, {}).pop(self.me, None)
        if gone is not None:
            self.kept[resource] = gone.disk

    def adjust(self, resource: str) -> None:
        self._may("adjust", resource)

    def new_current_uuid_clear_bitmap(self, resource: str, minor: int) -> None:
        self._may("birth", resource)
        for side in self.world.replicas[resource].values():
            side.disk = "UpToDate"

    def promote(self, resource: str) -> None:
        self._may("promote", resource)
        if any(side.role == "Primary" for side in self._others(resource).values()):
            raise CommandFailed("State change failed: (-1) Multiple primaries not allowed")
        self._mine(resource).role = "Primary"

    def demote(self, resource: str) -> None:
        self._may("demote", resource)
        self._mine(resource).role = "Secondary"

    def disconnect(self, resource: str) -> None:
        self._may("disconnect", resource)

    def connect(self, resource: str) -> None:
        if self._mine(resource).role == "Primary":
            self.world.out_of_sync.pop(resource, None)

    def outdate(self, resource: str) -> None:
        self._mine(resource).disk = "Outdated"

    def set_rate(self, resource: str, rate: int) -> None:
        self._may("set_rate", resource)

    def verify(self, resource: str) -> None:
        self._may("verify", resource)

    @contextmanager
    def events(self, resource: str) -> Iterator[Iterator[Event]]:
        def said(replication: str) -> Event:
            return Event(
                "change",
                "peer-device",
                {"name": resource, "replication": replication, "peer-disk": "UpToDate"},
            )

        ends = "Off" if "interrupt" in self.broken else "Established"
        yield iter([said("Established"), said("VerifyS"), said(ends)])

    def status(self, resource: str) -> Status | None:
        return self.statuses().get(resource)

    def statuses(self) -> dict[str, Status]:
        found = {}
        for resource, sides in self.world.replicas.items():
            if self.me not in sides:
                continue
            mine = sides[self.me]
            others = () if resource in self.standalone else sides.items()
            other = next((s for n, s in others if n != self.me and self._sees(n)), None)
            found[resource] = Status(
                resource=resource,
                minor=mine.minor,
                role=mine.role,
                disk=mine.disk,
                connection=self._connection(resource, bool(other)),
                replication="Established" if other else "Off",
                peer_role=other.role if other else "Unknown",
                peer_disk=other.disk if other else "DUnknown",
                out_of_sync=self.world.out_of_sync.get(resource, 0),
            )
        return found

    def _connection(self, resource: str, connected: bool) -> str:
        if resource in self.standalone:
            return "StandAlone"
        return "Connected" if connected else "Connecting"

    def generation_uuids(self, resource: str) -> Generations:
        return self.generations[resource]

    def _sees(self, node: str) -> bool:
        return node not in self.world.down and self.me not in self.world.down

    def _mine(self, resource: str) -> Replica:
        if self.me not in self.world.replicas.get(resource, {}):
            raise CommandFailed(f"{resource} is not up on {self.me}")
        return self.world.replicas[resource][self.me]

    def _others(self, resource: str) -> dict[str, Replica]:
        return {n: s for n, s in self.world.replicas[resource].items() if n != self.me}

    def _may(self, verb: str, resource: str) -> None:
        if verb in self.broken or resource in self.broken:
            raise CommandFailed(f"`drbdadm {verb} {resource}` exited with 17: State change failed")


class FakeLvm:
    """One volume group, vg0."""

    def __init__(self, size: int = 4 * GIB) -> None:
        self.size = size
        self.made: dict[str, int] = {}
        self.foreign: set[str] = set()
        self.broken: set[str] = set()

    def groups(self) -> dict[str, Group]:
        free = self.size - sum(self.made.values())
        return {"vg0": Group(self.size, free, 4 * 1024**2)}

    def volumes(self, group: str | None = None) -> list[Volume]:
        return [
            Volume("vg0", name, size, False, name not in self.foreign)
            for name, size in self.made.items()
        ]

    def volume(self, group: str, name: str) -> Volume | None:
        return next((one for one in self.volumes(group) if one.name == name), None)

    def let_go(self, group: str, name: str) -> None:
        if name in self.made:
            self.foreign.add(name)

    def create(self, group: str, name: str, size: int) -> None:
        if "create" in self.broken:
            raise CommandFailed("`lvcreate` exited with 5: insufficient free space")
        self.made[name] = size

    def remove(self, group: str, name: str) -> None:
        if "remove" in self.broken:
            raise CommandFailed("`lvremove` exited with 5: in use")
        self.made.pop(name, None)
        self.foreign.discard(name)

    def activate(self, group: str, name: str) -> None:
        pass

    def zero(self, path: str) -> None:
        pass


class FakeBridges:
    def __init__(self, names: tuple[str, ...] = ("br-lan",)) -> None:
        self.names = names

    def exists(self, name: str) -> bool:
        return name in self.names

    def list(self) -> list[str]:
        return list(self.names)
