"""Transactions that are under way while the watchdog is fed: each is tried by a thread.

A member of etcd has one second for an answer; then the next one gets the same transaction. It
compares the key's revision, so it is committed once, however often it arrives.
"""

import queue
import ssl
import threading
from collections.abc import Callable
from pathlib import Path

from mcv.errors import McvError
from mcv.etcd.answers import Outcome
from mcv.etcd.client import TXN
from mcv.etcd.gateway import Endpoint, Gateway
from mcv.ha.armed import Armed
from mcv.ha.env import Answer, Txn, Unknown
from mcv.ha.etcd_txn import ClusterTxn
from mcv.system import tls_context

THREADS = 4  # transactions that are tried at once; a hanging member holds one up for a second
RENEWALS = 2.0  # tries of a member within the time between two renewals

Say = Callable[[str], None]


class Sends:
    """Sends transactions to the etcd of an armed node."""

    def __init__(self, armed: Armed, say: Say, begin: Callable[[], None] = lambda: None) -> None:
        """`begin` is called first in each thread."""
        self._say = say
        self._begin = begin
        self._txns = ClusterTxn(armed.cluster)
        self._contexts: dict[Endpoint, ssl.SSLContext] = {}
        self._gateway = Gateway([], lambda endpoint: self._contexts[endpoint])
        self._armed: Armed | None = None
        self._waiting: queue.SimpleQueue[tuple[int, Txn]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._count = 0
        self._open: set[int] = set()
        self._outcomes: dict[int, Answer | Unknown] = {}
        self._is_silent = False
        self.follow(armed)
        for _ in range(THREADS):
            threading.Thread(target=self._work, daemon=True).start()

    def follow(self, armed: Armed) -> None:
        """Ask these voters from now on, this node's own first."""
        contexts = {}
        for voter in sorted(armed.voters, key=lambda voter: voter.name != armed.node):
            endpoint = Endpoint(voter.name, voter.address, voter.port)
            try:
                contexts[endpoint] = tls_context.context(
                    ssl.PROTOCOL_TLS_CLIENT,
                    Path(armed.certificate),
                    Path(armed.key),
                    [voter.certificate],
                )
            except OSError as error:
                self._say(f"etcd on {voter.name} cannot be asked: {error}")
        self._armed, self._contexts = armed, contexts
        self._gateway.renew(list(contexts))

    def send(self, txn: Txn) -> int:
        """Have a thread try it, and go on; the number is for `outcome`."""
        with self._lock:
            self._count += 1
            number = self._count
            if len(self._open) >= THREADS:
                self._outcomes[number] = Unknown()
                return number
            self._open.add(number)
        self._waiting.put((number, txn))
        return number

    def outcome(self, number: int) -> Answer | Unknown | None:
        """The answer, once; None while it may still come."""
        with self._lock:
            return self._outcomes.pop(number, None)

    def commit(self, txn: Txn) -> Answer:
        """Try it now, in this thread. Raises Unknown."""
        failures = []
        assert self._armed is not None
        patience = self._armed.renewal / RENEWALS
        for endpoint in self._gateway.endpoints:
            try:
                request = self._txns.request(txn)
                outcome = self._gateway.ask_one(endpoint, TXN, request, Outcome, patience)
                answer = self._txns.answer(outcome)
            except (McvError, OSError, KeyError) as error:
                failures.append(str(error))
            else:
                self._heard("")
                return answer
        self._heard(" ".join(failures) or "No member of etcd is known.")
        raise Unknown

    def _heard(self, silence: str) -> None:
        """Say it once where etcd falls silent, and once where it answers again."""
        if bool(silence) != self._is_silent:
            self._is_silent = bool(silence)
            self._say(f"etcd: {silence}" if silence else "etcd answers")

    def _work(self) -> None:
        self._begin()
        while True:
            number, txn = self._waiting.get()
            outcome: Answer | Unknown = Unknown()
            try:
                outcome = self.commit(txn)
            except Unknown:
                pass
            except Exception as error:
                self._say(f"a transaction failed: {error!r}")
            with self._lock:
                self._open.discard(number)
                self._outcomes[number] = outcome
