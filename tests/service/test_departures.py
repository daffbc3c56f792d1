"""Services leave a node that is drained or evacuated, are taken over, and come home."""

import pytest

from mcv.cluster import draining, idle, members, service_departures
from mcv.errors import DoneInPart, Refused
from mcv.service import power
from tests.fakes.cluster import FakeCluster
from tests.service.names import ADDRESS, STARTED, STOPPED, B


def start(served: FakeCluster) -> None:
    served.run("n1", power.start, name="www")
    served.segment.happened.clear()


def on(node: str, lines: list[str]) -> list[str]:
    return [line.replace("n1:", f"{node}:") for line in lines]


def test_a_drain_moves_a_service_that_runs_and_keeps_its_home(served: FakeCluster) -> None:
    start(served)

    emptied = served.run("n2", draining.drain, node="n1")

    www = served.read("n2").services["www"]
    assert (www.node, www.home, www.entry.wanted) == ("n2", "n1", "started")
    assert served.segment.happened == [*STOPPED, *on("n2", STARTED)]
    assert (emptied.moved, served.read("n2").node("n1").maintenance) == (["www"], True)


def test_a_restoration_brings_it_home(served: FakeCluster) -> None:
    start(served)
    served.run("n2", draining.drain, node="n1")
    served.segment.happened.clear()

    restored = served.run("n2", draining.restore, node="n1")

    assert restored.moved == ["www"]
    assert served.read().services["www"].node == "n1"
    assert served.segment.happened == [*on("n2", STOPPED), *STARTED]
    assert served.segment.twice == []


def test_a_plan_names_where_it_goes(served: FakeCluster) -> None:
    planned = served.run("n2", draining.drain, node="n1", dry_run=True)

    assert planned.plan[0] == "www goes from n1 to n2: it is stopped and started."


def test_a_service_that_no_node_can_have_is_left_and_the_node_stays_draining(
    served: FakeCluster,
) -> None:
    for name in ("n2", "n3"):
        served.bridges[name].names = ("br-lan",)
    start(served)

    with pytest.raises(DoneInPart, match="n2 has no bridge br0"):
        served.run("n2", draining.drain, node="n1")

    cluster = served.read()
    assert (cluster.services["www"].node, cluster.node("n1").draining) == ("n1", True)
    assert cluster.node("n1").status == "online"
    assert served.segment.happened == []


def test_a_service_that_does_not_stop_holds_up_the_maintenance(
    served: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idle, "IDLE", 0.0)
    start(served)
    served.services["n1"].units.endless.add(B)

    with pytest.raises(DoneInPart, match="www"):
        served.run("n2", draining.drain, node="n1")

    assert served.read().node("n1").status == "online"


def test_an_evacuation_moves_it_too(served: FakeCluster) -> None:
    start(served)

    served.run("n2", draining.evacuate, node="n1")

    assert served.read().services["www"].node == "n2"
    assert not served.read().node("n1").draining


def test_of_a_node_that_is_offline_it_is_taken_over_and_not_started(served: FakeCluster) -> None:
    with pytest.raises(Refused, match="n1 owns www"):
        served.run("n1", members.offline, names=["n1"])
    served.hosts["n1"].update("node.offline", "n1 shuts down", name="n1")

    taken = served.run("n2", draining.evacuate, node="n1")

    www = served.read("n2").services["www"]
    assert (taken.moved, www.node, www.home) == (["www"], "n2", "n1")
    assert served.segment.happened == []


def test_the_domain_comes_first_and_a_restricted_one_alone(served: FakeCluster) -> None:
    cluster = served.read()
    www = cluster.services["www"]

    assert service_departures.candidates(cluster, www) == ["n2", "n3"]
    host = served.hosts["n1"]
    nodes = {"n1": 1, "n3": 2}
    host.update("ha.domain", "x", name="back", nodes=nodes, restricted=True)
    host.update("ha.change", "x", name="www", domain="back")
    cluster = served.read()
    assert service_departures.candidates(cluster, cluster.services["www"]) == ["n3"]
    host.update("node.drain", "x", name="n3")
    cluster = served.read()
    assert service_departures.candidates(cluster, cluster.services["www"]) == []


def test_a_node_beside_whom_it_is_not_to_run_comes_last(served: FakeCluster) -> None:
    host = served.hosts["n1"]
    service = {"name": "ftp", "address": "192.0.2.81/24", "bridge": "br0", "node": "n2"}
    host.update("service.add", "x", service=service, entry={"wanted": "started"})
    host.update("ha.change", "x", name="www", domain="")
    host.update("ha.tie", "x", kind="apart", names=["ftp", "www"])
    cluster = served.read()

    assert service_departures.candidates(cluster, cluster.services["www"]) == ["n3", "n2"]


def test_whoever_has_claimed_it_is_waited_for(
    served: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_departures, "PATIENCE", 0.0)
    monkeypatch.setattr(idle, "IDLE", 0.0)
    start(served)
    served.hosts["n1"].update("service.claim", "x", name="www", why="move")

    with pytest.raises(DoneInPart, match="www is busy: move"):
        served.run("n2", draining.drain, node="n1")

    assert f"n1: -{ADDRESS}" not in served.segment.happened
