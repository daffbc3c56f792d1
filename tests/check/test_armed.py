"""What the check finds of leases, watchdogs, and how DRBD looks for its peers."""

import pytest
from msgspec.structs import replace

from mcv.check import armed as armed_judge
from mcv.check import runner
from mcv.check.finding import ClusterSnapshot
from mcv.check.lease_seen import LeaseSeen
from mcv.cluster import arming
from mcv.document.availability import HostWatchdog
from mcv.document.model import Cluster
from mcv.drbd import enable
from mcv.drivers.watchdogs import WatchdogSeen
from mcv.errors import DoneInPart
from mcv.status import cluster as status_cluster
from tests.cluster.test_arming import RESOURCE, looked
from tests.cluster.test_arming import armed as armed
from tests.cluster.test_arming import in_etcd as in_etcd
from tests.cluster.test_arming import not_awaited as not_awaited
from tests.fakes.cluster import FakeCluster

WATCHDOG = HostWatchdog(
    kind="iTCO_wdt", device="/dev/watchdog0", timeout=8, grain=1.0, hardware=True
)
WELL = LeaseSeen(
    is_told=True,
    runs=True,
    left=9.0,
    kind="iTCO_wdt",
    timeout=8,
    kinds=["iTCO_wdt"],
    pings={RESOURCE: 3},
)


def found(cluster: FakeCluster) -> list[tuple[str, str, str]]:
    """What the check says, of leases and of resources."""
    told = runner.check(cluster.hosts["n1"]).findings
    return [
        (each.severity, each.node, each.message)
        for each in told
        if each.subject in ("mcv-lease", "watchdog", RESOURCE) and each.severity != "note"
    ]


@pytest.fixture
def adjusted(armed: FakeCluster) -> FakeCluster:
    for name in armed.hosts:
        armed.look(name)
        enable.adjust(armed.hosts[name])
    return armed


def test_an_armed_cluster_is_well(adjusted: FakeCluster) -> None:
    assert found(adjusted) == []


def test_a_node_without_its_lease_is_an_error_and_told_by_info(adjusted: FakeCluster) -> None:
    adjusted.hosts["n2"].lease.release(0)
    adjusted.hosts["n3"].lease.has_no_lease = True  # type: ignore[attr-defined]

    assert [each[:2] for each in found(adjusted)] == [("error", "n2"), ("error", "n3")]
    assert "mcv-lease does not run on n2" in found(adjusted)[0][2]
    lines = status_cluster.info(adjusted.hosts["n1"]).attention
    assert [line.partition(":")[0] for line in lines] == [
        "n2 has no valid lease",
        "n3 has no valid lease",
    ]


def test_a_resource_that_looks_for_its_peer_as_before_is_a_warning(
    adjusted: FakeCluster,
) -> None:
    adjusted.drbd["n2"].pings[RESOURCE] = "10"

    (only,) = found(adjusted)

    assert only[:2] == ("warning", "n2") and "looks for its peer every 10 s" in only[2]


def test_another_watchdog_than_the_node_was_armed_by_is_an_error(adjusted: FakeCluster) -> None:
    adjusted.watchdogs["n3"].seen = WatchdogSeen(device="/dev/watchdog0", kind="ipmi")

    assert found(adjusted) == [
        ("error", "n3", "n3 was armed by the watchdog iTCO_wdt, and has ipmi now.")
    ]


def test_what_was_not_given_back_is_a_warning(adjusted: FakeCluster) -> None:
    adjusted.hosts["n2"].lease.does_not_end = True  # type: ignore[attr-defined]
    with pytest.raises(DoneInPart):
        adjusted.run("n1", arming.disarm)
    for name in looked(adjusted).hosts:
        enable.adjust(adjusted.hosts[name])

    assert [each[:2] for each in found(adjusted)] == [("warning", "n2")]


def test_a_cluster_that_was_never_armed_is_not_looked_at(in_etcd: FakeCluster) -> None:
    assert found(in_etcd) == []
    assert status_cluster.info(in_etcd.hosts["n1"]).attention == []


def judged(
    base: Cluster, seen: LeaseSeen, watchdog: HostWatchdog | None = WATCHDOG
) -> list[tuple[str, str]]:
    cluster = base.with_node(replace(base.node("n1"), watchdog=watchdog))
    inventory = type("Told", (), {"lease": seen})()
    scene = ClusterSnapshot("n1", cluster, "", (), {"n1": inventory}, {}, {}, {})
    return [(str(each.severity), each.message) for each in armed_judge.judge(scene)]


def test_stories_of_one_watchdog(armed: FakeCluster) -> None:
    base = armed.read()
    soft = replace(WATCHDOG, hardware=False)

    assert judged(base, WELL) == []
    assert judged(base, replace_seen(kinds=None)) == []
    (told,) = judged(base, WELL, None)
    assert told == ("error", "The cluster is armed, and no watchdog is known of n1.")
    (told,) = judged(base, replace_seen(timeout=16))
    assert told[0] == "error" and "is armed by iTCO_wdt of 16 s" in told[1]
    (told,) = judged(base, WELL, soft)
    assert told[0] == "warning" and "proves nothing" in told[1]


def replace_seen(**values: object) -> LeaseSeen:
    return replace(WELL, **values)
