"""What the manager has carried out: each order once, at most one for a node at a time."""

import time

import pytest

from mcv.cluster import fence_runs
from mcv.rules.ha.snapshot import FenceSeen
from tests.fakes.fenced import Fenced
from tests.fakes.fenced import fenced as fenced
from tests.lab.power import Mode


@pytest.fixture
def hung(fenced: Fenced) -> Fenced:
    """n3 hangs on two levels that were tested."""
    fenced.add("pdu")
    fenced.add("bmc3")
    fenced.set("n3", "pdu:3")
    fenced.set("n3", "bmc3:3", level=2)
    fenced.tested("n3", "pdu:3", "bmc3:3")
    fenced.power.requests.clear()
    return fenced


def ended(hung: Fenced, node: str = "n3") -> FenceSeen:
    """What has become of the newest order about a node, when it has ended."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        seen = fence_runs.seen(hung.cluster.hosts["n1"], node)
        if seen is not None and seen.outcome != "running":
            return seen
        time.sleep(0.02)
    raise AssertionError("it runs on")


def test_a_node_is_fenced_once_for_an_order(hung: Fenced) -> None:
    host = hung.cluster.hosts["n1"]
    assert fence_runs.seen(host, "n3") is None

    for _ in range(3):
        fence_runs.fence(host, "1.1", "n3")
    assert ended(hung) == FenceSeen(uid="1.1", outcome="off")
    fence_runs.fence(host, "1.1", "n3")

    assert ended(hung).outcome == "off"
    assert hung.power.actions("3") == ["off", "status"]
    assert [job["title"] for job in host.jobs.listed() if job["who"] == "mcv-ha"] == ["fence n3"]


def test_an_order_waits_for_no_other_of_the_same_node(hung: Fenced) -> None:
    host = hung.cluster.hosts["n1"]
    hung.power.mode("3", Mode.HANG)

    fence_runs.fence(host, "1.1", "n3")
    fence_runs.fence(host, "1.2", "n3")

    seen = fence_runs.seen(host, "n3")
    assert seen is not None and (seen.uid, seen.outcome) == ("1.1", "running")


def test_an_order_of_another_manager_asks_for_the_status_first(hung: Fenced) -> None:
    hung.machines["n3"].switch_off()

    fence_runs.fence(hung.cluster.hosts["n1"], "1.1", "n3", resumed=True)

    assert ended(hung).outcome == "off"
    assert hung.power.actions("3") == ["status"]


def test_a_fencing_that_fails_says_why(hung: Fenced) -> None:
    hung.power.mode("3", Mode.DEAF)

    fence_runs.fence(hung.cluster.hosts["n1"], "1.1", "n3")

    seen = ended(hung)
    assert seen.outcome == "failed"
    assert "level 1, asked by n1: pdu:3 does not switch off" in seen.message
    assert "level 2" in seen.message


def test_an_order_after_one_that_has_ended_is_another(hung: Fenced) -> None:
    host = hung.cluster.hosts["n1"]
    fence_runs.fence(host, "1.1", "n3")
    ended(hung)

    fence_runs.switch_on(host, "1.2", "n3")

    assert ended(hung) == FenceSeen(uid="1.2", outcome="on")
    assert hung.machines["n3"].switched == ["off", "on"]


def test_the_plugs_that_lied_were_never_tested(hung: Fenced) -> None:
    host = hung.cluster.hosts["n1"]
    fence_runs.fence(host, "1.1", "n3")
    ended(hung)
    hung.machines["n3"].switch_on()

    host.update("fence.tested", "distrust", **fence_runs.distrusted(host, "n3", "1.1"))

    levels = hung.cluster.read().node("n3").levels
    assert [bool(level[0].tested) for level in levels] == [False, True]
    host.update("fence.tested", "distrust", **fence_runs.distrusted(host, "n3", "of another"))
    assert not any(level[0].tested for level in hung.cluster.read().node("n3").levels)


def test_a_node_that_is_gone_is_a_failure_and_no_thread_is_lost(hung: Fenced) -> None:
    fence_runs.fence(hung.cluster.hosts["n1"], "1.1", "n9")

    assert ended(hung, "n9").outcome == "failed"
