"""Changes of who votes in etcd: each is tried until etcd has made it, and harmless if it has.

etcd refuses a change of members until all voters have been connected for 5 s, and a member that
answers late may have made it: so each attempt looks first.
"""

import contextlib
import time
from collections.abc import Callable
from typing import TypeVar

from mcv.errors import Busy, CallLost, McvError, PeerUnreachable, Refused
from mcv.etcd.answers import Member
from mcv.etcd.client import Etcd
from mcv.etcd.config import url
from mcv.etcd.gateway import Endpoint, Gateway
from mcv.etcd.members import Upkeep
from mcv.system.fanout import ask_all

A = TypeVar("A")

CHANGE = 45.0  # s for one change of members, which waits until all voters are connected
REFUSED = 8.0  # s for which a refusal may be of a member that has not seen the last change yet
ASK = 1.5  # s that a voter has to tell its state
PAUSE = 0.3


class Voting:
    """The members of one etcd. `gateway` reaches those that vote."""

    def __init__(self, gateway: Gateway, peer_port: int) -> None:
        self._gateway = gateway
        self._upkeep = Upkeep(gateway)
        self._peer_port = peer_port

    def add(self, name: str, address: str, has_data: bool) -> bool:
        """Add a learner; whether it has to begin without data.

        One that is there and has no data any more is removed before: it would not be let in
        under its old id. Raises Refused, Busy, PeerUnreachable or CallLost.
        """
        is_new = not has_data
        found = self._found(name, address)
        if found is not None and found.name and not has_data:
            self.remove(name, address)
        persist(lambda: self._added(name, address))
        return is_new or found is None

    def _added(self, name: str, address: str) -> None:
        if self._found(name, address) is None:
            self._upkeep.add_learner(url(address, self._peer_port))

    def promote(self, name: str, address: str, seconds: float = CHANGE) -> None:
        """Wait until a learner is in step, and give it its vote. Raises as `add`."""

        def attempt() -> None:
            found = self._found(name, address)
            if found is None:
                raise Refused(f"etcd has no member {name}.")
            if found.is_learner:
                self._upkeep.promote(found.id)

        persist(attempt, seconds, refused=seconds)

    def remove(self, name: str, address: str) -> None:
        """Take a member out, whether it votes or not. Raises as `add`."""

        def attempt() -> None:
            found = self._found(name, address)
            if found is not None:
                self._upkeep.remove(found.id)

        persist(attempt)

    def readdress(self, name: str, address: str) -> None:
        """Have its peers reach a member at this address. Raises as `add`."""
        peer = url(address, self._peer_port)

        def attempt() -> None:
            found = self._upkeep.named(name)
            if found.peers != [peer]:
                self._upkeep.readdress(found.id, peer)

        persist(attempt)

    def leader(self) -> str:
        """The name of the member that leads, "" where none is known."""
        statuses = self.statuses()
        leaders = {leader for leader in statuses.values() if leader}
        with contextlib.suppress(McvError):
            names = {each.id: each.name for each in self._upkeep.members()}
            return next((names[each] for each in leaders if each in names), "")
        return ""

    def statuses(self) -> dict[str, int]:
        """The id of the leader that each voter which answers follows; 0 where it knows none."""
        endpoints = {endpoint.name: endpoint for endpoint in self._gateway.endpoints}

        def ask(name: str, operation: str, timeout: float) -> int:
            status = self._upkeep.status(endpoints[name])
            return 0 if status.is_learner else status.leader

        answers = ask_all(ask, sorted(endpoints), "status", ASK)
        return {name: leader for name, leader in answers.items() if isinstance(leader, int)}

    def hand_over(self, name: str) -> None:
        """Have another voter lead, if this one does; where that fails, its end elects one."""
        if self.leader() != name:
            return
        followers = sorted(each for each, leader in self.statuses().items() if leader)
        heirs = [each for each in followers if each != name]
        own = next(endpoint for endpoint in self._gateway.endpoints if endpoint.name == name)
        with contextlib.suppress(McvError):
            ids = {each.name: each.id for each in self._upkeep.members()}
            if heirs:
                self._upkeep.move_leader(own, ids[heirs[0]])

    def _found(self, name: str, address: str) -> Member | None:
        """A member by its name, or by its address before it has started once."""
        peer = url(address, self._peer_port)
        members = self._upkeep.members()
        named = [each for each in members if each.name == name]
        unnamed = [each for each in members if not each.name and peer in each.peers]
        return next(iter(named + unnamed), None)


def await_in_step(gateway: Gateway, endpoint: Endpoint, seconds: float) -> None:
    """Wait until a voter answers a read that a majority confirms. Raises PeerUnreachable."""
    alone = gateway.only(endpoint)
    try:
        persist(lambda: Etcd(alone).read(b"/"), seconds)
    except McvError as error:
        raise PeerUnreachable(
            f"etcd on {endpoint.name} has started, and does not serve: {error.message}",
            f"Look there: journalctl -u mcv-etcd. {error.hint}".rstrip(),
        ) from error
    finally:
        alone.close()


def await_started(gateway: Gateway, endpoint: Endpoint, seconds: float) -> None:
    """Wait until a member, be it a learner, tells its state. Raises PeerUnreachable."""
    upkeep = Upkeep(gateway)
    try:
        persist(lambda: upkeep.status(endpoint), seconds)
    except McvError as error:
        raise PeerUnreachable(
            f"etcd on {endpoint.name} does not start: {error.message}",
            "Look there: journalctl -u mcv-etcd",
        ) from error


def persist(attempt: Callable[[], A], seconds: float = CHANGE, refused: float = REFUSED) -> A:
    """Try until it is done, or raise the last error when the time is over."""
    began = time.monotonic()
    while True:
        try:
            return attempt()
        except (CallLost, Refused) as error:
            may_pass = isinstance(error, Busy | PeerUnreachable | CallLost)
            limit = seconds if may_pass else min(seconds, refused)
            if time.monotonic() - began > limit:
                raise
        time.sleep(PAUSE)
