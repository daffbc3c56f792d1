"""Networks: bridges of single nodes, VLANs and MTUs, each looked at where it is used."""

import functools
import threading
from collections.abc import Callable
from typing import Any

import pytest

from mcv.document.networks import tagged_bridge
from mcv.drivers.domain_reading import substance
from mcv.errors import Busy, DoneInPart, Refused
from mcv.network import networks, tags
from mcv.network import verbs as network
from mcv.status import vms
from mcv.vm import create, delete, live, migrate, nics, power
from tests.fakes.cluster import FakeCluster

MIB64 = "64MiB"


def make(cluster: FakeCluster, name: str = "web1", **values: Any) -> None:
    cluster.run(
        "n1", create.create, name=name, memory=MIB64, disks=[MIB64], networks=["dmz"], **values
    )


def bridges_of(cluster: FakeCluster, node: str, name: str = "web1") -> list[str]:
    return [bridge for _, bridge in substance(cluster.domains[node].xml(name)).nics]


def test_a_network_has_its_own_bridge_on_a_node(cluster: FakeCluster) -> None:
    cluster.bridges["n2"].names = ("br-other",)
    cluster.run("n1", network.create, name="dmz", bridge="br-lan", on={"n2": "br-other"})
    make(cluster)
    here = bridges_of(cluster, "n1")

    cluster.run("n1", migrate.migrate, name="web1", to="n2")

    assert (here, bridges_of(cluster, "n2")) == (["br-lan"], ["br-other"])


def test_a_card_goes_to_the_other_node_s_bridge_while_the_vm_runs(cluster: FakeCluster) -> None:
    cluster.bridges["n2"].names = ("br-other",)
    cluster.run("n1", network.create, name="dmz", bridge="br-lan", on={"n2": "br-other"})
    make(cluster)
    cluster.run("n1", power.start, name="web1")

    cluster.run("n1", live.migrate, name="web1", to="n2")

    assert cluster.domains["n2"].state("web1") == "running"
    assert bridges_of(cluster, "n2") == ["br-other"]


def test_every_reason_against_a_network_is_told_at_once(cluster: FakeCluster) -> None:
    before = cluster.picture()

    with pytest.raises(Refused) as refused:
        cluster.run(
            "n1",
            network.create,
            name="Dmz!",
            bridge="no bridge",
            vlan=4095,
            mtu=80,
            on={"n9": "br-lan"},
        )

    said = "\n".join(message for message, _ in refused.value.problems)
    for part in ("'Dmz!'", "'no bridge'", "--vlan 4095", "--mtu 80", "no node n9"):
        assert part in said
    assert cluster.picture() == before


LACKING: list[tuple[dict[str, Any], str]] = [
    ({"on": {"n2": "br-none"}}, "n2 has no bridge br-none"),
    ({"mtu": 9000}, "br-lan on n2 has an MTU of 1500"),
    ({"vlan": 7}, "n2: its kernel knows no VLANs"),
]


@pytest.mark.parametrize(("values", "said"), LACKING)
def test_what_a_node_lacks_for_a_network_is_told_before(
    cluster: FakeCluster, values: dict[str, Any], said: str
) -> None:
    cluster.bridges["n1"].mtus["br-lan"] = 9000
    cluster.bridges["n2"].no_vlans = "its kernel knows no VLANs"

    with pytest.raises(Refused, match=said):
        cluster.run("n1", network.create, name="dmz", bridge="br-lan", **values)

    assert "dmz" not in cluster.read().networks


def test_a_tagged_card_gets_a_bridge_of_its_own_where_its_vm_runs(cluster: FakeCluster) -> None:
    cluster.run("n1", network.create, name="dmz", bridge="br-lan", vlan=7)
    make(cluster)
    bridge = tagged_bridge("br-lan", 7)
    defined = bridges_of(cluster, "n1")
    before = dict(cluster.bridges["n1"].tags)

    cluster.run("n1", power.start, name="web1")
    cluster.run("n1", live.migrate, name="web1", to="n2")

    assert (defined, before) == ([bridge], {}) and len(bridge) <= 15
    for node in ("n1", "n2"):
        assert cluster.bridges[node].tags == {bridge: ("br-lan", 7)}


def test_bridges_of_vlans_that_nobody_needs_are_taken_away(cluster: FakeCluster) -> None:
    cluster.run("n1", network.create, name="dmz", bridge="br-lan", vlan=7)
    make(cluster)
    cluster.run("n1", power.start, name="web1")
    host, made = cluster.hosts["n1"], cluster.bridges["n1"]
    stale, busy = tagged_bridge("br-lan", 8), tagged_bridge("br-lan", 9)
    made.tags |= {stale: ("br-lan", 8), busy: ("br-lan", 9)}
    made.busy.add(busy)

    networks.look_after(host)

    assert sorted(made.tags) == sorted([tagged_bridge("br-lan", 7), busy])
    tags.bring_up(host, host.read().vm("web1"))


def test_a_start_says_what_its_node_lacks(cluster: FakeCluster) -> None:
    cluster.run("n1", network.create, name="dmz", bridge="br-lan", vlan=7, mtu=1400)
    make(cluster)
    cluster.bridges["n1"].no_vlans = "no 8021q"

    with pytest.raises(Refused, match="n1: no 8021q"):
        cluster.run("n1", power.start, name="web1")

    cluster.bridges["n1"].no_vlans = ""
    cluster.bridges["n1"].mtus["br-lan"] = 1300
    with pytest.raises(Refused, match="MTU of 1300, network dmz one of 1400"):
        cluster.run("n1", power.start, name="web1")
    cluster.bridges["n1"].mtus["br-lan"] = 1500
    cluster.run("n1", power.start, name="web1")


def test_a_move_says_what_the_other_node_lacks(cluster: FakeCluster) -> None:
    cluster.run("n1", network.create, name="dmz", bridge="br-lan", vlan=7)
    make(cluster)
    cluster.bridges["n2"].no_vlans = "no 8021q"

    with pytest.raises(Refused, match="n2: no 8021q"):
        cluster.run("n1", migrate.migrate, name="web1", to="n2")


def test_a_network_changes_while_no_vm_on_it_runs(cluster: FakeCluster) -> None:
    cluster.run("n1", network.create, name="dmz", bridge="br-lan", vlan=7, on={"n2": "br-lan"})
    make(cluster)
    cluster.run("n1", power.start, name="web1")
    with pytest.raises(Refused, match="dmz is used by web1, which are running or saved"):
        cluster.run("n1", network.set_, name="dmz", vlan=0)
    with pytest.raises(Refused, match="dmz is used by web1"):
        cluster.run("n1", network.delete, name="dmz")
    cluster.run("n1", power.stop, name="web1")

    changed = cluster.run("n1", network.set_, name="dmz", vlan=0, on={"n2": ""})
    cluster.run("n1", power.start, name="web1")

    assert (changed.vlan, changed.on, changed.bridge) == (0, {}, "br-lan")
    assert bridges_of(cluster, "n1") == ["br-lan"]


def test_a_network_whose_vms_nobody_tells_of_stays_as_it_is(cluster: FakeCluster) -> None:
    cluster.run("n1", network.create, name="dmz", bridge="br-lan")
    make(cluster)
    cluster.domains["n1"].silence = "libvirt does not answer"

    with pytest.raises(Refused, match=r"not known: web1 \(on n1\)"):
        cluster.run("n1", network.set_, name="dmz", bridge="br-lan")


def at(cluster: FakeCluster, operation: str, do: Callable[[], object]) -> None:
    """Do something once, just before the first call of an operation."""

    def spy(caller: str, node: str, name: str) -> None:
        if name == operation:
            cluster.spy = lambda caller, node, name: None
            do()

    cluster.spy = spy


def stopped_and_running(cluster: FakeCluster) -> None:
    """web1 is stopped and in dmz, web2 runs on n2 and has no card."""
    cluster.run("n1", network.create, name="dmz", bridge="br-lan")
    make(cluster)
    cluster.run("n2", create.create, name="web2", memory=MIB64)
    cluster.run("n2", power.start, name="web2")


def test_a_network_does_not_change_under_a_card_that_comes_meanwhile(cluster: FakeCluster) -> None:
    stopped_and_running(cluster)
    add = functools.partial(cluster.run, "n2", nics.add, name="web2", network="dmz")
    at(cluster, "vm.active", add)

    with pytest.raises(Busy, match="Cards came to network dmz, or left it, meanwhile"):
        cluster.run("n1", network.set_, name="dmz", vlan=7)

    assert cluster.read().network("dmz").vlan == 0
    assert bridges_of(cluster, "n2", "web2") == ["br-lan"]
    with pytest.raises(Refused, match="is used by web2, which are running"):
        cluster.run("n1", network.set_, name="dmz", vlan=7)


def test_a_card_that_comes_while_a_network_changes_is_in_the_changed_one(
    cluster: FakeCluster,
) -> None:
    stopped_and_running(cluster)
    change = functools.partial(cluster.run, "n1", network.set_, name="dmz", vlan=7)
    at(cluster, "node.foreign_macs", change)

    cluster.run("n2", nics.add, name="web2", network="dmz")

    assert bridges_of(cluster, "n2", "web2") == [tagged_bridge("br-lan", 7)]


def test_a_network_that_goes_while_a_card_comes_is_gone_and_no_card_came(
    cluster: FakeCluster,
) -> None:
    cluster.run("n1", network.create, name="dmz", bridge="br-lan")
    cluster.run("n2", create.create, name="web2", memory=MIB64)
    delete = functools.partial(cluster.run, "n1", network.delete, name="dmz")
    at(cluster, "node.foreign_macs", delete)

    with pytest.raises(Refused, match="no network dmz"):
        cluster.run("n2", nics.add, name="web2", network="dmz")

    assert cluster.read().vm("web2").nics == () and cluster.read().vm("web2").claim is None


def test_a_vm_that_begins_while_its_network_changes_is_named(cluster: FakeCluster) -> None:
    stopped_and_running(cluster)
    looked: list[str] = []

    def start(caller: str, node: str, operation: str) -> None:
        looked.extend([operation] * (operation == "vm.active"))
        if operation == "vm.active" and len(looked) == 2:
            cluster.domains["n1"].start_unasked("web1")

    cluster.spy = start
    with pytest.raises(DoneInPart, match=r"Network dmz is changed, but a VM began.*web1"):
        cluster.run("n1", network.set_, name="dmz", vlan=7)

    assert cluster.read().network("dmz").vlan == 7
    (pending,) = vms.info(cluster.hosts["n1"], "web1").pending
    assert tagged_bridge("br-lan", 7) in pending


def test_a_bridge_for_a_vlan_does_not_go_from_under_a_vm_that_is_starting(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop has looked, and not taken the bridge away yet, when another VM needs it."""
    host, made = cluster.hosts["n1"], cluster.bridges["n1"]
    bridge = tagged_bridge("br-lan", 7)
    cluster.run("n1", network.create, name="dmz", bridge="br-lan", vlan=7)
    made.tags[bridge] = ("br-lan", 7)
    take_away, starting = made.take_away_tagged, []

    def slowly(name: str) -> bool:
        make(cluster)
        start = functools.partial(cluster.run, "n1", power.start, name="web1")
        starting.append(threading.Thread(target=start))
        starting[0].start()
        starting[0].join(0.3)
        return take_away(name)

    monkeypatch.setattr(made, "take_away_tagged", slowly)
    networks.look_after(host)
    starting[0].join(10)

    assert made.tags == {bridge: ("br-lan", 7)}
    assert cluster.domains["n1"].state("web1") == "running"


def test_what_a_daemon_left_of_a_bridge_for_a_vlan_is_made_whole_or_taken_away(
    cluster: FakeCluster,
) -> None:
    """Killed between the bridge and the start; then the VM is deleted before it ever ran."""
    cluster.run("n1", network.create, name="dmz", bridge="br-lan", vlan=7)
    make(cluster)
    made, bridge = cluster.bridges["n1"], tagged_bridge("br-lan", 7)
    tags.bring_up(cluster.hosts["n1"], cluster.read().vm("web1"))
    made.torn.add(bridge)

    host = cluster.boot("n1")
    cluster.look("n1")
    networks.look_after(host)
    assert made.tags == {bridge: ("br-lan", 7)} and made.torn == set()

    cluster.run("n1", delete.delete, name="web1")
    networks.look_after(cluster.hosts["n1"])
    assert made.tags == {}


def test_a_bridge_below_that_is_gone_is_waited_for(cluster: FakeCluster) -> None:
    cluster.run("n1", network.create, name="dmz", bridge="br-lan", vlan=7)
    make(cluster)
    cluster.run("n1", power.start, name="web1")
    made, bridge = cluster.bridges["n1"], tagged_bridge("br-lan", 7)
    made.torn.add(bridge)
    made.names = ()

    networks.look_after(cluster.hosts["n1"])
    assert made.torn == {bridge}
    made.names = ("br-lan",)
    networks.look_after(cluster.hosts["n1"])
    assert made.torn == set()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "nothing to change"),
        ({"bridge": "br 1"}, "'br 1' is no name"),
        ({"mtu": 9}, "mtu 9"),
    ],
)
def test_a_change_of_a_network_that_makes_no_sense_is_refused(
    cluster: FakeCluster, values: dict[str, Any], said: str
) -> None:
    cluster.run("n1", network.create, name="dmz", bridge="br-lan")

    with pytest.raises(Refused, match=said):
        cluster.run("n1", network.set_, name="dmz", **values)


def test_a_network_by_nat_has_nothing_of_that(cluster: FakeCluster) -> None:
    with pytest.raises(Refused, match="by NAT has no VLAN"):
        cluster.run("n1", network.create, name="out", nat=True, vlan=7)
    cluster.run("n1", network.create, name="out", nat=True)
    with pytest.raises(Refused, match="libvirt's own"):
        cluster.run("n1", network.set_, name="out", bridge="br-lan")
