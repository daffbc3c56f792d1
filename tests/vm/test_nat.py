"""Networks by NAT: made on every node by its mcvd, over fake doors."""

import pytest
from msgspec.structs import replace

from mcv.api.loops import LOOPS, one_round
from mcv.errors import DoneInPart, Refused
from mcv.network import nat
from mcv.network import verbs as network
from mcv.vm import create
from tests.fakes.cluster import FakeCluster


def test_every_node_makes_a_network_of_its_own(cluster: FakeCluster) -> None:
    made = cluster.run("n1", network.create, name="out", nat=True)

    assert (made.name, made.bridge) == ("out", "mcvnat0")
    for name in ("n1", "n2"):
        assert cluster.domains[name].networks.bridges == {"out": "mcvnat0"}
    (row,) = network.list_(cluster.hosts["n2"])
    assert (row.name, row.bridge, row.vms) == ("out", "mcvnat0", 0)


def test_a_card_is_in_libvirts_network(cluster: FakeCluster) -> None:
    cluster.run("n1", network.create, name="out", nat=True)
    for bridges in cluster.bridges.values():
        bridges.names = ("br-lan", "mcvnat0")

    cluster.run("n1", create.create, name="web1", memory="64MiB", networks=["out"])

    xml = cluster.domains["n1"].defined["web1"]
    assert '<interface type="network">' in xml and '<source network="mcv-out" />' in xml
    with pytest.raises(Refused, match="Network out is used by web1"):
        cluster.run("n1", network.delete, name="out")


def test_a_network_that_is_missing_is_made_again_and_one_that_is_gone_goes(
    cluster: FakeCluster,
) -> None:
    cluster.run("n1", network.create, name="out", nat=True)
    cluster.domains["n2"].networks.bridges.clear()

    nat.look_after(cluster.hosts["n2"])
    assert cluster.domains["n2"].networks.bridges == {"out": "mcvnat0"}

    cluster.run("n1", network.delete, name="out")
    cluster.look("n2")
    (loop,) = (loop for loop in LOOPS if loop.name == "networks")
    for name in ("n1", "n2"):
        one_round(cluster.hosts[name], loop)
        assert cluster.domains[name].networks.bridges == {}


def test_a_node_that_cannot_make_it_is_named_and_tried_again(cluster: FakeCluster) -> None:
    cluster.domains["n2"].broken.add("start the network")

    with pytest.raises(DoneInPart, match="out is created, but: n2: Could not start the network"):
        cluster.run("n1", network.create, name="out", nat=True)

    cluster.domains["n2"].broken.clear()
    nat.look_after(cluster.hosts["n2"])
    assert cluster.domains["n2"].networks.bridges == {"out": "mcvnat0"}


def test_two_networks_have_bridges_of_their_own(cluster: FakeCluster) -> None:
    first, second = (cluster.run("n1", network.create, name=name, nat=True) for name in ("a", "b"))

    assert (first.bridge, second.bridge) == ("mcvnat0", "mcvnat1")


def test_what_cannot_be_is_refused(cluster: FakeCluster) -> None:
    with pytest.raises(Refused, match="has a bridge of its own"):
        cluster.run("n1", network.create, name="out", bridge="br-lan", nat=True)
    document = replace(cluster.read(), schema=2)
    for agreement in cluster.agreements.values():
        agreement.store.begin(document)
    with pytest.raises(Refused, match="cannot be written down yet"):
        cluster.run("n1", network.create, name="out", nat=True)

    assert cluster.read().networks == {}


def test_a_node_without_such_networks_asks_libvirt_nothing(cluster: FakeCluster) -> None:
    nat.look_after(cluster.hosts["n1"])
    cluster.domains["n1"].silence = "silent"

    nat.look_after(cluster.hosts["n1"])
