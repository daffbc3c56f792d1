"""A cluster of three that is armed, in one process, and the leases of its nodes."""

import pytest

from mcv.cluster import etcd_store, lease_orders
from mcv.etcd.keys import ClusterKeys
from mcv.etcd.requests import put
from mcv.ha.armed import Armed
from mcv.ha.values import Held
from mcv.network import verbs as network
from mcv.system import lease
from mcv.system.lease import LeaseFile
from mcv.vm import create
from tests.fakes.cluster import FakeCluster

WATCHDOG = {"kind": "iTCO_wdt", "device": "/dev/watchdog0", "timeout": 8, "grain": 1.0}


@pytest.fixture
def armed(three: FakeCluster) -> FakeCluster:
    """Three nodes, armed, and web1 on n1 with its replica on n2; all have leases."""
    three.run("n1", network.create, name="lan", bridge="br-lan")
    add_vm(three, "web1")
    arm(three)
    return three


def add_vm(three: FakeCluster, name: str, *nodes: str) -> None:
    where = list(nodes or ("n1", "n2"))
    three.run(
        where[0],
        create.create,
        name=name,
        memory="64MiB",
        disks=["64MiB"],
        networks=["lan"],
        nodes=where,
    )


def arm(three: FakeCluster) -> None:
    """Move the document into etcd, and arm: as `mcv ha arm` does, each step."""
    three.run("n1", etcd_store.to_etcd)
    host = three.hosts["n1"]
    watchdogs = {name: {**WATCHDOG, "hardware": True} for name in three.hosts}
    host.update("ha.prepare", "arm", pace=1, trust_softdog=False, watchdogs=watchdogs)
    for name in three.hosts:
        grant(three, name)
        renew(three, name)
    host.update("ha.arm", "arm")
    for name in three.hosts:
        three.look(name)


def keys(three: FakeCluster) -> ClusterKeys:
    store = three.read("n1").store
    assert store is not None
    return ClusterKeys(store.id)


def grant(three: FakeCluster, node: str, seconds: float = 600) -> None:
    """What mcv-lease publishes on a node."""
    file = LeaseFile(lease.boot_id(), lease.now() + seconds)
    lease.write(file, three.hosts[node].settings.run)


def renew(three: FakeCluster, node: str, sequence: int = 1) -> int:
    """Write a node's lease into etcd; its revision there."""
    held = Held(lease.boot_id(), sequence, 12, 8, 1, True).encode().encode()
    return three.etcd.change([], [put(keys(three).lease(node), held)]).header.revision


def orders(three: FakeCluster, node: str) -> Armed:
    """What mcvd of a node tells its mcv-lease."""
    return lease_orders.orders(three.hosts[node], three.read(node), "/dev/watchdog0")
