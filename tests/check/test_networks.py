"""What a check says of networks and cards: each story one finding, and nothing else."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from mcv.check import runner
from mcv.document.networks import Network, tagged_bridge
from mcv.network import networks
from mcv.network import verbs as network
from mcv.system.answers import plain
from mcv.vm import create, nics, power
from tests.check.faults import look, one, record
from tests.fakes.cluster import FakeCluster

Do = Callable[[FakeCluster], object]
MAC = "52:54:00:aa:bb:cc"
TAGGED = tagged_bridge("br-lan", 7)
DOMAIN = (
    "<domain type='qemu'><name>other</name><uuid>11111111-0000-4000-8000-000000000001</uuid>"
    f"<devices><interface type='bridge'><mac address='{MAC.upper()}'/></interface></devices>"
    "</domain>"
)


@pytest.fixture
def tagged(vm: FakeCluster) -> FakeCluster:
    """web1 runs on n1 with a card in VLAN 7; the network jumbo has an MTU, and br-dmz on n2."""
    for bridges in vm.bridges.values():
        bridges.names = ("br-dmz", "br-lan")
        bridges.mtus["br-dmz"] = 9000
    vm.bridges["n2"].names += ("br-old",)
    vm.run("n1", network.create, name="jumbo", bridge="br-dmz", mtu=9000, on={"n2": "br-dmz"})
    vm.run("n1", power.start, name="web1")
    vm.run("n1", nics.add, name="web1", network="lan", mac=MAC, vlan=7)
    assert look(vm) == []
    return vm


def no_vlans(node: str) -> Do:
    def do(cluster: FakeCluster) -> None:
        cluster.bridges[node].no_vlans = "its kernel knows no VLANs."

    return do


def narrow(cluster: FakeCluster) -> None:
    cluster.bridges["n2"].mtus["br-dmz"] = 1500


def on_nowhere(cluster: FakeCluster) -> None:
    jumbo = Network(name="jumbo", bridge="br-dmz", on={"n2": "br-nowhere"})
    record(cluster, lambda document: document.with_network(jumbo))


def twins(cluster: FakeCluster) -> None:
    """As a document of before may have them."""
    cluster.run("n2", create.create, name="web2", memory="64MiB", networks=["lan"])
    web2 = cluster.read().vm("web2")
    cards = (replace(web2.nics[0], mac=MAC),)
    record(cluster, lambda document: document.with_vm(replace(web2, nics=cards)))
    xml = cluster.domains["n2"].defined["web2"].replace(web2.nics[0].mac, MAC)
    cluster.domains["n2"].defined["web2"] = xml


def torn(cluster: FakeCluster) -> None:
    cluster.bridges["n1"].torn.add(TAGGED)


STORIES: list[tuple[str, Do, str, str, str]] = [
    ("no VLANs", no_vlans("n2"), "n2", "lan", "n2: its kernel knows no VLANs"),
    ("MTU", narrow, "n2", "jumbo", "br-dmz on n2 has an MTU of 1500, network jumbo one of 9000"),
    ("bridge of one node", on_nowhere, "n2", "jumbo", "n2 has no bridge br-nowhere"),
    ("two VMs", twins, "n2", "web2", f"The MAC {MAC} is had by web1 and web2"),
    (
        "another's domain",
        lambda c: c.domains["n2"].defined.update(other=DOMAIN),
        "n2",
        "other",
        f"which is not mcv's, has the MAC {MAC} of web1",
    ),
    ("port gone", torn, "n1", TAGGED, f"{TAGGED}, for VLAN 7 of br-lan on n1, has lost its port"),
]


@pytest.mark.parametrize(
    ("do", "node", "subject", "words"),
    [story[1:] for story in STORIES],
    ids=[story[0] for story in STORIES],
)
def test_what_is_wrong_with_networks_is_found(
    tagged: FakeCluster, do: Do, node: str, subject: str, words: str
) -> None:
    do(tagged)

    found = one(look(tagged))

    assert found[:3] == ("error", node, subject) and words in found[3]
    assert all(row["hint"] for row in plain(runner.check(tagged.hosts["n1"]))["findings"])


def test_a_port_that_is_gone_is_made_again(tagged: FakeCluster) -> None:
    torn(tagged)

    networks.look_after(tagged.hosts["n1"])

    assert look(tagged) == []


def test_the_tag_of_a_card_is_looked_for_where_its_vm_may_run(tagged: FakeCluster) -> None:
    record(
        tagged,
        lambda document: document.with_vm(replace(document.vm("web1"), nodes=("n1",))),
    )

    no_vlans("n2")(tagged)

    assert [row for row in look(tagged) if row[2] == "lan"] == []
