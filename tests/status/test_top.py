"""The load of nodes and VMs: rates between two samples, one measurement for all who ask."""

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from mcv.drivers.libvirt_load import Used
from mcv.status import top
from mcv.system.processor import Spent
from mcv.vm import power
from tests.fakes.cluster import FakeCluster


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(top, "BETWEEN", 0.01)


@pytest.fixture
def running(vm: FakeCluster) -> FakeCluster:
    vm.run("n1", power.start, name="web1")
    return vm


def test_what_runs_is_shown_with_its_node(running: FakeCluster) -> None:
    seen = top.show(running.hosts["n2"])

    (web1,) = seen.vms
    assert (web1.vm, web1.node, web1.memory) == ("web1", "n1", 64 << 20)
    assert web1.cpu > 0 and web1.written > web1.read > 0
    assert [node.node for node in seen.nodes] == ["n1", "n2"]
    for node in seen.nodes:
        assert node.problem is None and node.cpu is not None and 0 <= node.cpu <= 100
        assert node.memory and node.memory_total and 0 < node.memory < node.memory_total


def test_a_rate_is_what_was_used_between_two_samples(
    running: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([10.0, 10.0, 12.0])  # the look, its two samples
    time = SimpleNamespace(monotonic=lambda: next(clock), sleep=lambda seconds: None)
    monkeypatch.setattr("mcv.status.top.time", time)
    times = iter([Spent(busy=100, total=1000), Spent(busy=150, total=1200)])
    monkeypatch.setattr(top, "spent", lambda: next(times))
    running.domains["n1"].load.step = Used(cpu=0.5, memory=1, read=2000, written=0)

    seen = top._measured(running.hosts["n1"])

    assert seen.node.cpu == 25.0
    (web1,) = seen.vms
    assert (web1.cpu, web1.read, web1.written) == (25.0, 1000, 0)


@pytest.mark.parametrize(
    ("before", "now", "seconds", "seen"),
    [(1.0, 3.0, 2.0, 1.0), (None, 3.0, 2.0, 0.0), (1.0, None, 2.0, 0.0), (9.0, 1.0, 2.0, 0.0)],
)
def test_what_is_not_known_or_began_anew_has_no_rate(
    before: float | None, now: float | None, seconds: float, seen: float
) -> None:
    assert top.rate(before, now, seconds) == seen


def test_ten_operators_cost_as_much_as_one(running: FakeCluster) -> None:
    load = running.domains["n1"].load
    answers: list[Any] = []
    watching = [
        threading.Thread(target=lambda: answers.append(top.show(running.hosts["n1"])))
        for _ in range(10)
    ]
    for each in watching:
        each.start()
    for each in watching:
        each.join()

    assert len(answers) == 10 and load.looks == 2
    assert top.show(running.hosts["n1"]) == answers[0] and load.looks == 2


def test_a_second_look_needs_one_sample_more(
    running: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(top, "FRESH", 0.0)
    load = running.domains["n1"].load
    top.own(running.hosts["n1"])
    monkeypatch.setattr(top, "BETWEEN", 0.0)

    top.own(running.hosts["n1"])

    assert load.looks == 3


def test_a_silent_node_has_a_row_that_says_so(running: FakeCluster) -> None:
    running.down.add("n2")

    seen = top.show(running.hosts["n1"])

    n1, n2 = seen.nodes
    assert n1.problem is None and n2.cpu is None and n2.problem and "n2" in n2.problem
    assert [vm.vm for vm in seen.vms] == ["web1"]


def test_a_hung_libvirt_costs_its_vms_alone(running: FakeCluster) -> None:
    running.domains["n1"].silence = "libvirt has not answered on n1 for 60 s"

    seen = top.show(running.hosts["n1"])

    n1, n2 = seen.nodes
    assert n1.problem == "libvirt does not answer" and n1.cpu is not None and n1.memory
    assert n2.problem is None and seen.vms == []


def test_an_answer_of_another_form_costs_that_node(running: FakeCluster) -> None:
    running.bend = lambda node, operation, answer: 7 if operation == "node.load" else answer

    seen = top.show(running.hosts["n1"])

    assert seen.nodes[1].problem and "does not understand" in seen.nodes[1].problem
