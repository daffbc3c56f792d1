"""A node is drained and powered off by another one, and etcd keeps its majority."""

import threading
from typing import Any

import pytest

from mcv.api.node_table import NODE_TABLE
from mcv.cluster import draining, etcd_members, etcd_store, powering
from mcv.errors import DoneInPart, HypervisorFailed, McvError, Refused
from mcv.host import Host
from mcv.recovery import journal_recovery
from mcv.system import service_notes
from mcv.system.service_notes import ServiceNote
from mcv.vm import create, power
from tests.fakes.cluster import FakeCluster


@pytest.fixture
def runs(three: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    """web1 runs on n1, and can run on n2; hosts obey at once."""
    monkeypatch.setattr(draining, "POLL", 0.01)
    monkeypatch.setattr(powering, "DELAY", 0.01)
    monkeypatch.setattr(etcd_members, "PAUSE", 0.01)

    def obey(host: Host, verb: str) -> None:
        three.ordered.append((host.name, verb))
        assert three.domains[host.name].active == {}
        three.down.add(host.name)

    monkeypatch.setattr(powering, "_order", obey)
    options = {"memory": "64MiB", "disks": ["64MiB"], "nodes": ["n1", "n2"]}
    three.run("n1", create.create, name="web1", **options)
    three.run("n1", power.start, name="web1")
    return three


@pytest.fixture
def voted(runs: FakeCluster) -> FakeCluster:
    """The same, with the document in etcd."""
    runs.run("n1", etcd_store.to_etcd)
    return runs


def off(cluster: FakeCluster, node: str = "n1", by: str = "n2", **options: Any) -> Any:
    answer = cluster.run(by, powering.power_off, node=node, **options)
    await_orders()
    return answer


def await_orders() -> None:
    """systemd is told a moment after the answer."""
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.join(5)


def test_a_node_is_emptied_before_it_is_powered_off(runs: FakeCluster) -> None:
    answer = off(runs)

    member = runs.read("n2").nodes["n1"]
    assert answer.moved == ["web1"] and runs.ordered == [("n1", "poweroff")]
    assert (member.status, member.maintenance, member.draining) == ("offline", True, True)
    assert runs.read("n2").vms["web1"].node == "n2" and runs.twice == []
    assert member.claim is None and list(runs.hosts["n2"].journal.entries()) == []


def test_the_plan_says_what_leaves_and_that_the_host_goes_off(runs: FakeCluster) -> None:
    before = runs.picture()

    assert off(runs, dry_run=True).plan == [
        "web1 goes from n1 to n2, live.",
        "Then it is offline for maintenance.",
        "n1 powers off.",
    ]
    assert runs.picture() == before and runs.ordered == []


def test_a_node_from_which_something_cannot_leave_stays_on(
    runs: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(phase: str) -> None:
        raise HypervisorFailed("Could not migrate web1: the way broke off.")

    monkeypatch.setattr(runs.domains["n1"], "phase", fail)

    with pytest.raises(DoneInPart, match="n1 stays on: it is not drained") as told:
        off(runs)

    assert "web1" in told.value.message and "mcv node power-off n1" in told.value.hint
    assert runs.ordered == [] and runs.read("n2").nodes["n1"].status == "online"


def test_a_node_in_maintenance_is_powered_off_at_once(runs: FakeCluster) -> None:
    runs.run("n2", draining.drain, node="n1")

    assert off(runs, dry_run=True).plan == ["n1 powers off."]
    assert off(runs).moved == []

    assert runs.ordered == [("n1", "poweroff")]


def test_its_guests_end_with_it_where_that_is_said(runs: FakeCluster) -> None:
    host = runs.hosts["n2"]
    row = NODE_TABLE["node.power_off"]
    assert row.to(host, {"node": "n1", "shutdown": True}) == "n1"
    assert row.to(host, {"node": "n1"}) == "n2" and row.to(host, {"node": "n2"}) == "n1"

    plan = off(runs, by="n1", shutdown=True, dry_run=True).plan

    assert plan == ["n1: shut down web1", "n1 powers off."]


def test_the_last_node_online_stays_on(runs: FakeCluster) -> None:
    runs.run("n1", draining.drain, node="n3")
    runs.run("n1", draining.drain, node="n2")
    runs.run("n1", power.stop, name="web1")

    with pytest.raises(Refused, match="n1 is the last node online") as refused:
        off(runs, by="n1")

    assert "--shutdown" in refused.value.hint and runs.ordered == []
    off(runs, by="n1", shutdown=True)
    assert runs.ordered == [("n1", "poweroff")]


def test_a_crash_in_the_middle_is_gone_on_with_and_the_host_goes_off(runs: FakeCluster) -> None:
    """The plan of the one that died is in its journal, and its claim holds n1."""

    def die(caller: str, node: str, operation: str) -> None:
        if operation == "node.order_off":
            runs.spy = lambda *_: None
            raise SystemExit

    runs.spy = die
    with pytest.raises(SystemExit):
        off(runs)
    assert runs.ordered == [] and runs.read("n3").nodes["n1"].claim is not None

    host = runs.boot("n2")
    runs.look("n2")
    journal_recovery.resume_all(host)
    await_orders()

    assert runs.ordered == [("n1", "poweroff")]
    assert runs.read("n2").nodes["n1"].claim is None


@pytest.mark.parametrize("operation", [powering.power_off, powering.reboot])
def test_a_host_with_a_service_does_not_go_down_with_it_unasked(
    runs: FakeCluster, operation: Any
) -> None:
    host = runs.hosts["n3"]
    note = ServiceNote(name="www", address="10.0.0.9/24", bridge="br0")
    service_notes.write(host.settings.run, note)

    with pytest.raises(Refused, match="n3 runs www"):
        runs.run("n3", operation, node="n3")
    plan = runs.run("n3", operation, node="n3", shutdown=True, dry_run=True).plan
    assert plan[0] == "n3: stop www"


def test_who_has_to_agree_to_a_drain_and_is_silent_keeps_the_host_on(runs: FakeCluster) -> None:
    """By unanimous agreement all that are online take part."""
    runs.down.add("n3")
    before = runs.picture()

    with pytest.raises(McvError, match="n3 does not answer"):
        off(runs)

    assert runs.picture() == before and runs.ordered == []


# The majority of etcd


def test_a_voter_is_powered_off_while_the_others_are_a_majority(voted: FakeCluster) -> None:
    off(voted)

    assert voted.ordered == [("n1", "poweroff")]
    assert voted.read("n2").nodes["n1"].maintenance


def test_where_no_majority_would_be_left_it_is_refused_with_the_counts(voted: FakeCluster) -> None:
    voted.down.add("n3")
    before = voted.picture()

    for node, by, how in (("n1", "n2", {}), ("n1", "n1", {"shutdown": True})):
        with pytest.raises(Refused) as refused:
            off(voted, node=node, by=by, **how)

        [(message, hint)] = refused.value.problems or [(refused.value.message, refused.value.hint)]
        assert message == "Without n1 etcd has no majority: 2 of 3 are needed, n2 would be left."
        assert "First have n3 back" in hint
    with pytest.raises(Refused, match="Without n1 etcd has no majority"):
        voted.run("n1", powering.reboot, node="n1", shutdown=True)
    assert voted.picture() == before and voted.ordered == []


def test_a_majority_that_is_lost_already_holds_nothing_up(voted: FakeCluster) -> None:
    voted.down.update({"n2", "n3"})

    off(voted, by="n1", shutdown=True, dry_run=True)


def test_who_does_not_vote_takes_nobodys_majority_away(voted: FakeCluster) -> None:
    voted.down.add("n3")

    assert etcd_members.why_not_off(voted.hosts["n1"], voted.read("n1"), "n9") == []
