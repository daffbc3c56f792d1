"""A living node gets other addresses: proved first, written down, followed by DRBD."""

import os
import time

import pytest

from mcv.cluster import addresses
from mcv.cluster.conf_file import with_values
from mcv.drbd import enable, new_addresses
from mcv.drivers import addresses as own_addresses
from mcv.errors import DoneInPart, Failed, McvError, PeerUnreachable, Refused
from mcv.host import Host
from mcv.vm import power
from tests.fakes.cluster import FakeCluster

NEW = "10.0.9.1"


@pytest.fixture(autouse=True)
def own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The host has its new addresses; loops turn while a replica is waited for."""
    monkeypatch.setattr(own_addresses, "own", lambda: [NEW, "10.1.9.1"])
    monkeypatch.setattr(new_addresses, "LOOK", 0.01)


@pytest.fixture
def running(vm: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    """web1 runs on n1, with its other replica on n2; each node listens where `doors` says."""
    vm.run("n1", power.start, name="web1")

    def turn(seconds: float) -> None:
        for host in vm.hosts.values():
            enable.adjust(host)

    monkeypatch.setattr(time, "sleep", turn)
    return vm


def listen(host: Host) -> list[str]:
    """What the node's ports do from now on; the addresses at which they are open."""
    there = [host.settings.address]
    host.also_listen = lambda address: there.append(address) if address not in there else None

    def only(address: str) -> None:
        there[:] = [each for each in there if each == address]

    host.listen_only = only
    return there


def files_of(cluster: FakeCluster, name: str) -> str:
    directory = cluster.hosts[name].settings.drbd_directory
    return "".join(path.read_text() for path in sorted(directory.glob("*.res")))


def test_both_addresses_are_new_everywhere_and_the_guest_runs_on(running: FakeCluster) -> None:
    host = running.hosts["n1"]
    there = listen(host)

    answer = running.run("n1", addresses.set_, name="n1", ip_address=NEW, drbd_address="10.1.9.1")

    assert (answer.ip_address, answer.drbd_address) == (NEW, "10.1.9.1")
    node = running.read("n2").node("n1")
    assert (node.ip_address, node.drbd_address, node.claim) == (NEW, "10.1.9.1", None)
    assert there == [NEW] and host.settings.address == NEW
    for name in ("n1", "n2"):
        assert "10.1.9.1:" in files_of(running, name) and "10.0.0.1:" not in files_of(running, name)
    assert running.domains["n1"].active == {"web1": "running"}
    assert host.settings.conf.read_text() == f"address = {NEW}\ndrbd_address = 10.1.9.1\n"
    assert not list(host.settings.state.glob("mcv.conf*"))


def test_what_is_not_named_stays(running: FakeCluster) -> None:
    running.run("n1", addresses.set_, name="n1", ip_address=NEW)

    node = running.read().node("n1")
    assert (node.ip_address, node.drbd_address) == (NEW, "10.0.0.1")
    assert "10.0.0.1:" in files_of(running, "n2")


def test_the_plan_is_shown_and_nothing_done(running: FakeCluster) -> None:
    there, before = listen(running.hosts["n1"]), running.picture()

    shown = running.run("n1", addresses.set_, name="n1", drbd_address=NEW, dry_run=True)

    assert shown.plan == [
        f"n1: node.take_addresses node=n1 ip_address=10.0.0.1 drbd_address={NEW}",
        f"document: node.addresses name=n1 ip_address=10.0.0.1 drbd_address={NEW}",
        "n2: node.await_replicas node=n1",
        "n1: node.leave_former node=n1",
    ]
    assert running.picture() == before and there == ["10.0.0.1"]
    assert not running.hosts["n1"].settings.conf.exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "nothing to set"),
        ({"ip_address": "10.0.0.1"}, "has these addresses already"),
        ({"ip_address": "here"}, "is no IP address"),
        ({"ip_address": "127.0.0.1"}, "no address that another node can reach"),
        ({"drbd_address": "10.0.0.2"}, "is an address of n2"),
        ({"ip_address": "fd00::9"}, "is of IPv6"),
        ({"ip_address": "10.0.9.77"}, "n1 has no address 10.0.9.77"),
    ],
)
def test_an_address_that_cannot_be_is_refused(
    running: FakeCluster, given: dict[str, str], said: str
) -> None:
    before = running.picture()

    with pytest.raises(Refused, match=said):
        running.run("n1", addresses.set_, name="n1", **given)

    assert running.picture() == before


def test_a_member_that_does_not_reach_it_there_is_told(running: FakeCluster) -> None:
    there = listen(running.hosts["n1"])

    def reach(node: str, address: str) -> None:
        assert node == "n1" and address in there
        raise McvError("it does not answer.")

    running.hosts["n2"].reach = reach
    with pytest.raises(Refused, match=f"n2 does not reach n1 at {NEW}: it does not answer"):
        running.run("n1", addresses.set_, name="n1", ip_address=NEW)

    assert there == ["10.0.0.1"] and running.read().node("n1").ip_address == "10.0.0.1"


def test_no_node_is_set_while_a_replica_is_apart_or_at_work(running: FakeCluster) -> None:
    running.drbd["n2"].disconnect("mcv-web1-1")
    with pytest.raises(Refused, match="mcv-web1-1 is not connected"):
        running.run("n1", addresses.set_, name="n1", drbd_address=NEW)
    running.drbd["n2"].connect("mcv-web1-1")

    running.world.verifying["mcv-web1-1"] = "n1"
    with pytest.raises(Refused, match="is being synced or verified"):
        running.run("n1", addresses.set_, name="n1", drbd_address=NEW)


def test_an_mcv_conf_that_cannot_be_written_is_told_before(
    running: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As under a unit of before, for which /etc is read-only."""
    monkeypatch.setattr(os, "access", lambda path, mode: False)

    with pytest.raises(Refused, match=r"mcvd of n1 cannot write .*n1\.conf"):
        running.run("n1", addresses.set_, name="n1", ip_address=NEW)


def test_no_two_nodes_are_set_at_once(running: FakeCluster) -> None:
    running.hosts["n2"].update("node.claim", "x", name="n2", why="set addresses of n2")

    with pytest.raises(Refused, match="set addresses of n2 is under way"):
        running.run("n1", addresses.set_, name="n1", ip_address=NEW)


def test_a_change_that_is_refused_leaves_mcv_conf_as_it_was(running: FakeCluster) -> None:
    host = running.hosts["n1"]
    host.settings.conf.write_text("# mine\n[mcv]\naddress = 10.0.0.1\nhistory = 9\n")
    before, there = host.settings.conf.read_text(), listen(host)

    def spy(caller: str, node: str, operation: str) -> None:
        if node == "n2" and host.settings.address == NEW:
            raise PeerUnreachable("n2 does not answer.")

    running.spy = spy
    with pytest.raises(Failed, match="was undone"):
        running.run("n1", addresses.set_, name="n1", ip_address=NEW)

    assert running.read().node("n1").ip_address == host.settings.address == "10.0.0.1"
    assert host.settings.conf.read_text() == before and there == ["10.0.0.1"]
    assert not list(host.settings.state.glob("mcv.conf*"))


def test_a_replica_that_does_not_come_back_is_told(
    running: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(new_addresses, "REJOIN", 0.0)

    with pytest.raises(DoneInPart, match="mcv-web1-1 on n2 did not find n1 at its new address"):
        running.run("n1", addresses.set_, name="n1", drbd_address=NEW)

    assert running.read("n2").node("n1").drbd_address == NEW
    assert running.read("n2").node("n1").claim is None


def test_the_loop_leaves_addresses_to_the_plan_that_sets_them(running: FakeCluster) -> None:
    host = running.hosts["n1"]
    host.update("node.claim", "x", name="n1", why="set addresses of n1")
    addresses.take_addresses(host, "n1", NEW, NEW)

    addresses.follow_conf(host)

    assert running.read().node("n1").ip_address == "10.0.0.1"
    addresses.keep_addresses(host, "n1", "10.0.0.1", "10.0.0.1")
    assert host.settings.address == "10.0.0.1" and host.settings.conf.read_text() == ""


@pytest.mark.parametrize(
    ("text", "new"),
    [
        ("", "address = a\n"),
        ("# address = old\n", "# address = old\naddress = a\n"),
        ("[mcv]\naddress=old # x\nnode = n1\n", "[mcv]\naddress = a\nnode = n1\n"),
        ("address : old", "address = a\n"),
    ],
)
def test_the_lines_of_mcv_conf_stay(text: str, new: str) -> None:
    assert with_values(text, {"address": "a"}) == new
