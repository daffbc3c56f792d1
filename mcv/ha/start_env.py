"""A node's side of a start: the gate's flock, the lease's file, and etcd."""

import contextlib
import logging
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from mcv.errors import McvError
from mcv.etcd.client import Keyspace
from mcv.ha import values
from mcv.ha.env import Answer, Entry, Txn, Unknown
from mcv.ha.etcd_txn import ClusterTxn
from mcv.ha.right import NoRight, Why
from mcv.system import lease
from mcv.system.lease import LeaseFile
from mcv.system.start_gate import GateClosed, StartGate

log = logging.getLogger(__name__)

ENTER = 5.0  # s that a start waits for a gate that mcv-lease holds alone


class _Head(msgspec.Struct, frozen=True):
    """Of etcd's head: the hash of the newest document."""

    hash: str


class NodeEnv:
    """What mcvd may do: transactions, and a look at the lease's file and the clock.

    The value of the head is the hash of the document that it names.
    """

    def __init__(self, node: str, run: Path, etcd: Keyspace, cluster: str) -> None:
        self.node = node
        self.boot = lease.boot_id()
        self._run = run
        self._etcd = etcd
        self._txns = ClusterTxn(cluster)

    async def now(self) -> float:
        return lease.now()

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    async def say(self, text: str) -> None:
        log.info("%s", text)

    async def lease_file(self) -> LeaseFile | None:
        return lease.read(self._run)

    async def txn(self, txn: Txn) -> Answer:
        asked = self._txns.request(txn)
        try:
            outcome = self._etcd.change(asked.compare, asked.success, asked.failure)
        except McvError as error:
            raise Unknown(error.message) from error
        return _with_hash(self._txns.answer(outcome))


def _with_hash(answer: Answer) -> Answer:
    head = answer.entries.get(values.HEAD)
    if head is not None:
        try:
            hash_ = msgspec.json.decode(head.value, type=_Head).hash
        except msgspec.MsgspecError:
            hash_ = ""  # no document has it
        answer.entries[values.HEAD] = Entry(hash_, head.revision)
    return answer


class NodeStartEnv(NodeEnv):
    """What a start may do besides; one object for each start."""

    def __init__(
        self,
        node: str,
        run: Path,
        etcd: Keyspace,
        cluster: str,
        head_here: Callable[[], str],
    ) -> None:
        super().__init__(node, run, etcd, cluster)
        self._gate = StartGate(run)
        self._held = contextlib.ExitStack()
        self._head_here = head_here

    async def enter_gate(self) -> None:
        try:
            self._held.enter_context(self._gate.together(ENTER))
        except (GateClosed, OSError) as error:
            raise NoRight(Why.NO_LEASE) from error

    async def leave_gate(self) -> None:
        self._held.close()

    async def head_here(self) -> str:
        return self._head_here()
