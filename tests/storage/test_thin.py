"""Thin pools with and without replicas in them: what may be promised there."""

import pytest
from msgspec.structs import replace

from mcv.document.pools import Pool
from mcv.errors import Refused
from mcv.vm import create, delete
from tests.check.faults import record
from tests.fakes.cluster import FakeCluster

MIB = 1024**2
NODES = ("n1", "n2")


@pytest.fixture
def cluster(cluster: FakeCluster) -> FakeCluster:
    """Two nodes with the thin pool vg0/tp of 1 GiB, of which nothing is used."""
    for name in NODES:
        cluster.lvm[name].make_pool("tp")
    pool = Pool(type="thin", nodes=dict.fromkeys(NODES, "vg0/tp"))
    record(cluster, lambda document: replace(document, pools={"tp": pool}))
    return cluster


def make(cluster: FakeCluster, name: str, size: str, storage: str) -> None:
    nodes = list(NODES) if storage == "drbd" else ["n1"]
    options = {"storage": storage, "pool": "tp", "nodes": nodes}
    cluster.run("n1", create.create, name=name, memory="64MiB", disks=[size], **options)


def test_a_replica_on_a_thin_volume_is_made_without_zeroing_and_goes(cluster: FakeCluster) -> None:
    zeroed: list[str] = []
    for name in NODES:
        cluster.lvm[name].zero = zeroed.append  # type: ignore[assignment]

    make(cluster, "web1", "100MiB", "drbd")

    (disk,) = cluster.read().vm("web1").replicated
    assert (disk.pool, disk.exact, disk.size) == ("tp", True, 100 * MIB)
    assert disk.places == dict.fromkeys(NODES, "vg0/tp")
    for name in NODES:
        # With DRBD's metadata behind the data.
        assert cluster.lvm[name].made == {"mcv-web1-1": 104 * MIB}
        assert cluster.lvm[name].thin == {"mcv-web1-1": "tp"}
    assert zeroed == []
    cluster.run("n1", delete.delete, name="web1")
    assert [cluster.lvm[name].made for name in NODES] == [{}, {}]


def test_volumes_without_replicas_may_be_promised_more_than_there_is(cluster: FakeCluster) -> None:
    for name in ("web1", "web2", "web3"):
        make(cluster, name, "900MiB", "thin")

    with pytest.raises(Refused, match=r"Pool tp .* on n1 has 1GiB free, 1.1GiB are needed"):
        make(cluster, "web4", "1100MiB", "thin")


def test_what_replicas_were_promised_has_to_fit_whatever_they_use(cluster: FakeCluster) -> None:
    make(cluster, "web1", "600MiB", "drbd")

    with pytest.raises(Refused) as refused:
        make(cluster, "web2", "600MiB", "drbd")

    assert [message for message, _ in refused.value.problems] == [
        f"Pool tp (vg0/tp) on {node} has 420MiB free, 604MiB are needed." for node in NODES
    ]

    make(cluster, "web2", "400MiB", "drbd")


def test_beside_a_replica_nothing_is_promised_that_does_not_fit(cluster: FakeCluster) -> None:
    make(cluster, "web1", "600MiB", "drbd")

    with pytest.raises(Refused, match=r"Pool tp .* on n1 has 420MiB free, 500MiB are needed"):
        make(cluster, "web2", "500MiB", "thin")

    make(cluster, "web2", "400MiB", "thin")


def test_beside_too_large_a_promise_no_replica_is_made(cluster: FakeCluster) -> None:
    for name in ("web1", "web2"):
        make(cluster, name, "900MiB", "thin")

    with pytest.raises(Refused, match="on n1 has 0B free, 12MiB are needed"):
        make(cluster, "web3", "8MiB", "drbd")
