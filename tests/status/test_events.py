"""Events of all nodes: what operations and the daemon leave, merged, with silence told."""

import time
from typing import Any

import pytest

from mcv.api import dispatch
from mcv.api import events as api_events
from mcv.api.table import TABLE
from mcv.cluster import sightings
from mcv.errors import Failed, McvError, Refused
from mcv.rpc.auth import Caller
from mcv.status import events
from mcv.system.event_log import Event, moment
from tests.fakes.cluster import FakeCluster

ROOT = Caller("operator", "root", superuser_shell=True)
ALICE = Caller("operator", "alice", pid=4711, sudo_uid=1000)


def ask(cluster: FakeCluster, caller: Caller, operation: str, /, **params: Any) -> Any:
    answer = dispatch.serve(cluster.hosts["n1"], caller, operation, params, {})
    if isinstance(answer, dict) and "job" in answer:
        job = cluster.hosts["n1"].jobs.get(answer["job"])
        while job.follow(10**9, 0.05)["state"] == "running":
            pass
    return answer


def told(cluster: FakeCluster, node: str = "n1") -> list[tuple[str, str, str, str]]:
    seen = cluster.hosts[node].jobs.events.read().events
    return [(event.who, event.what, event.subject, event.outcome) for event in seen]


def test_an_operation_is_told_with_who_asked_and_how_it_ended(vm: FakeCluster) -> None:
    ask(vm, ALICE, "vm.start", name="web1")
    ask(vm, ALICE, "vm.start", name="web1")
    ask(vm, ROOT, "vm.lock", name="web1")

    first, second, third = told(vm)
    assert first == ("alice", "start", "web1", "done")
    assert second[:3] == ("alice", "start", "web1")
    assert third == ("root", "lock", "web1", "done")


def test_a_refusal_is_told_and_a_look_is_not(
    vm: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcv.system.users.exists", lambda _: True)
    ask(vm, ROOT, "permission.add", user="root")
    ask(vm, ROOT, "permission.grant", who="alice", right="view")
    with pytest.raises(McvError):
        ask(vm, ALICE, "vm.delete", name="web1")
    ask(vm, ALICE, "vm.list")
    ask(vm, ROOT, "vm.delete", name="web1", dry_run=True)
    ask(vm, ROOT, "vm.start", name="web2")

    assert told(vm) == [
        ("root", "permission add", "root", "done"),
        ("root", "permission grant", "alice", "done"),
        ("alice", "delete", "web1", "refused: alice lacks the right change over web1."),
        ("root", "start", "web2", "refused: There is no VM web2."),
    ]


def test_where_a_vm_goes_is_told_and_no_other_parameter() -> None:
    about = api_events.about
    rows = TABLE

    secret = {"name": "web1", "to": "n2", "password": "secret", "why": "secret"}
    assert about("vm.migrate", rows["vm.migrate"], secret) == ("migrate to n2", "web1")
    assert about("node.offline", rows["node.offline"], {"names": ["n2", "n3"]}) == (
        "node offline",
        "n2 n3",
    )
    dead = {"names": ["n2"], "confirm_dead": True, "dry_run": True}
    assert about("node.offline", rows["node.offline"], dead)[0] == "node offline --confirm-dead"
    assert about("cluster.add_node", rows["cluster.add_node"], {"node": "n3"}) == (
        "cluster add node",
        "n3",
    )
    assert about("vm.create", rows["vm.create"], {"name": "web2", "node": "n2"}) == (
        "create on n2",
        "web2",
    )
    assert about("network.create", rows["network.create"], {"name": "lan"}) == (
        "network create",
        "lan",
    )


def test_an_attempt_that_fails_as_the_one_before_is_no_news(cluster: FakeCluster) -> None:
    jobs = cluster.hosts["n1"].jobs

    def fail() -> None:
        raise Failed("n2 does not answer.")

    for _ in range(3):
        job = jobs.begin("migrate web1", "alice", "job1")
        jobs.run(job, fail)
    jobs.run(jobs.begin("migrate web1", "alice", "job1"), lambda: None)

    assert [outcome for _, _, _, outcome in told(cluster)] == [
        "failed: n2 does not answer.",
        "done",
    ]


def test_what_a_stop_of_the_daemon_cut_off_is_told(cluster: FakeCluster) -> None:
    cluster.hosts["n1"].jobs.begin("migrate web1", "alice")
    cluster.boot("n1").jobs.close_interrupted(set())

    ((who, what, _, outcome),) = told(cluster)
    assert (who, what) == ("alice", "migrate web1")
    assert "was interrupted by a stop of mcvd" in outcome


def test_members_that_fall_silent_and_come_back_are_told(cluster: FakeCluster) -> None:
    host = cluster.hosts["n1"]
    sightings.look(host)  # n2 was heard by the poll of the fixture, or never was
    host.observations.hear("n2")
    sightings.look(host)
    host.observations._heard["n2"] -= 60
    sightings.look(host)
    sightings.look(host)
    host.observations.hear("n2")
    sightings.look(host)

    seen = told(cluster)
    assert [each[:3] for each in seen] == [
        ("mcvd", "member lost", "n2"),
        ("mcvd", "member back", "n2"),
    ]
    assert "last heard" in seen[0][3]


def test_a_member_that_was_never_heard_is_not_lost(cluster: FakeCluster) -> None:
    host = cluster.hosts["n1"]
    host.observations._heard.clear()

    sightings.look(host)
    sightings.look(host)

    assert told(cluster) == []


def record(cluster: FakeCluster, node: str, when: str, what: str) -> None:
    log = cluster.hosts[node].jobs.events
    log._append([Event(when=when, node=node, who="a", what=what, subject="", outcome="done")])


def ago(seconds: float) -> str:
    return moment(time.time() - seconds)


def test_the_events_of_all_nodes_are_merged_by_time(cluster: FakeCluster) -> None:
    record(cluster, "n1", ago(30), "first")
    record(cluster, "n2", ago(20), "second")
    record(cluster, "n1", ago(10), "third")

    seen = events.show(cluster.hosts["n2"])

    assert [(event.node, event.what) for event in seen.events] == [
        ("n1", "first"),
        ("n2", "second"),
        ("n1", "third"),
    ]
    assert seen.silent == {} and seen.more == []
    record(cluster, "n1", ago(0), "fourth")
    again = events.show(cluster.hosts["n2"], cursors=seen.cursors)
    assert [event.what for event in again.events] == ["fourth"]


def test_a_silent_member_costs_its_own_events_and_keeps_its_place(cluster: FakeCluster) -> None:
    record(cluster, "n1", ago(30), "first")
    record(cluster, "n2", ago(20), "second")
    before = events.show(cluster.hosts["n1"])
    record(cluster, "n2", ago(10), "third")
    cluster.down.add("n2")

    seen = events.show(cluster.hosts["n1"], cursors=before.cursors)
    assert seen.events == [] and list(seen.silent) == ["n2"]

    cluster.down.clear()
    again = events.show(cluster.hosts["n1"], cursors=seen.cursors)
    assert [event.what for event in again.events] == ["third"]


def test_a_node_speaks_for_itself_alone_and_lies_cost_its_own_events(cluster: FakeCluster) -> None:
    record(cluster, "n1", ago(30), "mine")
    record(cluster, "n2", ago(20), "yours")

    def pretend(node: str, operation: str, answer: Any) -> Any:
        if operation == "node.events":
            answer["events"] = [{**event, "node": "n1"} for event in answer["events"]]
        return answer

    cluster.bend = pretend
    seen = events.show(cluster.hosts["n1"])
    assert [(event.node, event.what) for event in seen.events] == [("n1", "mine"), ("n2", "yours")]

    cluster.bend = lambda node, operation, answer: [7] if operation == "node.events" else answer
    seen = events.show(cluster.hosts["n1"])
    assert [event.what for event in seen.events] == ["mine"] and "n2" in seen.silent


def test_a_time_that_is_none_is_refused(cluster: FakeCluster) -> None:
    with pytest.raises(Refused, match="is no time"):
        events.show(cluster.hosts["n1"], since="yesterday")
    with pytest.raises(Refused, match="is no time"):
        events.own(cluster.hosts["n1"], since="2026-01-01T00:00:00Z/../x")
