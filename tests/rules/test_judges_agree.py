"""One judge: start, migrate, list, info and check say the same of the same replicas."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
from msgspec import convert, to_builtins
from msgspec.structs import replace

from mcv.check import runner
from mcv.document.disks import Verification
from mcv.document.model import Cluster
from mcv.drivers.drbd_status import Generations, Status
from mcv.errors import McvError, PeerUnreachable, ways_out
from mcv.status import vms
from mcv.vm import create, migrate, power
from tests.fakes.cluster import FakeCluster

RESOURCE = "mcv-web1-1"
OFF = {"replication": "Off", "peer_disk": "DUnknown", "peer_role": "Unknown"}
CONNECTING = {**OFF, "connection": "Connecting"}
STANDALONE = {**OFF, "connection": "StandAlone"}
SPLIT = [Generations(current=0x10, bitmap=0x8), Generations(current=0x20, bitmap=0x8)]
EQUAL = [Generations(current=0x10, bitmap=0x8)] * 2
ONE_NEWER = [Generations(current=0x10, bitmap=0x8), Generations(current=0x8, bitmap=0)]
MARKED = Verification(result="out-of-sync", out_of_sync=4096, blocked=True)


class Row(NamedTuple):
    """A state of both replicas, and what the five say of it. n1 owns web1.

    start and move are words of the refusal, "" where nothing is refused. `severity` and
    `message` are the worst finding of list and info; check has the same one, but for what it
    says of the node instead (`of_node`).
    """

    story: str
    here: Mapping[str, Any] = MappingProxyType({})
    there: Mapping[str, Any] = MappingProxyType({})
    peer: str = "online"
    mark: Verification = Verification(result="clean")
    generations: list[Generations] = EQUAL
    start: str = ""
    move: str = ""
    severity: str = ""
    message: str = ""
    hint: str = ""
    of_node: str = ""


ROWS = [
    Row("all is well"),
    Row(
        "I/O is suspended",
        here={**CONNECTING, "role": "Primary", "suspended": "fencing"},
        there=CONNECTING,
        move="not connected",
        severity="error",
        message="I/O is suspended: web1 on n1",
        hint="bring n2 back: mcv info",
    ),
    Row(
        "I/O is suspended, and the peer's host is silent",
        here={**CONNECTING, "role": "Primary", "suspended": "fencing"},
        peer="unreachable",
        move="not connected",
        severity="error",
        message="I/O is suspended: web1 on n1",
        hint="mcv node offline n2 --confirm-dead",
    ),
    Row(
        "they do not find each other",
        here=CONNECTING,
        there=CONNECTING,
        move="not connected",
        severity="error",
        message="The replicas of web1 on n1 and n2 do not find each other (Connecting).",
        hint="is port 7900 open? mcv info",
    ),
    Row(
        "the only other replica is away, and the document does not know",
        here=CONNECTING,
        peer="unreachable",
        move="not connected",
        severity="error",
        message="web1's replica on n2 is away: n2 does not answer",
        hint="mcv node offline n2 --confirm-dead",
        of_node="error",
    ),
    Row(
        "the only other replica is away, as the document says",
        here=CONNECTING,
        peer="offline",
        move="not connected",
        severity="note",
        message="web1's replica on n2 is away: n2 is offline.",
        hint="bring n2 back",
        of_node="note",
    ),
    Row(
        "blocks are out of sync",
        here={"out_of_sync": 8192},
        there={"out_of_sync": 8192},
        severity="warning",
        message="8192 bytes of mcv-web1-1 are out of sync.",
        hint="mcv resync web1",
    ),
    Row(
        "a verification failed",
        mark=MARKED,
        start="last verification of web1 failed",
        move="last verification of web1 failed",
        severity="error",
        message="The last verification of web1 failed, 4096 bytes differ",
        hint="mcv resync web1, then: mcv verify web1",
    ),
    Row(
        "a verification was interrupted",
        mark=Verification(result="interrupted"),
        severity="warning",
        message="The last verification of web1 was interrupted",
        hint="mcv verify web1",
    ),
    Row(
        "never verified",
        mark=Verification(),
        severity="note",
        message="web1 was never verified.",
        hint="mcv verify web1",
    ),
    Row(
        "a split brain",
        here=STANDALONE,
        there=STANDALONE,
        generations=SPLIT,
        start="split brain of web1",
        move="split brain of web1",
        severity="error",
        message="split brain of web1: n1 and n2 were both Primary since they parted.",
        hint="mcv drbd resolve web1 --keep NODE",
    ),
    Row(
        "a split brain that one side has not seen",
        here=CONNECTING,
        there=STANDALONE,
        generations=SPLIT,
        start="split brain of web1",
        move="split brain of web1",
        severity="error",
        message="split brain of web1: n1 and n2 were both Primary since they parted.",
        hint="mcv drbd resolve web1 --keep NODE",
    ),
    Row(
        "disconnected on purpose",
        here=STANDALONE,
        there=CONNECTING,
        generations=ONE_NEWER,
        start="stands alone",
        move="stands alone",
        severity="error",
        message="web1's replica on n1 is StandAlone.",
        hint="mcv resync web1 --source NODE",
    ),
    Row(
        "stale here",
        here={"disk": "Outdated"},
        start="is Outdated",
        move="is Outdated",
        severity="error",
        message="web1's replica on n1 is Outdated.",
        hint="mcv resync web1 --source n2",
    ),
    Row(
        "stale there",
        here={"peer_disk": "Outdated"},
        there={"disk": "Outdated"},
        move="Outdated, not UpToDate",
        severity="error",
        message="web1's replica on n2 is Outdated.",
        hint="mcv resync web1 --source n1",
    ),
    Row(
        "the disk here is gone",
        here={"disk": "Diskless"},
        there={"peer_disk": "Diskless"},
        start="is Diskless",
        severity="error",
        message="web1's replica on n1 is Diskless.",
        hint="mcv resync web1 --source n2",
    ),
    Row(
        "after a reboot alone",
        here={**CONNECTING, "disk": "Consistent"},
        peer="unreachable",
        start="is Consistent",
        move="is Consistent",
        severity="error",
        message="web1's replica on n1 is Consistent.",
        of_node="error",
    ),
    Row(
        "a resync towards the peer",
        here={
            "connection": "SyncSource",
            "replication": "SyncSource",
            "peer_disk": "Inconsistent",
            "done": 40.0,
        },
        there={"connection": "SyncTarget", "replication": "SyncTarget", "disk": "Inconsistent"},
        move="Inconsistent, not UpToDate",
        severity="note",
        message="A sync of mcv-web1-1 is under way (SyncSource, 40% done).",
        hint="mcv drbd list",
    ),
    Row(
        "Primary on both sides",
        here={"role": "Primary", "peer_role": "Primary"},
        there={"role": "Primary", "peer_role": "Primary"},
        severity="error",
        message="mcv-web1-1 is Primary on n1 and n2, and no migration is under way.",
        hint="mcv info web1",
    ),
]


@pytest.fixture
def web1(cluster: FakeCluster) -> FakeCluster:
    cluster.run("n1", create.create, name="web1", memory="64MiB", disks=["64MiB"])
    return cluster


def put(cluster: FakeCluster, row: Row) -> None:
    """Have document and kernels of both nodes say what the row does."""
    vm = cluster.read().vm("web1")
    marked = vm.with_disk(replace(vm.disks[0], verification=row.mark))
    record(cluster, cluster.read().with_vm(marked))
    for node, different, generations in zip(
        ("n1", "n2"), (row.here, row.there), row.generations, strict=True
    ):
        door = cluster.drbd[node]
        status = convert({**to_builtins(door.statuses()[RESOURCE]), "out_of_sync": 0}, Status)
        status = convert({**to_builtins(status), **different}, Status)
        door.statuses = lambda status=status: {RESOURCE: status}  # type: ignore
        door.status = lambda _, status=status: status  # type: ignore
        door.metadata.generations = lambda _, known=generations: known  # type: ignore
    if row.peer == "offline":
        document = cluster.read()
        away = replace(document.node("n2"), status="offline")
        record(cluster, document.with_node(away))
    if row.peer != "online":
        cluster.hosts["n1"].call = silent


def record(cluster: FakeCluster, document: Cluster) -> None:
    for agreement in cluster.agreements.values():
        agreement.store.begin(document)


def silent(node: str, *_: object, **__: object) -> Any:
    raise PeerUnreachable("n2 does not answer.", ways_out("n2"))


def refusal(ask: Callable[..., Any], *given: Any) -> str:
    try:
        ask(*given)
    except McvError as error:
        return f"{error.message} {error.problems}"
    return ""


@pytest.mark.parametrize("row", ROWS, ids=[row.story for row in ROWS])
def test_five_verbs_say_the_same_of_the_same_replicas(
    web1: FakeCluster, row: Row, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(web1, row)
    host = web1.hosts["n1"]
    monkeypatch.setattr(power, "boot", lambda host, vm, ignore_verify, discard_saved: None)
    monkeypatch.setattr(migrate, "_target_problems", lambda host, vm, to, live, discard_saved: [])

    listed, info = vms.list_(host)[0], vms.info(host, "web1")
    found = runner.check(host).findings
    start = refusal(web1.run, "n1", lambda host: power.start(host, "web1"))
    move = refusal(migrate.require_movable, host, "web1", "n2", False, True)

    assert listed.findings == info.findings and listed.attention == info.attention
    of_vm = [one for one in found if one.subject in (RESOURCE, "web1")]
    if not row.severity:
        assert (listed.findings, listed.attention, of_vm) == ([], None, [])
    else:
        worst = listed.findings[0]
        assert (worst.severity, row.message in worst.message) == (row.severity, True), worst
        assert row.hint in worst.hint and worst.hint
        needs_somebody = row.severity != "note"
        assert listed.attention == (worst.sentence if needs_somebody else None)
        if row.of_node:
            nodes = [one.severity for one in found if one.subject == "n2"]
            assert row.of_node in nodes
        else:
            assert (of_vm[0].severity, of_vm[0].message) == (worst.severity, worst.message)
            assert of_vm[0].hint == worst.hint
    assert bool(start) == bool(row.start) and row.start in start, start
    assert bool(move) == bool(row.move) and row.move in move, move
