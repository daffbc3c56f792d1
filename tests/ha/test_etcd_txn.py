"""Transactions of env.py at a real etcd."""

import pytest

from mcv.etcd.answers import Outcome
from mcv.etcd.client import TXN, Etcd
from mcv.ha.at_once import at_once
from mcv.ha.env import Answer, Entry, NothingNewer, Put, Txn, Unchanged
from mcv.ha.etcd_txn import ClusterTxn


def commit(etcd: Etcd, cluster: str, txn: Txn) -> Answer:
    translation = ClusterTxn(cluster)
    outcome = etcd.gateway.ask(TXN, translation.request(txn), Outcome, writes=True)
    return translation.answer(outcome)


def test_what_a_transaction_wrote_is_read_by_it_and_has_its_revision(
    etcd: Etcd, prefix: bytes
) -> None:
    cluster = prefix.decode().strip("/")

    answer = commit(
        etcd,
        cluster,
        Txn((Unchanged("lease/n1", 0),), (Put("lease/n1", "held"),), ("lease/n1",)),
    )

    assert answer.holds
    assert answer.entries == {"lease/n1": Entry("held", answer.revision)}


def test_a_comparison_that_fails_writes_nothing_and_reads(etcd: Etcd, prefix: bytes) -> None:
    cluster = prefix.decode().strip("/")
    first = commit(etcd, cluster, Txn((), (Put("lease/n1", "one"), Put("stale/r", "n2"))))

    again = commit(
        etcd,
        cluster,
        Txn((Unchanged("lease/n1", 0),), (Put("lease/n1", "two"),), ("lease/", "stale/")),
    )

    assert not again.holds
    assert again.entries == {
        "lease/n1": Entry("one", first.revision),
        "stale/r": Entry("n2", first.revision),
    }


def test_a_mark_that_was_written_meanwhile_is_seen(etcd: Etcd, prefix: bytes) -> None:
    cluster = prefix.decode().strip("/")
    seen = commit(etcd, cluster, Txn((), (Put("stale/a", "n2"),)))
    no_change = Txn((NothingNewer("stale/", seen.revision),), (Put("head", "1"),))

    assert commit(etcd, cluster, no_change).holds
    commit(etcd, cluster, Txn((), (Put("stale/b", "n2"),)))
    assert not commit(etcd, cluster, no_change).holds
    commit(etcd, cluster, Txn((), (Put("stale/b", None),)))
    assert commit(etcd, cluster, no_change).holds


def test_a_verb_that_waits_is_told() -> None:
    class Wait:
        def __await__(self) -> object:
            yield self

    async def waits() -> None:
        await Wait()  # type: ignore[misc]

    async def answers() -> int:
        return 7

    assert at_once(answers()) == 7
    with pytest.raises(RuntimeError, match="waits"):
        at_once(waits())
