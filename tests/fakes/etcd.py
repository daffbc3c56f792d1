"""An etcd in memory, with revisions and transactions as the real one has them, and with faults."""

import threading
from collections.abc import Callable, Sequence
from typing import Literal

from mcv.errors import CallLost, PeerUnreachable
from mcv.etcd.answers import Done, Found, Header, KeyValue, Outcome
from mcv.etcd.client import Keyspace, OneMember
from mcv.etcd.requests import Compare, Operation, end_of

Fault = Literal["", "down", "lost before", "lost after"]


class FakeEtcd:
    """All voters in one: `faults` are those of the next changes, the first one first."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.keys: dict[bytes, KeyValue] = {}
        self.revision = 1
        self.down = False
        self.faults: list[Fault] = []
        self.alone: FakeEtcd | None = None  # what a member has by itself; None: all of it

    def read(self, key: bytes, range_end: bytes | None = None) -> Found:
        if self.down:
            raise PeerUnreachable("etcd on n1 does not answer (timed out).")
        return self.read_locally(key, range_end)

    def below(self, prefix: bytes) -> Found:
        return self.read(prefix, end_of(prefix))

    def read_locally(self, key: bytes, range_end: bytes | None = None) -> Found:
        with self.lock:
            kvs = self._of(key, range_end)
            return Found(header=Header(revision=self.revision), kvs=kvs, count=len(kvs))

    def each(self) -> Sequence[Keyspace]:
        return [OneMember(self.alone or self)]

    def copied(self) -> "FakeEtcd":
        """Another one, with what this one holds now."""
        copy = FakeEtcd()
        copy.keys, copy.revision = dict(self.keys), self.revision
        return copy

    def change(
        self,
        compares: Sequence[Compare],
        operations: Sequence[Operation],
        otherwise: Sequence[Operation] = (),
    ) -> Outcome:
        fault = self.faults.pop(0) if self.faults else ""
        if self.down or fault == "down":
            raise PeerUnreachable("etcd on n1 does not answer (timed out).")
        if fault == "lost before":
            raise CallLost("etcd on n1 does not answer (timed out).")
        with self.lock:
            holds = all(map(self._holds, compares))
            chosen = operations if holds else otherwise
            writes = any(each.request_range is None for each in chosen)
            self.revision += writes
            done = [self._done(each) for each in chosen]
            header = Header(revision=self.revision)
        if fault == "lost after":
            raise CallLost("etcd on n1 does not answer (timed out).")
        return Outcome(header=header, succeeded=holds, responses=done)

    def _of(self, key: bytes, range_end: bytes | None) -> list[KeyValue]:
        if range_end is None:
            return [self.keys[key]] if key in self.keys else []
        return [self.keys[each] for each in sorted(self.keys) if key <= each < range_end]

    def _done(self, operation: Operation) -> Done:
        if (put := operation.request_put) is not None:
            old = self.keys.get(put.key)
            self.keys[put.key] = KeyValue(
                key=put.key,
                value=put.value,
                create_revision=old.create_revision if old else self.revision,
                mod_revision=self.revision,
                version=old.version + 1 if old else 1,
            )
        if (gone := operation.request_delete_range) is not None:
            for each in self._of(gone.key, gone.range_end):
                del self.keys[each.key]
        if (asked := operation.request_range) is not None:
            return Done(response_range=self.read_locally(asked.key, asked.range_end))
        return Done()

    def _holds(self, compare: Compare) -> bool:
        missing = KeyValue(key=compare.key, create_revision=0, mod_revision=0)
        found = self._of(compare.key, compare.range_end)
        if not found and compare.target == "VALUE":
            return False
        return all(_agrees(compare, each) for each in found or [missing])


class Reached:
    """The same etcd as one node reaches it: `before` and `after` are told of each request.

    Each may raise, as the way to etcd, or the node itself, ends there.
    """

    def __init__(
        self, etcd: Keyspace, before: Callable[[str], None], after: Callable[[str], None]
    ) -> None:
        self._etcd = etcd
        self._before = before
        self._after = after

    def read(self, key: bytes, range_end: bytes | None = None) -> Found:
        self._before("read")
        return self._etcd.read(key, range_end)

    def below(self, prefix: bytes) -> Found:
        return self.read(prefix, end_of(prefix))

    def read_locally(self, key: bytes, range_end: bytes | None = None) -> Found:
        self._before("read")
        return self._etcd.read_locally(key, range_end)

    def each(self) -> Sequence[Keyspace]:
        return self._etcd.each()

    def change(
        self,
        compares: Sequence[Compare],
        operations: Sequence[Operation],
        otherwise: Sequence[Operation] = (),
    ) -> Outcome:
        self._before("change")
        outcome = self._etcd.change(compares, operations, otherwise)
        self._after("change")
        return outcome


def _agrees(compare: Compare, key: KeyValue) -> bool:
    value, wanted = {
        "VERSION": (key.version, compare.version),
        "CREATE": (key.create_revision, compare.create_revision),
        "MOD": (key.mod_revision, compare.mod_revision),
        "VALUE": (key.value, compare.value),
    }[compare.target]
    assert wanted is not None
    if compare.result in ("EQUAL", "NOT_EQUAL"):
        return (value == wanted) is (compare.result == "EQUAL")
    assert isinstance(value, int) and isinstance(wanted, int)
    return value > wanted if compare.result == "GREATER" else value < wanted
