"""A node that answers in part: what it does tell is shown, and nobody advises to call it dead."""

import threading
import time
from typing import Any

import pytest

from mcv.drivers.directories import View
from mcv.errors import PeerUnreachable, wait_for
from mcv.status import cluster as status_cluster
from mcv.status import report, resources, vms
from mcv.storage import pools, rooms
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


def test_a_file_system_that_hangs_costs_its_own_pool_and_one_look(
    vm: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on, looks = threading.Event(), []
    for node in vm.hosts:
        vm.directories[node].make("/srv/nfs")
    vm.run("n1", pools.create, name="nfs", type="dir", location="/srv/nfs")
    view = vm.directories["n1"].view

    def hang(location: str) -> View:
        if location == "/srv/nfs":
            looks.append(location)
            goes_on.wait(10)
        return view(location)

    monkeypatch.setattr(rooms, "SHORT", 0.05)
    monkeypatch.setattr(rooms, "BUSY", 0.0)
    monkeypatch.setattr(vm.directories["n1"], "view", hang)

    began = time.monotonic()
    for _ in range(3):
        told = report.report(vm.hosts["n1"])
    took = time.monotonic() - began

    goes_on.set()
    assert took < 3 and looks == ["/srv/nfs"]
    assert told.rooms["nfs"].problem == "/srv/nfs does not answer."
    assert told.rooms["default"].problem == "" and told.rooms["lvm"].size > 0
    assert (told.problem, told.trouble) == ("", [])


def test_lvm_that_takes_its_time_is_told_from_its_last_answer(
    vm: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on = threading.Event()
    host = vm.hosts["n1"]
    before = report.report(host).rooms["lvm"]
    monkeypatch.setattr(rooms, "SHORT", 0.05)
    monkeypatch.setattr(vm.lvm["n1"], "all", lambda: goes_on.wait(10))

    assert report.report(host).rooms["lvm"] == before
    monkeypatch.setattr(rooms, "FRESH", 0.0)
    assert report.report(host).rooms["lvm"] == before
    monkeypatch.setattr(rooms, "OLDEST", 0.0)
    assert "lvm" not in report.report(host).rooms  # nothing is known yet
    monkeypatch.setattr(rooms, "BUSY", 0.0)
    assert "LVM does not answer" in report.report(host).rooms["lvm"].problem

    goes_on.set()
