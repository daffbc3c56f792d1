"""Transactions of env.py as etcd reads them: the keys get the prefix of their cluster."""

from mcv.etcd import requests
from mcv.etcd.answers import Outcome
from mcv.etcd.keys import ClusterKeys
from mcv.etcd.requests import Compare, Operation, Transaction
from mcv.ha import env
from mcv.ha.env import Answer, Entry, Txn, Unchanged


class ClusterTxn:
    """The transactions of one cluster's keys."""

    def __init__(self, cluster: str) -> None:
        self._prefix = ClusterKeys(cluster).prefix

    def request(self, txn: Txn) -> Transaction:
        """What etcd is asked; it reads either way, and after it has written."""
        reads = [self._read(prefix) for prefix in txn.reads]
        puts = [self._put(put) for put in txn.puts]
        return Transaction(
            compare=[self._compare(compare) for compare in txn.compares],
            success=[*puts, *reads],
            failure=reads,
        )

    def answer(self, outcome: Outcome) -> Answer:
        """What etcd has answered."""
        entries = {
            pair.key.removeprefix(self._prefix).decode(errors="replace"): Entry(
                pair.value.decode(errors="replace"), pair.mod_revision
            )
            for found in outcome.found()
            for pair in found.kvs
        }
        return Answer(outcome.succeeded, outcome.header.revision, entries)

    def _key(self, key: str) -> bytes:
        return self._prefix + key.encode()

    def _read(self, prefix: str) -> Operation:
        return requests.get(self._key(prefix), requests.end_of(self._key(prefix)))

    def _put(self, put: env.Put) -> Operation:
        if put.value is None:
            return requests.delete(self._key(put.key))
        return requests.put(self._key(put.key), put.value.encode())

    def _compare(self, compare: env.Compare) -> Compare:
        if isinstance(compare, Unchanged):
            return requests.unchanged(self._key(compare.key), compare.revision)
        return requests.none_written_since(self._key(compare.prefix), compare.revision)
