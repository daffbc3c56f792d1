"""What this node has of its cluster's etcd: a certificate, a unit, and a way to the voters."""

import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from msgspec import Struct

from mcv.document.etcd_voters import Voter
from mcv.drivers.etcd_unit import EtcdUnit
from mcv.errors import CallLost, McvError, PeerUnreachable, Refused
from mcv.etcd.answers import Status
from mcv.etcd.client import Etcd
from mcv.etcd.config import QUOTA, Configuration, url
from mcv.etcd.gateway import Endpoint, Gateway
from mcv.etcd.members import Upkeep
from mcv.system.fanout import ask_all

log = logging.getLogger(__name__)

VoterState = Literal["leader", "voter", "learner", "unreachable", "full"]

FILLING = 0.25  # of the quota, from which on room is made
ASK = 1.5  # s that a voter has to tell its state
PAUSE = 0.3  # s between two looks at what starts


class VoterShown(Struct, frozen=True, kw_only=True):
    """One voter's state, the bytes of its keys, and in how many ms 99 of 100 writes are on its
    disk, None where it did not tell."""

    name: str
    state: VoterState
    fsync_ms: float | None = None
    size: int = 0


class LocalEtcd:
    """This node's part. `reach` makes a gateway to voters; `certify` this node's certificate."""

    def __init__(
        self,
        unit: EtcdUnit,
        key: Path,
        ports: tuple[int, int],
        certify: Callable[[str], str],
        reach: Callable[[Sequence[Voter]], Gateway],
    ) -> None:
        self.unit = unit
        self._key = key
        self._port, self._peer_port = ports
        self.certificate = certify
        self._reach = reach
        self.quota = QUOTA

    def set_up(
        self, name: str, cluster: str, members: Mapping[str, str], bundle: str, pace: int
    ) -> None:
        """Write what etcd starts by, as one of members that begin together; see EtcdUnit.set_up.

        `members` are their cluster addresses by name, this node's among them.
        """
        configuration = Configuration(
            name=name,
            address=members[name],
            port=self._port,
            peer_port=self._peer_port,
            cluster=cluster,
            members={each: url(at, self._peer_port) for each, at in members.items()},
            state="new",
            directory=self.unit.directory,
            key=self._key,
            pace=pace,
            quota=self.quota,
        )
        self.unit.set_up(configuration, self.certificate(members[name]), bundle)

    def await_voters(self, name: str, voters: Sequence[Voter], seconds: float) -> None:
        """Wait until this node's etcd answers for a majority and knows that all have started.

        Raises PeerUnreachable, naming those that have not, when the time is over.
        """
        gateway = self._reach(sorted(voters, key=lambda voter: voter.name != name))
        own, *others = gateway.endpoints
        until = time.monotonic() + seconds
        try:
            while (missing := _missing(gateway, own, others)) and time.monotonic() < until:
                time.sleep(PAUSE)
        finally:
            gateway.close()
        if missing:
            raise PeerUnreachable(
                f"etcd of {' and '.join(sorted(missing))} has not started, as {name} sees it.",
                "Look there: journalctl -u mcv-etcd",
            )
        self.unit.mark()

    def keep_room(self, name: str, voters: Sequence[Voter]) -> bool:
        """Make room in every voter where this node's leads and one is filling up; whether it did.

        What was overwritten is forgotten first. Then one member after the other rewrites its file,
        the leader last, and an alarm is called off. Raises PeerUnreachable, or CallLost.
        """
        gateway = self._reach(voters)
        upkeep = Upkeep(gateway)
        own = next(endpoint for endpoint in gateway.endpoints if endpoint.name == name)
        try:
            status = upkeep.status(own)
            if status.leader != status.header.member_id:
                return False
            alarms = upkeep.alarms().alarms
            others = [endpoint for endpoint in gateway.endpoints if endpoint != own]
            order = [endpoint for endpoint in [*others, own] if self._fills(upkeep, endpoint)]
            if not (order or alarms):
                return False
            log.warning("etcd fills up: %s", ", ".join(each.name for each in order) or "an alarm")
            with contextlib.suppress(Refused):  # it is compacted to there already
                Etcd(gateway).compact(status.header.revision)
            for endpoint in order:
                upkeep.defragment(endpoint)
            for alarm in alarms:
                if alarm.alarm == "NOSPACE":
                    upkeep.call_off(alarm.member, alarm.alarm)
            return True
        finally:
            gateway.close()

    def _fills(self, upkeep: Upkeep, endpoint: Endpoint) -> bool:
        try:
            return upkeep.status(endpoint).size > self.quota * FILLING
        except (PeerUnreachable, CallLost):
            return False

    def shown(self, voters: Sequence[Voter]) -> list[VoterShown]:
        """The state of each voter; all are asked side by side."""
        gateway = self._reach(voters)
        endpoints = {endpoint.name: endpoint for endpoint in gateway.endpoints}

        def ask(name: str, operation: str, timeout: float) -> VoterShown:
            return _state_of(Upkeep(gateway), endpoints[name])

        try:
            answers = ask_all(ask, sorted(endpoints), "status", ASK)
        finally:
            gateway.close()
        return [
            answer if isinstance(answer, VoterShown) else VoterShown(name=name, state="unreachable")
            for name, answer in answers.items()
        ]


def _missing(gateway: Gateway, own: Endpoint, others: Sequence[Endpoint]) -> set[str]:
    """Who does not answer, or knows no leader: then there is no majority with it."""
    upkeep = Upkeep(gateway)
    endpoints = {endpoint.name: endpoint for endpoint in (own, *others)}

    def ask(name: str, operation: str, timeout: float) -> int:
        return upkeep.status(endpoints[name]).leader

    answers = ask_all(ask, sorted(endpoints), "status", ASK)
    return {name for name, leader in answers.items() if isinstance(leader, McvError) or not leader}


def _state_of(upkeep: Upkeep, endpoint: Endpoint) -> VoterShown:
    status = upkeep.status(endpoint)
    fsync = upkeep.fsync_seconds(endpoint)
    return VoterShown(
        name=endpoint.name,
        state=_word(status),
        fsync_ms=None if fsync is None or fsync == float("inf") else round(fsync * 1000, 3),
        size=status.size,
    )


def _word(status: Status) -> VoterState:
    if any("NOSPACE" in error for error in status.errors):
        return "full"
    if status.is_learner:
        return "learner"
    return "leader" if status.leader == status.header.member_id else "voter"
