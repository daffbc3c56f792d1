"""The parts of a stand-in for DRBD: its module, its metadata, its verifications."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING

from msgspec.structs import replace

from mcv.drivers.drbd_status import Event, Generations, Status
from mcv.drivers.lvm import metadata_size
from mcv.errors import CommandFailed

if TYPE_CHECKING:
    from tests.fakes.drbd import FakeDrbd

JUST_CREATED = 4  # the generation that DRBD writes into new metadata


class FakeModule:
    def __init__(self, drbd: "FakeDrbd") -> None:
        self._drbd = drbd

    def load(self) -> None:
        self._drbd._may("load_module", "")
        self._drbd.loaded = True

    def versions(self) -> tuple[str, str]:
        return "8.4.11", "9.22.0"

    def missing(self) -> dict[str, str]:
        return self._drbd.lacks

    def complaint(self) -> str:
        return self._drbd.unreadable

    def generation(self) -> int:
        return self._drbd.release


class FakeMetadata:
    def __init__(self, drbd: "FakeDrbd") -> None:
        self._drbd = drbd

    def create(self, resource: str) -> None:
        self._drbd._minor("create_metadata", resource)
        if (up := self._drbd._replica(resource)) and up.disk != "Diskless":
            raise CommandFailed(f"`drbdadm create-md {resource}`: Device is configured!")
        self._drbd.created.append(resource)
        self._drbd.kept[resource] = "Inconsistent"
        self._drbd.generations[resource] = Generations(current=JUST_CREATED, bitmap=0)

    def new_current_uuid_clear_bitmap(self, resource: str, minor: int) -> None:
        self._drbd._may("birth", resource)
        mine, other = self._drbd._mine(resource), self._drbd._peer(resource)
        if other is None or mine.minor != minor:
            raise CommandFailed(
                "`drbdsetup new-current-uuid` exited with 10: Need to be StandAlone"
            )
        if {mine.disk, other.disk} == {"Inconsistent"}:
            self._drbd._agree(resource, self._drbd._begin())

    def new_current_uuid(self, resource: str, minor: int) -> None:
        self._drbd._minor("new-current-uuid", resource)
        if self._drbd._mine(resource).minor != minor or resource not in self._drbd.standalone:
            raise CommandFailed("`drbdsetup new-current-uuid` exited with 10: (151) connected")
        past = self._drbd.generations[resource]
        begun = Generations(current=self._drbd._begin(), bitmap=past.current)
        self._drbd.generations[resource] = begun

    def resize(self, resource: str) -> None:
        self._drbd._minor("resize", resource)
        mine, other = self._drbd._mine(resource), self._drbd._peer(resource)
        if "Primary" not in (mine.role, other.role if other else ""):
            raise CommandFailed(f"`drbdadm resize {resource}`: (130) need at least one primary")
        if other is None:
            raise CommandFailed(f"`drbdadm resize {resource}`: the peer is not there")
        volumes = [
            door.lvm.made.get(resource, 0)
            for door in self._drbd.world.doors.values()
            if door.lvm and door._replica(resource)
        ]
        smallest = min(volumes)
        room = (smallest - metadata_size(smallest)) // 4096 * 4096
        limit = self._drbd._size_in_file(resource)
        known = self._drbd.world.sizes.get(resource, 0)
        # With one side not extended it says yes and does nothing.
        self._drbd.world.sizes[resource] = max(known, min(room, limit or room))

    def generations(self, resource: str) -> Generations:
        self._drbd._minor("get-gi", resource)
        if resource not in self._drbd.generations:
            raise CommandFailed(f"`drbdadm get-gi {resource}` exited with 1: ")
        up = self._drbd._replica(resource)
        disk = self._drbd.kept.get(resource, "") if up is None else up.disk
        return replace(
            self._drbd.generations[resource],
            consistent=disk in ("UpToDate", "Consistent", "Outdated"),
            up_to_date=disk in ("UpToDate", "Consistent"),
        )


class FakeVerification:
    def __init__(self, drbd: "FakeDrbd") -> None:
        self._drbd = drbd
        self._news: dict[str, list[Event]] = {}
        self.begun = 0
        self.streams = 0  # that were opened
        self.unseen = 0  # verifications from now on whose events are lost
        self.skips = 0  # streams from now on that are lost while a verification is under way

    def set_rate(self, resource: str, rate: int) -> None:
        self._drbd._minor("set_rate", resource)
        self._drbd._mine(resource)

    def start(self, resource: str) -> None:
        self._drbd._minor("verify", resource)
        self.begun += 1
        mine, other = self._drbd._mine(resource), self._drbd._peer(resource)
        if other is None or {mine.disk, other.disk} != {"UpToDate"}:
            raise CommandFailed(f"`drbdadm verify {resource}`: Need a connection to start verify")
        if resource in self._drbd.world.verifying:
            raise CommandFailed(f"`drbdadm verify {resource}`: Concurrent verify/resync active")
        self._say(resource, "peer-device", replication="VerifyS")
        if "slow" in self._drbd.broken:
            self._drbd.world.verifying[resource] = self._drbd.me
        elif "interrupt" in self._drbd.broken:
            self.cut(resource)
        else:
            found = self._drbd.world.differs.pop(resource, 0) + self._drbd.world.out_of_sync.get(
                resource, 0
            )
            self._drbd.world.out_of_sync[resource] = found
            self._end_verification(resource)

    def stop(self, resource: str) -> None:
        self._drbd._minor("stop_verifying", resource)
        if self._drbd.world.verifying.pop(resource, None):
            self._end_verification(resource)

    def _end_verification(self, resource: str) -> None:
        found = str(self._drbd.world.out_of_sync.get(resource, 0) // 1024)
        if self.unseen:
            self.unseen -= 1
            self._news[resource].clear()
            return
        self._say(resource, "peer-device", replication="Established", **{"out-of-sync": found})

    def cut(self, resource: str) -> None:
        self._say(resource, "connection", connection="TearDown")
        self._say(resource, "peer-device", replication="Off", **{"peer-disk": "DUnknown"})

    @contextmanager
    def events(self, resource: str) -> Iterator[Iterator[Event]]:
        """All that exists, then what a verification says; it ends where nothing happens."""
        news = self._news[resource] = []
        now = self._drbd.status(resource)
        dump = [] if now is None else _dump(now)
        self.streams += 1
        yield chain([*dump, Event("exists", "-", {})], self._heard(resource, news))

    def _heard(self, resource: str, news: list[Event]) -> Iterator[Event]:
        while news or resource in self._drbd.world.verifying:
            if self.skips:
                self.skips -= 1
                return
            if news:
                yield news.pop(0)
            else:
                time.sleep(0.005)

    def _say(self, resource: str, kind: str, **fields: str) -> None:
        news = self._news.setdefault(resource, [])
        news.append(Event("change", kind, {"name": resource, **fields}))


def _dump(now: Status) -> list[Event]:
    """What events2 says of a resource as it is."""
    parts: dict[str, dict[str, str]] = {
        "resource": {"role": now.role},
        "connection": {
            "connection": "Connected" if now.connected else now.connection,
            "role": now.peer_role,
        },
        "device": {"disk": now.disk},
        "peer-device": {"replication": now.replication, "peer-disk": now.peer_disk},
    }
    return [
        Event("exists", kind, {"name": now.resource, **fields}) for kind, fields in parts.items()
    ]
