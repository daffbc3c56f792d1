"""May a VM start or move, and what is said about its replicas: stories over states."""

from typing import Any

import pytest
from msgspec import convert
from msgspec.structs import replace

from mcv import storage
from mcv.document.disks import Verification
from mcv.document.model import Vm
from mcv.drbd import notes, verification_results
from mcv.drivers.drbd_status import Status
from mcv.vm import create
from tests.fakes.cluster import FakeCluster

GOOD: dict[str, Any] = {
    "resource": "mcv-web1-1",
    "minor": 100,
    "role": "Secondary",
    "disk": "UpToDate",
    "connection": "Connected",
    "replication": "Established",
    "peer_role": "Secondary",
    "peer_disk": "UpToDate",
    "out_of_sync": 0,
}
LOST = {"connection": "Connecting", "replication": "Off", "peer_disk": "DUnknown"}
SYNCING = {"connection": "Connected", "replication": "SyncSource", "peer_disk": "Inconsistent"}
MARKED = Verification(result="out-of-sync", out_of_sync=4096, blocked=True)
HALF = Verification(result="interrupted", blocked=True)


@pytest.mark.parametrize(
    ("story", "seen", "away", "start", "move"),
    [
        ("all is well", {}, False, "", ""),
        ("the peer is away", LOST, False, "", "not connected"),
        ("the peer is being resynced", SYNCING, False, "", "Inconsistent, not UpToDate"),
        ("this side is stale", {"disk": "Outdated"}, False, "is Outdated", "is Outdated"),
        ("this side is half", {"disk": "Inconsistent"}, False, "Inconsistent", "Inconsistent"),
        ("after a reboot alone", {"disk": "Consistent", **LOST}, False, "Consistent", "Consistent"),
        ("and the peer is offline", {"disk": "Consistent", **LOST}, True, "", "not connected"),
        ("stale is stale", {"disk": "Outdated", **LOST}, True, "is Outdated", "is Outdated"),
        (
            "cut on purpose or split",
            {"connection": "StandAlone", "replication": "Off", "peer_disk": "DUnknown"},
            False,
            "stands alone",
            "stands alone",
        ),
        (
            "cut or split, and the peer is offline",
            {"connection": "StandAlone", "replication": "Off", "peer_disk": "DUnknown"},
            True,
            "",
            "not connected",
        ),
        ("the peer is outdated", {"peer_disk": "Outdated"}, False, "", "Outdated, not UpToDate"),
        ("a verification runs", {"replication": "VerifyS"}, False, "", ""),
    ],
)
def test_a_start_and_a_move_ask_for_what_the_replicas_can_give(
    cluster: FakeCluster, story: str, seen: dict[str, Any], away: bool, start: str, move: str
) -> None:
    host, one = _made(cluster, seen)
    if away:
        cluster.hosts["n2"].update("node.offline", "", name="n2")

    for judge, said in ((storage.why_not_start, start), (storage.why_not_move, move)):
        # Going over a failed verification goes over nothing else.
        for ignore_verify in (False, True):
            problem = next(iter(judge(host, one, ignore_verify)), None)
            assert (said in problem.message) if problem and said else (problem is None and not said)


def _made(cluster: FakeCluster, seen: dict[str, Any]) -> tuple[Any, Vm]:
    cluster.run("n1", create.create, name="web1", memory="64MiB", disks=["64MiB"])
    host: Any = cluster.hosts["n1"]
    host.drbd.status = lambda resource: convert({**GOOD, **seen}, Status)
    return host, host.read().vm("web1")


@pytest.mark.parametrize("mark", [MARKED, HALF])
def test_a_failed_verification_blocks_until_a_clean_one_or_once_by_order(
    cluster: FakeCluster, mark: Verification
) -> None:
    host, one = _made(cluster, {})
    marked = replace(one, disks=(replace(one.disks[0], verification=mark),))

    (problem,) = storage.why_not_start(host, marked, False)

    assert "last verification of web1 failed" in problem.message
    for word in ("mcv resync web1", "mcv verify web1", "--ignore-verify"):
        assert word in problem.hint
    assert storage.why_not_start(host, marked, True) == []


def test_a_failed_verification_that_could_not_be_recorded_blocks_by_its_note(
    cluster: FakeCluster,
) -> None:
    host, one = _made(cluster, {})
    where = host.settings.notes

    notes.write(where, "mcv-web1-1", "out-of-sync", out_of_sync=4096)

    assert len(storage.why_not_start(host, one, False)) == 1
    assert len(storage.why_not_move(host, one, False)) == 1
    assert notes.read(where, "mcv-web1-1", "out-of-sync") == {"out_of_sync": 4096}
    notes.remove(where, "mcv-web1-1", "out-of-sync")
    assert storage.why_not_start(host, one, False) == []


def test_a_note_that_cannot_be_read_still_blocks(cluster: FakeCluster) -> None:
    host, one = _made(cluster, {})
    path = notes.path(host.settings.notes, "mcv-web1-1", "out-of-sync")
    path.parent.mkdir(parents=True)
    path.write_text("{half")

    assert len(storage.why_not_start(host, one, False)) == 1
    assert notes.read(host.settings.notes, "mcv-web1-1", "out-of-sync") == {}
    verification_results.conclude(host)
    (_, found) = host.read().by_resource("mcv-web1-1")
    assert found.verification.blocked and notes.blocked(host.settings.notes) == []


def test_a_resource_that_is_not_up_says_how_it_comes_up(cluster: FakeCluster) -> None:
    host, one = _made(cluster, {})
    host.drbd.status = lambda resource: None

    (problem,) = storage.why_not_start(host, one, False)

    assert "mcv register web1" in problem.hint
