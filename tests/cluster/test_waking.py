"""A host is switched on by its fence devices, or by a magic packet to the cards that it told."""

import pytest

from mcv.api import loops
from mcv.cluster import waking
from mcv.cluster.waking import Woken
from mcv.errors import CommandFailed, McvError, NotFound, Refused
from tests.fakes.cluster import FakeCluster
from tests.fakes.fenced import Fenced
from tests.fakes.fenced import fenced as fenced
from tests.lab.power import Mode

MAC = "52:54:00:10:99:03"


def has_told(cluster: FakeCluster) -> FakeCluster:
    """n3 has told its card."""
    cluster.macs["n3"] = [MAC]
    waking.tell_macs(cluster.hosts["n3"])
    return cluster


def wake(cluster: FakeCluster, node: str = "n3") -> Woken:
    woken = cluster.run("n1", waking.wake, node=node)
    assert isinstance(woken, Woken)
    return woken


def test_a_node_tells_its_cards_once_after_each_start(three: FakeCluster) -> None:
    has_told(three)
    assert three.read("n1").nodes["n3"].macs == (MAC,)

    generation = three.read("n1").generation
    three.macs["n3"] = ["52:54:00:00:00:07"]
    waking.tell_macs(three.hosts["n3"])
    assert three.read("n1").generation == generation

    three.boot("n3")
    three.look("n3")
    loops.look_after_cluster(three.hosts["n3"])
    assert three.read("n1").nodes["n3"].macs == ("52:54:00:00:00:07",)


def test_cards_that_are_known_change_nothing(three: FakeCluster) -> None:
    generation = has_told(three).read("n1").generation

    three.boot("n3")
    three.look("n3")
    loops.look_after_cluster(three.hosts["n3"])

    assert three.hosts["n3"].has_told_macs and three.read("n1").generation == generation


def test_what_could_not_be_told_is_told_in_a_later_round(three: FakeCluster) -> None:
    def fail() -> list[str]:
        raise CommandFailed("`ip` is missing.")

    host = three.hosts["n3"]
    host.own_macs = fail
    with pytest.raises(CommandFailed):
        waking.tell_macs(host)

    host.own_macs = lambda: [MAC]
    waking.tell_macs(host)

    assert three.read("n1").nodes["n3"].macs == (MAC,)


def test_a_packet_is_sent_by_every_node_that_is_up(three: FakeCluster) -> None:
    has_told(three).down.add("n3")
    member = three.read("n1").nodes["n3"]

    woken = wake(three)

    assert sorted(woken.packets) == ["n1", "n2"] and woken.macs == [MAC]
    addresses = [member.ip_address]
    assert sorted(three.packets) == [("n1", [MAC], addresses), ("n2", [MAC], addresses)]


def test_after_a_power_cut_the_first_node_wakes_the_others(three: FakeCluster) -> None:
    has_told(three).down.update({"n2", "n3"})
    three.boot("n1")

    assert sorted(wake(three).packets) == ["n1"]


def test_who_can_send_nothing_is_no_matter_while_another_can(three: FakeCluster) -> None:
    has_told(three).down.add("n3")
    three.mute.add("n1")
    assert sorted(wake(three).packets) == ["n2"]

    three.mute.add("n2")
    with pytest.raises(McvError, match="n3 was not woken: n1 and n2: Network is unreachable"):
        wake(three)


@pytest.mark.parametrize("node", ["n1", "n3"])
def test_a_node_that_answers_is_not_woken(three: FakeCluster, node: str) -> None:
    has_told(three)

    with pytest.raises(Refused, match=f"{node} is on: its mcvd answers"):
        wake(three, node)
    assert three.packets == []


def test_a_node_of_which_no_card_is_known_says_what_helps(three: FakeCluster) -> None:
    three.down.add("n3")

    with pytest.raises(Refused, match="has not told its network cards") as refused:
        wake(three)
    assert "mcv fence set n3" in refused.value.hint
    with pytest.raises(NotFound, match="no node n9"):
        wake(three, "n9")


@pytest.fixture
def off(fenced: Fenced) -> Fenced:
    """n3 has a plug, and is without power; it has told its card."""
    fenced.add("pdu")
    fenced.set("n3", "pdu:3")
    has_told(fenced.cluster)
    fenced.machines["n3"].switch_off()
    fenced.power.requests.clear()
    return fenced


def test_a_fence_device_comes_first(off: Fenced) -> None:
    woken = wake(off.cluster)

    assert woken.plugs == ["pdu:3"] and woken.packets == {}
    assert off.power.actions("3") == ["on"] and off.cluster.packets == []
    assert off.machines["n3"].is_on()


def test_a_packet_is_sent_where_the_device_fails(off: Fenced) -> None:
    off.power.mode("3", Mode.DEAF)

    woken = wake(off.cluster)

    assert woken.plugs == [] and sorted(woken.packets) == ["n1", "n2"]
    assert "Connection timed out" in woken.trouble


def test_a_device_that_fails_is_told_where_no_card_is_known(off: Fenced) -> None:
    off.power.mode("3", Mode.DEAF)
    forget_cards(off.cluster)

    with pytest.raises(McvError, match="Connection timed out") as failed:
        wake(off.cluster)
    assert failed.value.hint == "mcv fence status n3"


def forget_cards(cluster: FakeCluster) -> None:
    """n3 was up for a moment, with no card."""
    cluster.down.discard("n3")
    cluster.macs["n3"] = []
    cluster.boot("n3")
    cluster.look("n3")
    waking.tell_macs(cluster.hosts["n3"])
    cluster.down.add("n3")


def test_the_plan_says_what_would_be_done_and_does_nothing(off: Fenced) -> None:
    cluster = off.cluster

    plan = cluster.run("n1", waking.wake, node="n3", dry_run=True).plan

    assert plan == [
        "Switch pdu:3 on.",
        f"Where that fails, n1, n2: send a magic packet to {MAC}.",
    ]
    assert off.power.requests == [] and cluster.packets == []
