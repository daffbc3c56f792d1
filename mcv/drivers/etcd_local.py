"""What this node has of its cluster's etcd: a certificate, a unit, and a way to the voters."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from msgspec import Struct

from mcv.document.etcd_voters import Voter
from mcv.drivers.etcd_unit import EtcdUnit
from mcv.errors import McvError, PeerUnreachable
from mcv.etcd.answers import Status
from mcv.etcd.config import Configuration, url
from mcv.etcd.gateway import Endpoint, Gateway
from mcv.etcd.members import Upkeep
from mcv.system.fanout import ask_all

VoterState = Literal["leader", "voter", "learner", "unreachable", "full"]

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
