"""A node that answers in part: what it does tell is shown, and nobody advises to call it dead."""

import threading
import time
from typing import Any

import pytest

from mcv.errors import PeerUnreachable, wait_for
from mcv.status import cluster as status_cluster
from mcv.status import report, resources, vms
from mcv.system import fanout
from tests.fakes.cluster import FakeCluster

DEATH = "--confirm-dead"


def whole(cluster: FakeCluster, asked: str) -> str:
    """All that list, info and drbd list say on a node."""
    host = cluster.hosts[asked]
    return repr([status_cluster.info(host), vms.list_(host), resources.list_(host)])


@pytest.mark.parametrize("asked", ["n1", "n2"])
def test_a_node_whose_libvirt_hangs_tells_all_else_and_is_online(
    vm: FakeCluster, asked: str
) -> None:
    vm.domains["n1"].silence = "libvirt has not answered on n1 for 9 s"

    info = status_cluster.info(vm.hosts[asked])
    [row] = vms.list_(vm.hosts[asked])
    [resource] = resources.list_(vm.hosts[asked])

    seen = {node.name: (node.status, node.problem) for node in info.nodes}
    assert seen == {"n1": ("online", "libvirt does not answer"), "n2": ("online", None)}
    assert any("libvirt does not answer" in line for line in info.attention)
    assert row.state == "unknown" and "libvirt does not answer" in str(row.attention)
    assert str(resource.node["n1"].disk) == "UpToDate"
    assert DEATH not in whole(vm, asked)


def test_a_tool_that_hangs_itself_delays_no_other(
    vm: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on = threading.Event()
    monkeypatch.setattr(report, "PART", 0.1)
    monkeypatch.setattr(vm.drbd["n1"], "statuses", lambda: goes_on.wait(10) and {})

    told = report.report(vm.hosts["n1"])

    goes_on.set()
    assert told.domains == {"web1": "stopped"} and told.resources is None
    assert told.problem == "DRBD cannot be read"
    assert told.trouble == ["DRBD cannot be read on n1: DRBD does not answer in time."]


def test_a_node_that_gives_a_sign_of_life_alone_is_slow(
    vm: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fanout, "ANSWER", 0.1)
    call = vm.hosts["n2"].call

    def slow(node: str, operation: str, /, **params: Any) -> Any:
        if operation == "node.report":
            time.sleep(0.5)
        return call(node, operation, **params)

    vm.hosts["n2"].call = slow

    info = status_cluster.info(vm.hosts["n2"])
    [row] = vms.list_(vm.hosts["n2"])

    assert [(node.status, node.problem) for node in info.nodes] == [
        ("online", "slow"),
        ("online", None),
    ]
    assert "n1 is slow" in str(row.attention) and row.state == "unknown"
    assert DEATH not in whole(vm, "n2")


def test_a_member_that_is_silent_for_a_moment_is_waited_for(vm: FakeCluster) -> None:
    host = vm.hosts["n2"]
    host.advice = host.observations.advice
    vm.agreements["n2"].contact.advice = host.advice

    def silent(node: str, *_: Any, **__: Any) -> Any:
        raise PeerUnreachable(f"{node} does not answer.", host.advice(node))

    host.call = silent

    said = whole(vm, "n2")
    assert "n1 does not answer" in said and DEATH not in said
    assert wait_for("n1") in status_cluster.info(host).attention[0]
