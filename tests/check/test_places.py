"""The check asks what would run nowhere if a node died, by the code of mcv ha what-if."""

import time
from typing import Any

import pytest

from mcv.check import runner
from mcv.check.finding import FindingView
from mcv.cluster import checking, ha_rounds, ha_what_if
from mcv.errors import PeerUnreachable
from mcv.etcd.requests import put
from mcv.ha.values import Mark
from mcv.host import Host
from tests.fakes.armed import add_vm, keys, renew
from tests.fakes.armed import armed as armed
from tests.fakes.cluster import FakeCluster
from tests.fakes.fixtures import vm as vm


def managed(cluster: FakeCluster, *names: str) -> None:
    def add(host: Host, name: str) -> None:
        host.update("ha.add", "manage", name=name, entry={})

    for name in names:
        cluster.run("n1", add, name=name)


def found(cluster: FakeCluster, node: str = "n1") -> list[FindingView]:
    findings = cluster.run(node, checking.check).findings
    return [each for each in findings if "died" in each.message]


def in_words(cluster: FakeCluster) -> list[tuple[str, str, str]]:
    return [(str(each.severity), each.node, each.subject) for each in found(cluster)]


def decided(cluster: FakeCluster) -> None:
    """Rounds on every node, whose leases are renewed."""
    for sequence in (2, 3):
        for name in cluster.hosts:
            renew(cluster, name, sequence)
        for name in cluster.hosts:
            cluster.run(name, ha_rounds.decide)


def test_what_finds_a_place_whichever_node_dies_is_well(armed: FakeCluster) -> None:
    managed(armed, "web1")
    decided(armed)

    assert found(armed, "n1") == found(armed, "n3") == []


def test_a_guest_that_would_run_nowhere_is_a_warning(armed: FakeCluster) -> None:
    """web1 has its other replica on n2 alone, which is marked as behind."""
    add_vm(armed, "web2", "n1", "n3")
    managed(armed, "web1", "web2")
    decided(armed)
    resource = armed.read("n1").vm("web1").disks[0].resource  # type: ignore[union-attr]
    mark = Mark("n2", "n1", "2026-11-29T10:00:00Z", "n2 is not to be reached")
    armed.etcd.change([], [put(keys(armed).stale(resource), mark.encode().encode())])

    [told] = found(armed, "n3")

    assert (told.severity, told.node, told.subject) == ("warning", "n1", "web1")
    assert told.message.startswith("If n1 died, web1 would run nowhere: newest data is on n1.")
    assert "n2: the replica on n2 is behind" in told.message and "n3: " in told.message
    assert told.hint == "What each node lacks: mcv ha explain web1"


def test_a_silent_node_takes_nothing_and_is_waited_for_once(armed: FakeCluster) -> None:
    managed(armed, "web1")
    decided(armed)
    armed.down.add("n2")
    began = time.monotonic()

    assert in_words(armed) == [("warning", "n1", "web1")]
    assert time.monotonic() - began < 3 * runner.SIGN_OF_LIFE


def test_a_node_whose_daemon_has_just_begun_misses_no_leases(armed: FakeCluster) -> None:
    managed(armed, "web1")
    decided(armed)
    armed.hosts["n3"].leases.forget()

    assert found(armed, "n3") == []


def test_a_cluster_that_is_not_armed_is_asked_as_if_it_were(vm: FakeCluster) -> None:
    """Two nodes that agree unanimously: n2 is in maintenance."""
    managed(vm, "web1")
    assert found(vm) == []

    vm.run("n1", lambda host: host.update("node.maintenance", "maintenance", name="n2"))

    assert in_words(vm) == [("warning", "n1", "web1")]


def test_what_is_not_known_is_said(armed: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(*_: Any) -> Any:
        raise PeerUnreachable("What was decided cannot be read: etcd is silent.", "See it.")

    managed(armed, "web1")
    monkeypatch.setattr(ha_what_if, "without_a_place", silent)

    [told] = found(armed)

    assert (told.severity, told.node, told.hint) == ("warning", "n1", "See it.")
    assert "etcd is silent" in told.message


def test_mending_looks_again_by_the_same(armed: FakeCluster) -> None:
    managed(armed, "web1")
    decided(armed)
    armed.down.add("n2")

    told = armed.run("n1", checking.fix, fixes=[])

    assert [each.subject for each in told.findings if "died" in each.message] == ["web1"]
