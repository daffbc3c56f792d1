"""Marks of replicas that are behind: written at a detach, gone after the resync, by revision."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from mcv.check import runner
from mcv.drbd import notes, stale_marks
from mcv.drivers.drbd_states import ConnectionState, DiskState, ReplicationState
from mcv.drivers.drbd_status import Status
from mcv.errors import PeerUnreachable
from mcv.etcd.requests import put
from mcv.ha.values import Mark, Taken, decode_mark
from mcv.status import attention
from tests.fakes.armed import armed as armed
from tests.fakes.armed import keys, renew
from tests.fakes.cluster import FakeCluster
from tests.fakes.fixtures import three as three
from tests.fakes.fixtures import units as units

RESOURCE = "mcv-web1-1"


def mark(cluster: FakeCluster) -> Mark | None:
    found = cluster.etcd.read_locally(keys(cluster).stale(RESOURCE)).kvs
    return decode_mark(found[0].value.decode()) if found else None


def marked(cluster: FakeCluster) -> str:
    known = mark(cluster)
    return known.node if known else ""


def look(cluster: FakeCluster) -> None:
    for node in ("n1", "n2", "n3"):
        if node not in cluster.down:
            stale_marks.look(cluster.hosts[node])


def noted(cluster: FakeCluster, node: str) -> bool:
    return notes.noted(cluster.hosts[node].settings.notes, notes.BEHIND) == [RESOURCE]


SEEN = Status(
    resource=RESOURCE,
    disk=DiskState.UP_TO_DATE,
    peer_disk=DiskState.UP_TO_DATE,
    connection=ConnectionState.CONNECTED,
    replication=ReplicationState.ESTABLISHED,
)
DISKLESS, INCONSISTENT = DiskState.DISKLESS, DiskState.INCONSISTENT


@pytest.mark.parametrize(
    ("story", "status", "who", "in_step"),
    [
        ("both are in step", SEEN, "", True),
        ("the peer's is detached", replace(SEEN, peer_disk=DISKLESS), "n2", False),
        ("this one is detached", replace(SEEN, disk=DISKLESS), "n1", False),
        ("this one fails", replace(SEEN, disk=DiskState.FAILED), "n1", False),
        ("the peer's is resynced", replace(SEEN, peer_disk=INCONSISTENT), "n2", False),
        ("neither is whole", replace(SEEN, disk=DISKLESS, peer_disk=INCONSISTENT), "", False),
        (
            "they are apart",
            replace(SEEN, peer_disk=DiskState.UNKNOWN, replication=ReplicationState.OFF),
            "",
            False,
        ),
        (
            "a resync is about to begin",
            replace(SEEN, replication=ReplicationState("WFBitMapS")),
            "",
            False,
        ),
        ("they are verified", replace(SEEN, replication=ReplicationState("VerifyS")), "", True),
    ],
)
def test_which_one_is_behind(story: str, status: Status, who: str, in_step: bool) -> None:
    assert stale_marks.behind(status, "n1", "n2") == who
    assert stale_marks.is_in_step(status) == in_step


@pytest.mark.parametrize("node", ["n1", "n2"])
def test_a_detach_marks_and_notes_the_node_and_its_resync_ends_both(
    armed: FakeCluster, node: str
) -> None:
    look(armed)
    assert marked(armed) == ""

    armed.drbd[node].detach(RESOURCE)
    look(armed)

    known = mark(armed)
    assert known is not None
    assert (known.node, known.by, known.why) == (node, "n1", "it is Diskless")
    assert noted(armed, node) and not noted(armed, "n1" if node == "n2" else "n2")

    armed.drbd[node].attach(RESOURCE)
    look(armed)

    assert marked(armed) == ""
    assert not noted(armed, node)


def test_it_is_marked_once_and_said_where_one_asks(armed: FakeCluster) -> None:
    armed.drbd["n2"].detach(RESOURCE)
    look(armed)
    revision = armed.etcd.revision

    look(armed)

    assert armed.etcd.revision == revision
    said = armed.hosts["n3"].observations.behind[RESOURCE]
    assert said.startswith("the replica on n2 is behind since ") and "n1 says" in said


def test_info_and_the_check_tell_of_it(armed: FakeCluster) -> None:
    armed.drbd["n2"].detach(RESOURCE)
    look(armed)

    lines = attention.attention(armed.hosts["n3"], {"n3": PeerUnreachable("n3 is slow.")})
    found = armed.run("n3", runner.check).findings

    told = [line for line in lines if line.startswith("of web1 the replica on n2 is behind")]
    assert len(told) == 1 and told[0].endswith("mcv info web1")
    marked = [one for one in found if one.message.startswith("Of web1 the replica on n2 is behind")]
    assert [(one.node, one.subject, str(one.severity)) for one in marked] == [
        ("n1", RESOURCE, "warning")
    ]


def test_a_mark_that_is_written_anew_meanwhile_stays(
    armed: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The handler marks between the look at the marks and the removal."""
    armed.drbd["n2"].detach(RESOURCE)
    look(armed)
    armed.drbd["n2"].attach(RESOURCE)
    drbd = armed.drbd["n1"]
    statuses = drbd.statuses

    def lose_the_peer_after_the_look() -> dict[str, Status]:
        seen = statuses()
        again = Mark("n2", "n1", why="n2 is not to be reached").encode().encode()
        armed.etcd.change([], [put(keys(armed).stale(RESOURCE), again)])
        return seen

    monkeypatch.setattr(drbd, "statuses", lose_the_peer_after_the_look)
    stale_marks.look(armed.hosts["n1"])

    assert marked(armed) == "n2"


def test_a_disk_that_fails_on_the_owner_while_its_peer_is_behind_marks_nobody_anew(
    armed: FakeCluster,
) -> None:
    armed.drbd["n2"].detach(RESOURCE)
    look(armed)

    armed.drbd["n1"].detach(RESOURCE)
    look(armed)

    assert marked(armed) == "n2"


def take(cluster: FakeCluster) -> None:
    taken = Taken("n3", "word").encode().encode()
    cluster.etcd.change([], [put(keys(cluster).lease("n1"), taken)])


def move_on(cluster: FakeCluster) -> None:
    cluster.hosts["n3"].update("barrier", "n1 has not read it yet")


@pytest.mark.parametrize("hit", [take, move_on])
def test_nobody_marks_whose_lease_was_taken_or_who_does_not_know_the_document(
    armed: FakeCluster, hit: Callable[[FakeCluster], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    host = armed.hosts["n1"]
    old = host.consensus.committed()
    hit(armed)
    monkeypatch.setattr(host.consensus, "committed", lambda: old)
    armed.drbd["n2"].detach(RESOURCE)

    stale_marks.look(host)

    assert marked(armed) == ""


def test_a_renewal_in_between_costs_another_try(
    armed: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    armed.drbd["n2"].detach(RESOURCE)
    renewed: list[str] = []

    def renew_before_the_mark(caller: str, node: str, operation: str) -> None:
        if (node, operation) == ("etcd", "change") and len(renewed) < 3:
            renewed.append(caller)
            renew(armed, "n1", sequence=len(renewed) + 1)

    armed.spy = renew_before_the_mark
    stale_marks.look(armed.hosts["n1"])

    assert marked(armed) == "n2"


def test_without_a_majority_nothing_is_marked_and_the_next_round_does_it(
    armed: FakeCluster,
) -> None:
    armed.drbd["n2"].detach(RESOURCE)
    armed.etcd.down = True
    look(armed)
    armed.etcd.down = False

    look(armed)

    assert marked(armed) == "n2"


def test_an_unarmed_node_marks_and_notes_nothing_and_ends_its_notes(
    armed: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    armed.drbd["n2"].detach(RESOURCE)
    look(armed)
    armed.hosts["n1"].update("ha.disarm", "disarm")
    host = armed.hosts["n2"]
    host.consensus.poll()

    stale_marks.follow(host)
    assert noted(armed, "n2")

    armed.drbd["n2"].attach(RESOURCE)
    stale_marks.follow(host)

    assert not noted(armed, "n2")
    armed.drbd["n2"].detach(RESOURCE)
    stale_marks.follow(host)
    assert not noted(armed, "n2")


def test_a_mark_that_makes_no_sense_counts_and_goes_with_the_resync(armed: FakeCluster) -> None:
    armed.etcd.change([], [put(keys(armed).stale(RESOURCE), b"nonsense")])
    stale_marks.look(armed.hosts["n3"])
    assert "cannot be read" in armed.hosts["n3"].observations.behind[RESOURCE]

    look(armed)

    assert armed.etcd.read_locally(keys(armed).stale(RESOURCE)).kvs == []
