"""A host goes down by its own daemon, when nothing runs there, and is waited for."""

import time

import pytest

from mcv.cluster import draining, powering
from mcv.errors import Cancelled, Refused
from mcv.system import systemd
from mcv.vm import create, power
from tests.fakes.cluster import FakeCluster


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(powering, "DELAY", 0.01)
    monkeypatch.setattr(powering, "POLL", 0.01)
    monkeypatch.setattr(draining, "POLL", 0.01)


@pytest.fixture
def runs(three: FakeCluster) -> FakeCluster:
    """web1 runs on n1, and can run on n2."""
    options = {"memory": "64MiB", "disks": ["64MiB"], "nodes": ["n1", "n2"]}
    three.run("n1", create.create, name="web1", **options)
    three.run("n1", power.start, name="web1")
    return three


def ordered(cluster: FakeCluster) -> list[tuple[str, str]]:
    time.sleep(0.2)
    return cluster.ordered


def test_a_host_on_which_a_vm_runs_does_not_go_down(runs: FakeCluster) -> None:
    for operation in (powering.reboot, powering.power_off):
        with pytest.raises(Refused, match="n1 runs web1") as refused:
            runs.run("n1", operation, node="n1")
        assert "mcv node drain n1" in refused.value.hint

    assert ordered(runs) == []


def test_it_does_with_its_guests_where_that_is_said(runs: FakeCluster) -> None:
    plan = runs.run("n1", powering.reboot, node="n1", shutdown=True, dry_run=True).plan
    assert plan == ["n1: shut down web1", "n1 reboots."]
    assert ordered(runs) == []

    answer = runs.run("n1", powering.reboot, node="n1", shutdown=True)

    assert answer.boot == "boot 1" and ordered(runs) == [("n1", "reboot")]


def test_a_drained_host_powers_off(runs: FakeCluster) -> None:
    runs.run("n2", draining.drain, node="n1")
    runs.look("n1")

    runs.run("n1", powering.power_off, node="n1")

    assert ordered(runs) == [("n1", "poweroff")]


def test_a_host_that_is_at_work_or_goes_down_already_is_let_alone(runs: FakeCluster) -> None:
    runs.going_down.add("n1")
    runs.agreements["n1"].propose(
        "vm.claim", {"name": "web1", "why": "do something"}, id="job9.1", who="alice", why="a test"
    )

    with pytest.raises(Refused) as refused:
        runs.run("n1", powering.reboot, node="n1", shutdown=True)

    said = [message for message, _ in refused.value.problems]
    assert said == ["n1 is at work: do something.", "n1 is going down already."]


def test_a_host_is_waited_for_until_it_has_booted_and_is_in_contact(three: FakeCluster) -> None:
    asked: list[str] = []

    def come_back(caller: str, node: str, operation: str) -> None:
        if operation == "node.boot":
            asked.append(operation)
            if len(asked) == 3:
                three.reboot("n2")
            if len(asked) == 6:
                three.look("n2")

    three.spy = come_back

    assert three.run("n1", powering.await_return, node="n2", boot="boot 1").node == "n2"
    assert len(asked) > 5


def test_the_wait_can_be_cancelled(three: FakeCluster) -> None:
    def cancel(caller: str, node: str, operation: str) -> None:
        for job in three.hosts["n1"].jobs._jobs.values():
            job.cancelled.set()

    three.spy = cancel
    with pytest.raises(Cancelled):
        three.run("n1", powering.await_return, node="n2", boot="boot 1")


def test_the_order_is_systemds() -> None:
    commands: list[tuple[str, ...]] = []

    def run(*command: str) -> str:
        commands.append(command)
        return ""

    systemd.go_down("reboot", run)  # type: ignore[arg-type]

    assert commands == [("systemctl", "--no-block", "reboot")]
