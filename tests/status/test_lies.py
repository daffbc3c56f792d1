"""A peer that answers in another shape costs what it had to tell, and never the command."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from mcv.check import runner
from mcv.document.disks import FileDisk, Verification
from mcv.errors import Unreadable
from mcv.host import Host
from mcv.recovery import claims
from mcv.recovery import jobs as recovered_jobs
from mcv.status import cluster as status_cluster
from mcv.status import report, resources, vms
from mcv.system.answers import plain
from mcv.vm import create
from tests.documents import disk, document, vm
from tests.fakes.cluster import FakeCluster

SHAPES: list[Any] = [{}, [], "x", 7, None, True, [7], [[]], {"": {}}, [{}], ["x"]]


def listed(host: Host) -> Any:
    return vms.list_(host)


def read_one(host: Host) -> Any:
    return vms.info(host, "web1")


# The read, and the questions that it has a peer answer.
READS: list[tuple[Callable[[Host], Any], str]] = [
    (listed, "node.report"),
    (listed, "drbd.sides"),
    (listed, "config.poll"),
    (read_one, "node.report"),
    (read_one, "drbd.sides"),
    (read_one, "vm.vnc"),
    (status_cluster.info, "node.report"),
    (status_cluster.info, "drbd.sides"),
    (status_cluster.info, "config.poll"),
    (resources.list_, "node.report"),
    (resources.list_, "drbd.sides"),
    (runner.check, "node.inventory"),
    (runner.check, "drbd.sides"),
    (runner.check, "config.poll"),
    (recovered_jobs.list_jobs, "job.own"),
    (claims.list_locks, "locks.own"),
]


@pytest.fixture
def web1(cluster: FakeCluster) -> FakeCluster:
    """web1 on n1, StandAlone there, so that n2 is asked for its side of it too."""
    cluster.run("n1", create.create, name="web1", memory="64MiB", disks=["64MiB"])
    cluster.drbd["n1"].disconnect("mcv-web1-1")
    cluster.domains["n1"].start("web1")
    return cluster


def lie(cluster: FakeCluster, operation: str, answer: Any) -> None:
    """Have n2 answer one question of n1 with this instead."""
    host = cluster.hosts["n1"]
    call = host.call

    def lying(node: str, asked: str, /, **params: Any) -> Any:
        told = call(node, asked, **params)
        is_asked = node == "n2" or operation == "vm.vnc"
        return answer if is_asked and asked == operation else told

    host.call = lying


@pytest.mark.parametrize("answer", SHAPES, ids=json.dumps)
@pytest.mark.parametrize(("read", "operation"), READS)
def test_a_read_answers_whatever_a_peer_says(
    web1: FakeCluster, read: Callable[[Host], Any], operation: str, answer: Any
) -> None:
    lie(web1, operation, answer)

    said = plain(read(web1.hosts["n1"]))

    assert json.dumps(said) != "null"


def wrong_fields(told: Any) -> list[Any]:
    """A true answer with one field missing, or of another type, each."""
    return [
        *({key: told[key] for key in told if key != gone} for gone in told),
        *(
            {**told, key: value}
            for key in told
            for value in (7, "x", [7], {"x": 7})
            if told[key] != value
        ),
    ]


@pytest.mark.parametrize("operation", ["node.report", "node.inventory"])
def test_a_field_that_is_missing_or_wrong_costs_that_node_and_no_more(
    web1: FakeCluster, operation: str
) -> None:
    host = web1.hosts["n1"]
    for answer in wrong_fields(host.call("n2", operation)):
        lie(web1, operation, answer)
        reads = (listed, read_one, status_cluster.info, resources.list_)
        for read in reads if operation == "node.report" else (runner.check,):
            plain(read(host))


@pytest.mark.parametrize("answer", [{}, [], "x", 7], ids=json.dumps)
def test_the_problem_of_that_node_is_told_in_words(web1: FakeCluster, answer: Any) -> None:
    lie(web1, "node.report", answer)
    lie(web1, "node.inventory", answer)
    lie(web1, "locks.own", "x")
    host = web1.hosts["n1"]

    shown = status_cluster.info(host)
    (problem,) = [node.problem for node in shown.nodes if node.name == "n2"]
    found = [one for one in runner.check(host).findings if one.subject == "n2"]

    assert problem and "n2 answered to node.report" in problem
    assert [node.status for node in shown.nodes] == ["online", "online"]
    assert any("n2 answered to node.report" in line for line in shown.attention)
    assert ["n2 answered to node.inventory" in one.message for one in found] == [True]
    assert vms.list_(host)[0].state == "running"
    assert ["n2 answered to locks.own" in line for line in claims.list_locks(host).problems]


def test_a_node_whose_tools_are_silent_says_unknown_and_not_stopped(web1: FakeCluster) -> None:
    from mcv.errors import HypervisorFailed

    def silent() -> Any:
        raise HypervisorFailed("it hangs.")

    web1.domains["n1"].states = silent  # type: ignore[method-assign]

    row = vms.list_(web1.hosts["n2"])[0]

    assert row.state == "unknown" and "libvirt does not answer on n1" in str(row.attention)
    assert report.report(web1.hosts["n1"]).domains is None


def test_a_node_whose_state_is_damaged_is_not_called_silent(web1: FakeCluster) -> None:
    damage = Unreadable("config.json cannot be read: it is a link.", "Look at it on n2.")
    web1.agreements["n2"].contact.key_damage = damage

    info = status_cluster.info(web1.hosts["n1"])
    check = runner.check(web1.hosts["n1"])

    [line] = [line for line in info.attention if line.startswith("n2")]
    assert "takes part in nothing" in line and damage.sentence in line
    assert "does not answer" not in line
    [found] = [one for one in check.findings if one.subject == "n2"]
    assert (found.message, found.hint) == (damage.message, damage.hint)


def test_a_replica_beside_other_disks_counts_among_the_verifications() -> None:
    other = FileDisk(id=2, size=1 << 20, volume="web1-2", places={"n1": "/var/lib/mcv/pool"})
    mixed = vm(disks=(disk(verification=Verification(result="clean", when="2026-01-01")), other))

    told = status_cluster._verify(document().with_vm(mixed), {})

    assert mixed.storage == "mixed" and (told.clean, told.others) == (1, {})
