"""etcd's members and their upkeep: who they are, how they are, and what keeps them so."""

import os
import re
from pathlib import Path

import msgspec

from mcv.errors import CallLost, NotFound, in_words
from mcv.etcd.answers import Acknowledged, Alarms, Member, Members, Status, Streamed, read
from mcv.etcd.gateway import Endpoint, Gateway
from mcv.etcd.requests import Nothing, Request

LIST = "/v3/cluster/member/list"
ADD = "/v3/cluster/member/add"
REMOVE = "/v3/cluster/member/remove"
PROMOTE = "/v3/cluster/member/promote"
UPDATE = "/v3/cluster/member/update"
STATUS = "/v3/maintenance/status"
ALARM = "/v3/maintenance/alarm"
DEFRAGMENT = "/v3/maintenance/defragment"
TRANSFER = "/v3/maintenance/transfer-leadership"
SNAPSHOT = "/v3/maintenance/snapshot"

CHANGE = 10.0  # s for a change of members: a majority has to agree, and a learner to be in step
REWRITE = 60.0  # s in which a member rewrites its whole file, serving nobody meanwhile
DIGEST = 32  # bytes at the end of a snapshot

_FSYNC = re.compile(
    r'^etcd_disk_wal_fsync_duration_seconds_bucket\{le="([^"]+)"\} (\S+)$', re.MULTILINE
)


class AddMember(Request, frozen=True, kw_only=True):
    """Add a member that has no vote until it is promoted."""

    peers: list[str] = msgspec.field(name="peerURLs")
    is_learner: bool = msgspec.field(name="isLearner")


class OfMember(Request, frozen=True, kw_only=True):
    """Remove or promote a member; its id as text, in which no digit is lost."""

    id: str = msgspec.field(name="ID")


class UpdateMember(Request, frozen=True, kw_only=True):
    """Reach a member by other URLs."""

    id: str = msgspec.field(name="ID")
    peers: list[str] = msgspec.field(name="peerURLs")


class ToMember(Request, frozen=True, kw_only=True):
    """Hand leadership over to a member."""

    id: str = msgspec.field(name="targetID")


class AlarmRequest(Request, frozen=True, kw_only=True):
    """Read the alarms, or call one off."""

    action: str
    member: str | None = msgspec.field(default=None, name="memberID")
    alarm: str | None = None


class Upkeep:
    """The members of one etcd."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def members(self) -> list[Member]:
        """The members, as the first that answers knows them. Raises PeerUnreachable."""
        return self._gateway.ask(LIST, Nothing(), Members).members

    def add_learner(self, peer: str) -> Member:
        """Add a member that follows, without a vote, by the URL at which its peers reach it.

        Raises Refused where it is one already or a learner is there already, CallLost where
        the outcome is not known.
        """
        request = AddMember(peers=[peer], is_learner=True)
        answer = self._gateway.ask(ADD, request, Members, writes=True)
        if answer.member is None:
            raise CallLost("etcd did not say which member it added.")
        return answer.member

    def promote(self, member: int) -> None:
        """Give a learner its vote; Refused while it is not in step."""
        self._gateway.ask(PROMOTE, OfMember(id=str(member)), Members, writes=True)

    def readdress(self, member: int, peer: str) -> None:
        """Have a member's peers reach it by this URL."""
        request = UpdateMember(id=str(member), peers=[peer])
        self._gateway.ask(UPDATE, request, Members, writes=True)

    def remove(self, member: int) -> None:
        """Remove a member; without effect where it is none. Refused where it would end quorum."""
        if any(each.id == member for each in self.members()):
            self._gateway.ask(REMOVE, OfMember(id=str(member)), Members, writes=True)

    def status(self, endpoint: Endpoint) -> Status:
        """The state of one member. Raises PeerUnreachable or CallLost without an answer."""
        return self._gateway.ask_one(endpoint, STATUS, Nothing(), Status)

    def move_leader(self, leader: Endpoint, to: int) -> None:
        """Have the leader hand over to another member."""
        request = ToMember(id=str(to))
        self._gateway.ask_one(leader, TRANSFER, request, Acknowledged, CHANGE)

    def alarms(self) -> Alarms:
        """The alarms that are raised."""
        return self._gateway.ask(ALARM, AlarmRequest(action="GET"), Alarms)

    def call_off(self, member: int, alarm: str) -> None:
        """Call an alarm off, after what raised it is mended."""
        request = AlarmRequest(action="DEACTIVATE", member=str(member), alarm=alarm)
        self._gateway.ask(ALARM, request, Alarms, writes=True)

    def defragment(self, endpoint: Endpoint) -> None:
        """Have one member give the room back that compaction freed; it serves nobody meanwhile."""
        self._gateway.ask_one(endpoint, DEFRAGMENT, Nothing(), Acknowledged, REWRITE)

    def fsync_seconds(self, endpoint: Endpoint) -> float | None:
        """In how many seconds 99 of 100 writes of one member's log were on its disk; None before
        the first."""
        return fsync_p99(self._gateway.text(endpoint, "/metrics"))

    def snapshot(self, endpoint: Endpoint, path: Path) -> None:
        """Keep a copy of one member's keys, durably; the file is there as a whole or not at all.

        Raises CallLost where the member stopped in the middle, SystemFailed without room.
        """
        draft = path.with_name(path.name + ".draft")
        with in_words(draft):
            try:
                with draft.open("wb") as file:
                    os.fchmod(file.fileno(), 0o600)
                    remaining = 1
                    for line in self._gateway.lines(endpoint, SNAPSHOT, Nothing(), REWRITE):
                        piece = read(endpoint.name, SNAPSHOT, line, Streamed).result
                        file.write(piece.blob)
                        remaining = piece.remaining_bytes
                    if remaining or file.tell() <= DIGEST:
                        raise CallLost(f"etcd on {endpoint.name} did not send its whole snapshot.")
                    file.flush()
                    os.fsync(file.fileno())
                draft.rename(path)
            finally:
                draft.unlink(missing_ok=True)

    def named(self, name: str) -> Member:
        """The member of this name. Raises NotFound."""
        for member in self.members():
            if member.name == name:
                return member
        raise NotFound(f"etcd has no member {name}.")


def fsync_p99(metrics: str) -> float | None:
    """The upper bound, in seconds, of the bucket in which the 99th of 100 fsyncs lies."""
    buckets = [(float(bound), float(count)) for bound, count in _FSYNC.findall(metrics)]
    total = buckets[-1][1] if buckets else 0
    if not total:
        return None
    return next(bound for bound, count in buckets if count >= 0.99 * total)
