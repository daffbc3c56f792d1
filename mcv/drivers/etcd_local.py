"""What this node has of its cluster's etcd: a certificate, a unit, and a way to the voters."""

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, Protocol

from msgspec import Struct

from mcv.document import etcd_voters
from mcv.document.etcd_voters import Terms, Voter
from mcv.drivers.etcd_room import make_room
from mcv.drivers.etcd_unit import EtcdUnit
from mcv.drivers.etcd_voting import ASK, PAUSE, Voting, await_in_step, await_started
from mcv.errors import CallLost, McvError, PeerUnreachable
from mcv.etcd.answers import Status
from mcv.etcd.config import QUOTA, Configuration, State, url
from mcv.etcd.gateway import Endpoint, Gateway
from mcv.etcd.members import Upkeep
from mcv.system.fanout import ask_all

log = logging.getLogger(__name__)

VoterState = Literal["leader", "voter", "learner", "unreachable", "full"]

FILLING = 0.25  # of the quota, from which on room is made
START = 60.0  # s that etcd has to serve after a start
SPARE = 20.0  # s for which a restart waits until the others are a majority without it


class VoterShown(Struct, frozen=True, kw_only=True):
    """One voter's state, the bytes of its keys, and in how many ms 99 of 100 writes are on its
    disk, None where it did not tell."""

    name: str
    state: VoterState
    fsync_ms: float | None = None
    size: int = 0


class Certificates(Protocol):
    """This node's certificate for etcd; see mcv.rpc.etcd_certificates."""

    def kept(self, address: str) -> str: ...

    def anew(self, address: str) -> str: ...

    def keep(self, certificate: str) -> None: ...


class LocalEtcd:
    """This node's part. `reach` makes a gateway to voters."""

    def __init__(
        self,
        unit: EtcdUnit,
        key: Path,
        ports: tuple[int, int],
        certificates: Certificates,
        reach: Callable[[Sequence[Voter]], Gateway],
    ) -> None:
        self.unit = unit
        self._key = key
        self._port, self._peer_port = ports
        self._certificates = certificates
        self._reach = reach
        self.quota = QUOTA

    def certificate(self, address: str) -> str:
        """This node's certificate for etcd at an address, made at the first question."""
        return self._certificates.kept(address)

    def certificate_anew(self, address: str) -> str:
        """Another one, for an address that this node is about to have."""
        return self._certificates.anew(address)

    def set_up(self, name: str, terms: Terms, state: State) -> None:
        """Write what etcd starts by; see EtcdUnit.set_up.

        The voters of the terms begin together where it is "new"; else this node joins them, and
        is among them.
        """
        certificate = _own(name, terms).certificate
        self.unit.set_up(self._configuration(name, terms, state), certificate, terms.bundle)

    def _configuration(self, name: str, terms: Terms, state: State) -> Configuration:
        return Configuration(
            name=name,
            address=_own(name, terms).address,
            port=self._port,
            peer_port=self._peer_port,
            cluster=terms.cluster,
            members={each.name: url(each.address, self._peer_port) for each in terms.voters},
            state=state,
            directory=self.unit.directory,
            key=self._key,
            pace=terms.pace,
            quota=self.quota,
        )

    # As the document says

    def runs_by(self, name: str, terms: Terms) -> bool:
        """Whether etcd here was started by these terms."""
        configuration = self._configuration(name, terms, "existing")
        return self.unit.runs_by(configuration, _own(name, terms).certificate, terms.bundle)

    def follow(self, name: str, terms: Terms, patience: float = SPARE) -> bool:
        """Have etcd here run by these terms; whether it was restarted for that.

        It is waited for until a majority serves without this voter, and no longer than patience
        seconds. Leadership is handed over before. Raises PeerUnreachable where etcd does not
        serve afterwards; Refused where its data are gone.
        """
        if self.runs_by(name, terms):
            return False
        own = _own(name, terms)
        with self._gateway(terms.voters, name) as gateway:
            voting = Voting(gateway, self._peer_port)
            voting.readdress(name, own.address)
            _await_spare(voting, name, len(terms.voters), patience)
            voting.hand_over(name)
            self.set_up(name, terms, "existing")
            self._certificates.keep(own.certificate)
            self.unit.restart()
            await_in_step(gateway, _endpoint(gateway, name), START)
        self.unit.mark()
        return True

    def has_spare(self, name: str, voters: Sequence[Voter]) -> bool:
        """Whether a majority serves without this node's voter."""
        with self._gateway(voters, name) as gateway:
            return _is_spare(Voting(gateway, self._peer_port), name, len(voters))

    def begin(self, name: str, terms: Terms, is_fresh: bool) -> None:
        """Start etcd here as a learner that was added, or as the one that it is already.

        `is_fresh`: what is left of an earlier member is deleted first. Raises PeerUnreachable
        where it does not start.
        """
        if is_fresh:
            self.unit.discard()
        self.set_up(name, terms, "existing")
        self.unit.start()
        with self._gateway(terms.voters, name) as gateway:
            await_started(gateway, _endpoint(gateway, name), START)
        self.unit.mark()

    # Who votes

    def add(self, voters: Sequence[Voter], new: Voter, has_data: bool) -> bool:
        """Add a learner to voters; whether it begins without data. See Voting.add."""
        with self._voting(voters) as voting:
            return voting.add(new.name, new.address, has_data)

    def promote(self, voters: Sequence[Voter], new: Voter) -> None:
        """Wait until a learner is in step, and give it its vote."""
        with self._voting(voters) as voting:
            voting.promote(new.name, new.address)

    def remove(self, voters: Sequence[Voter], leaving: Voter) -> None:
        """Take a member out of etcd; harmless where it is none."""
        with self._voting(voters) as voting:
            voting.remove(leaving.name, leaving.address)

    def leader(self, voters: Sequence[Voter]) -> str:
        """The name of the voter that leads, "" where none is known."""
        with self._voting(voters) as voting:
            return voting.leader()

    def hand_over(self, voters: Sequence[Voter], name: str) -> None:
        """Have another voter lead, if this one does."""
        with self._voting(voters) as voting:
            voting.hand_over(name)

    def snapshot(self, name: str, voters: Sequence[Voter], path: Path) -> None:
        """Keep what etcd holds in a file: of this node's voter, else of the first that answers.

        Raises PeerUnreachable or CallLost, SystemFailed without room.
        """
        with self._gateway(voters, name) as gateway:
            problem: McvError = PeerUnreachable("No member of etcd is known.")
            for endpoint in gateway.endpoints:
                try:
                    Upkeep(gateway).snapshot(endpoint, path)
                except (PeerUnreachable, CallLost) as error:
                    problem = error
                else:
                    return
            raise problem

    @contextlib.contextmanager
    def _gateway(self, voters: Sequence[Voter], first: str = "") -> Iterator[Gateway]:
        gateway = self._reach(sorted(voters, key=lambda voter: voter.name != first))
        try:
            yield gateway
        finally:
            gateway.close()

    @contextlib.contextmanager
    def _voting(self, voters: Sequence[Voter]) -> Iterator[Voting]:
        with self._gateway(voters) as gateway:
            yield Voting(gateway, self._peer_port)

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
        """Make room in every voter where this node's leads; whether it did. See etcd_room."""
        with self._gateway(voters, name) as gateway:
            return make_room(gateway, _endpoint(gateway, name), self.quota * FILLING)

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


def _own(name: str, terms: Terms) -> Voter:
    return next(voter for voter in terms.voters if voter.name == name)


def _endpoint(gateway: Gateway, name: str) -> Endpoint:
    return next(endpoint for endpoint in gateway.endpoints if endpoint.name == name)


def _is_spare(voting: Voting, name: str, count: int) -> bool:
    serving = {each for each, leader in voting.statuses().items() if leader} - {name}
    return etcd_voters.has_quorum(len(serving), count)


def _await_spare(voting: Voting, name: str, count: int, patience: float) -> None:
    until = time.monotonic() + patience
    while not _is_spare(voting, name, count) and time.monotonic() < until:
        time.sleep(PAUSE)


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
