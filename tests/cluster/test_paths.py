"""Death is named only of a host that answers on no path for a while."""

import time

import pytest

from mcv.api import loops
from mcv.cluster import members, sightings
from mcv.errors import NotFound, ways_out
from mcv.system import observations
from mcv.vm import create, delete
from tests.fakes.cluster import FakeCluster

DEATH = "--confirm-dead"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observations, "A_WHILE", 0.0)
    monkeypatch.setattr(observations, "LATELY", -1.0)


@pytest.mark.parametrize("path_answers", [True, False])
def test_a_host_without_mcvd_that_still_answers_is_not_called_dead(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch, path_answers: bool
) -> None:
    monkeypatch.setattr(members, "answers_at_all", lambda *_: path_answers)
    host = cluster.hosts["n1"]
    cluster.down.add("n2")

    sightings.watch_paths(host)

    assert (DEATH in host.observations.advice("n2")) is not path_answers


def test_a_host_that_answers_again_is_not_called_dead(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(members, "answers_at_all", lambda *_: False)
    host = cluster.hosts["n1"]
    cluster.down.add("n2")
    sightings.watch_paths(host)
    assert host.observations.advice("n2") == ways_out("n2")

    cluster.down.clear()
    sightings.watch_paths(host)

    assert DEATH not in host.observations.advice("n2")


def test_of_two_silent_members_both_have_to_be_silent_for_a_while(
    three: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(members, "answers_at_all", lambda address, *_: address != "10.0.0.3")
    three.down |= {"n2", "n3"}
    host = three.hosts["n1"]
    sightings.watch_paths(host)

    assert DEATH in host.observations.advice("n3")
    assert DEATH not in host.observations.advice("n2", "n3")


def test_a_moment_of_silence_is_no_while(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observations, "A_WHILE", 60.0)
    monkeypatch.setattr(members, "answers_at_all", lambda *_: False)
    cluster.down.add("n2")

    sightings.watch_paths(cluster.hosts["n1"])

    assert DEATH not in cluster.hosts["n1"].observations.advice("n2")


def test_a_node_that_is_no_member_any_more_is_not_found_and_no_mistake_of_mcvd(
    cluster: FakeCluster,
) -> None:
    with pytest.raises(NotFound):
        members.declare(cluster.hosts["n1"], ["n9"], "c", "alice", "n9 is dead")


def test_a_clock_that_is_set_back_makes_no_silent_member_heard(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    seen = cluster.hosts["n1"].observations
    seen.hear("n2")
    assert seen.was_heard_lately("n2") and seen.heard_lately("n2")

    monkeypatch.setattr(seen, "_now", lambda: time.time() - 3600)

    assert not seen.was_heard_lately("n2") and not seen.heard_lately("n2")
    seen.hear("n2")
    assert seen.was_heard_lately("n2") and seen.heard_lately("n2")


def test_what_was_seen_of_a_replica_is_not_known_of_the_next_of_its_name(
    cluster: FakeCluster,
) -> None:
    host = cluster.hosts["n1"]
    host.observations.hear("n2")
    cluster.run("n1", create.create, name="web1", memory="64MiB", disks=["64MiB"])
    host.observations.see_in_step("mcv-web1-1")
    loops.look_after_cluster(host)
    assert host.observations.last_in_step("mcv-web1-1") is not None

    cluster.run("n1", delete.delete, name="web1")
    loops.look_after_cluster(host)

    assert host.observations.last_in_step("mcv-web1-1") is None
    assert host.observations.last_heard("n2") is not None
