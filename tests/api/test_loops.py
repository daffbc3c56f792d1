"""The daemon's loops: what each of their rounds needs, and what an error of a round ends."""

import logging

import pytest

from mcv.api import loops
from mcv.api.loops import Loop, Loops
from mcv.cluster import addresses
from mcv.drbd import enable, verification_results
from mcv.errors import McvError, Unreadable
from mcv.host import Host
from tests.fakes.cluster import FakeCluster


@pytest.fixture
def host(cluster: FakeCluster) -> Host:
    return cluster.hosts["n1"]


def run(host: Host, monkeypatch: pytest.MonkeyPatch, error: Exception | None = None) -> list[str]:
    """The rounds of a daemon that brings DRBD up and then stops in its first round."""
    done: list[str] = []
    daemon = Loops(host)

    def bring_up(_: Host) -> None:
        done.append("up")
        if error is not None:
            raise error

    def look_after(_: Host) -> None:
        done.append("round")
        daemon.stopping.set()

    monkeypatch.setattr(loops, "BRING_UP", Loop("bring DRBD up", 0, bring_up))
    monkeypatch.setattr(loops, "LOOPS", (Loop("cluster", 0, look_after),))
    if host.consensus.damage:
        daemon.stopping.set()
    daemon.run()
    return done


@pytest.mark.parametrize("error", [None, McvError("no module"), OSError("no room"), KeyError("x")])
def test_the_loops_begin_whatever_comes_of_bringing_the_disks_up(
    host: Host,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception | None,
) -> None:
    with caplog.at_level(logging.WARNING):
        assert run(host, monkeypatch, error) == ["up", "round"]

    assert [record.getMessage()[:18] for record in caplog.records] == (
        ["loop bring DRBD up"] if error else []
    )


def test_a_node_that_takes_part_in_nothing_brings_no_disks_up(
    cluster: FakeCluster, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.agreements["n1"].contact.key_damage = Unreadable("key.pem cannot be read.")

    assert run(host, monkeypatch) == []


def test_a_node_whose_libvirt_hangs_comes_back(cluster: FakeCluster) -> None:
    back = cluster.hosts["n1"]
    cluster.down.add("n1")
    survivor = cluster.hosts["n2"].consensus
    survivor.declare(["n1"], id="dead", who="alice", why="power is off", alive=list)
    cluster.down.clear()
    cluster.domains["n1"].silence = "libvirt has not answered on n1 for 9 s"

    for _ in range(3):
        loops.look_after_cluster(back)

    assert cluster.read("n2").nodes["n1"].status == "online"


def test_a_change_that_cannot_be_made_keeps_no_observation_from_the_disk(
    cluster: FakeCluster, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Host) -> None:
        raise McvError("n2 does not answer.")

    done: list[str] = []
    monkeypatch.setattr(addresses, "follow_conf", fail)
    monkeypatch.setattr(verification_results, "conclude", lambda _: done.append("conclude"))
    monkeypatch.setattr(enable, "adjust", lambda _: done.append("adjust"))
    monkeypatch.setattr(host.observations, "save", lambda: done.append("save"))
    cluster.look("n1")

    loops.look_after_cluster(host)

    assert done == ["conclude", "adjust", "save"]
