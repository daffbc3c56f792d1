"""What etcd can be asked about keys: read, change in one transaction, forget what is old."""

from collections.abc import Sequence
from typing import Protocol

from mcv.etcd.answers import Compacted, Found, Outcome
from mcv.etcd.gateway import Gateway
from mcv.etcd.requests import Compaction, Compare, Operation, Range, Transaction, end_of

RANGE = "/v3/kv/range"
TXN = "/v3/kv/txn"
COMPACTION = "/v3/kv/compaction"


class Keyspace(Protocol):
    """The keys of one etcd, as those need them who keep something there."""

    def read(self, key: bytes, range_end: bytes | None = None) -> Found:
        """A key or a range, as a majority has it. Raises PeerUnreachable."""

    def below(self, prefix: bytes) -> Found:
        """Every key that begins with a prefix."""

    def read_locally(self, key: bytes, range_end: bytes | None = None) -> Found:
        """As one member alone has it: it may be old."""

    def change(
        self,
        compares: Sequence[Compare],
        operations: Sequence[Operation],
        otherwise: Sequence[Operation] = (),
    ) -> Outcome:
        """One transaction. Raises PeerUnreachable, Refused or CallLost, see `Etcd.change`."""


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

    def compact(self, revision: int) -> None:
        """Forget what was overwritten before a revision; Refused where that is done already."""
        self.gateway.ask(COMPACTION, Compaction(revision=revision), Compacted, writes=True)
