"""What etcd can be asked about keys: read, change in one transaction, forget what is old."""

from collections.abc import Sequence
from typing import Protocol

from mcv.errors import Refused
from mcv.etcd.answers import Compacted, Done, Found, Header, Outcome
from mcv.etcd.gateway import Endpoint, Gateway
from mcv.etcd.requests import Compaction, Compare, Operation, Range, Transaction, end_of

RANGE = "/v3/kv/range"
TXN = "/v3/kv/txn"
COMPACTION = "/v3/kv/compaction"

COMPACTED = 60.0  # s in which a member forgets all that was overwritten


class Keyspace(Protocol):
    """The keys of one etcd, as those need them who keep something there."""

    def read(self, key: bytes, range_end: bytes | None = None) -> Found:
        """A key or a range, as a majority has it. Raises PeerUnreachable."""

    def below(self, prefix: bytes) -> Found:
        """Every key that begins with a prefix."""

    def read_locally(self, key: bytes, range_end: bytes | None = None) -> Found:
        """As one member alone has it: it may be old."""

    def each(self) -> "Sequence[Keyspace]":
        """The keys as each member has them by itself."""

    def change(
        self,
        compares: Sequence[Compare],
        operations: Sequence[Operation],
        otherwise: Sequence[Operation] = (),
    ) -> Outcome:
        """One transaction. Raises PeerUnreachable, Refused or CallLost, see `Etcd.change`."""


class OneMember:
    """What one member of etcd holds by itself: it may be old, and nothing is changed by it."""

    def __init__(self, etcd: Keyspace) -> None:
        self._etcd = etcd

    def read(self, key: bytes, range_end: bytes | None = None) -> Found:
        return self._etcd.read_locally(key, range_end)

    def below(self, prefix: bytes) -> Found:
        return self.read(prefix, end_of(prefix))

    def read_locally(self, key: bytes, range_end: bytes | None = None) -> Found:
        return self.read(key, range_end)

    def each(self) -> Sequence[Keyspace]:
        return [self]

    def change(
        self,
        compares: Sequence[Compare],
        operations: Sequence[Operation],
        otherwise: Sequence[Operation] = (),
    ) -> Outcome:
        """Reads alone, without a comparison. Raises Refused for anything else."""
        ranges = [each.request_range for each in operations if each.request_range is not None]
        if compares or len(ranges) < len(operations):
            raise Refused("One member of etcd changes nothing.")
        found = [self.read(each.key, each.range_end) for each in ranges]
        header = found[-1].header if found else Header()
        done = [Done(response_range=each) for each in found]
        return Outcome(header=header, succeeded=True, responses=done)


class Etcd:
    """The keys of one etcd. Every read is linearizable unless its name says otherwise."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway

    def read(self, key: bytes, range_end: bytes | None = None) -> Found:
        """A key or a range, as a majority has it. Raises PeerUnreachable."""
        return self.gateway.ask(RANGE, Range(key=key, range_end=range_end), Found)

    def below(self, prefix: bytes) -> Found:
        """Every key that begins with a prefix."""
        return self.read(prefix, end_of(prefix))

    def read_locally(self, key: bytes, range_end: bytes | None = None) -> Found:
        """As the first member that answers has it, without a majority: it may be old."""
        return self.gateway.ask(
            RANGE, Range(key=key, range_end=range_end, serializable=True), Found
        )

    def each(self) -> Sequence[Keyspace]:
        """The keys as each member has them by itself."""
        return [OneMember(Etcd(self.gateway.only(endpoint))) for endpoint in self.gateway.endpoints]

    def change(
        self,
        compares: Sequence[Compare],
        operations: Sequence[Operation],
        otherwise: Sequence[Operation] = (),
    ) -> Outcome:
        """Carry the operations out if every comparison holds, else those of `otherwise`.

        Raises PeerUnreachable, or Refused, where nothing was changed; CallLost where that is
        not known.
        """
        request = Transaction(compare=compares, success=operations, failure=otherwise)
        return self.gateway.ask(TXN, request, Outcome, writes=True)

    def compact(self, revision: int, at: Endpoint) -> None:
        """Have a member forget what was overwritten before a revision, and say when it has.

        The others forget it too, each in its own time. Raises Refused where it was asked for
        already, CallLost where the member does not say in time that it has.
        """
        request = Compaction(revision=revision, physical=True)
        self.gateway.ask_one(at, COMPACTION, request, Compacted, COMPACTED)
