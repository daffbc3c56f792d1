"""What libvirt's hook lets begin: by the documents, whoever asks libvirt."""

import pytest
from msgspec.structs import replace

from mcv.document.model import Cluster
from mcv.rules import beginning
from mcv.rules.beginning import Beginning, Operation, Permit
from tests.documents import after, disk, document, vm

FREE = document().with_vm(vm(incarnation=2))
CLAIMED = after(FREE, "vm.claim", "job1.1", name="web1", why="migrate web1 to n2")
THEIRS = document().with_vm(vm(incarnation=2, node="n2"))
COMING = after(THEIRS, "vm.claim", "job1.1", name="web1", why="migrate web1 to n1")
FAILED = replace(disk().verification, result="out-of-sync", blocked=True)
BLOCKED = FREE.with_vm(vm(incarnation=2, disks=(disk(verification=FAILED),)))
MIRRORED = FREE.with_vm(vm(incarnation=2, disks=(disk(mirror_of=2),)))
OFFLINE = after(FREE, "node.offline", name="n1")
OTHER = document().with_vm(vm(uuid="00000000-0000-0000-0000-00000000000f", node="n2"))
PERMIT = Permit(operation="job1")
PAST_VERIFICATION = Permit(ignores_verification=True)
PREPARE, RESTORE, MIGRATE = Operation
SAME = ""


@pytest.mark.parametrize(
    ("story", "documents", "operation", "more", "said"),
    [
        ("its owner starts it", [FREE], PREPARE, {}, SAME),
        ("it belongs to the other node", [THEIRS], PREPARE, {}, "belongs to n2"),
        ("only the document says so", [THEIRS, FREE], PREPARE, {}, "belongs to n2"),
        ("only the proposal says so", [FREE, THEIRS], PREPARE, {}, "belongs to n2"),
        ("it is of no VM", [OTHER], PREPARE, {}, SAME),
        ("this node is offline", [OFFLINE], PREPARE, {}, "n1 is offline"),
        ("an operation holds it", [CLAIMED], PREPARE, {}, "is busy: migrate"),
        ("an operation is about to hold it", [FREE, CLAIMED], PREPARE, {}, "is busy"),
        ("that operation starts it", [CLAIMED], PREPARE, {"permit": PERMIT}, SAME),
        ("its verification failed", [BLOCKED], PREPARE, {}, "verification"),
        ("as a note says", [FREE], PREPARE, {"noted": ("mcv-web1-1",)}, "verification"),
        ("a note of another disk", [FREE], PREPARE, {"noted": ("mcv-web2-1",)}, SAME),
        ("a disk of it was being moved", [MIRRORED], PREPARE, {}, "was being moved on n1"),
        ("which is ignored", [BLOCKED], PREPARE, {"permit": PAST_VERIFICATION}, SAME),
        ("not elsewhere", [THEIRS], PREPARE, {"permit": PAST_VERIFICATION}, "belongs"),
        ("its memory is restored", [FREE], RESTORE, {}, SAME),
        ("memory of before", [FREE], RESTORE, {"incarnation": 1}, "is old"),
        ("of before the proposal", [FREE, BLOCKED.with_vm(vm(incarnation=3))], RESTORE, {}, "old"),
        ("memory of elsewhere", [THEIRS], RESTORE, {}, "belongs to n2"),
        ("an old definition starts afresh", [FREE], PREPARE, {"incarnation": 1}, SAME),
        ("it arrives under a claim", [COMING], MIGRATE, {}, SAME),
        ("under a claim in the proposal", [THEIRS, COMING], MIGRATE, {}, SAME),
        ("it arrives without one", [THEIRS], MIGRATE, {}, "no operation of mcv's migrates"),
        ("it arrives where it belongs", [CLAIMED], MIGRATE, {}, "no operation of mcv's migrates"),
        ("what is no VM arrives", [OTHER], MIGRATE, {}, SAME),
        ("the arrival begins", [COMING], PREPARE, {"arrival": "job1"}, SAME),
        ("another one's arrival", [COMING], PREPARE, {"arrival": "job0"}, "belongs to n2"),
        ("no arrival: it is started here", [COMING], PREPARE, {}, "belongs to n2"),
        ("the arrival of a claim that ended", [THEIRS], PREPARE, {"arrival": "job1"}, "belongs"),
    ],
)
def test_what_may_begin_on_n1(
    story: str,
    documents: list[Cluster],
    operation: Operation,
    more: dict[str, object],
    said: str,
) -> None:
    begin = Beginning(operation=operation, uuid=vm().uuid, incarnation=2)

    problem = beginning.why_not(documents, "n1", replace(begin, **more))

    assert (problem is None) == (said == SAME), problem
    assert problem is None or said in problem.message


def test_a_node_without_a_replica_is_no_place_to_arrive_at() -> None:
    coming = Beginning(operation=MIGRATE, uuid=vm().uuid, incarnation=2)

    problem = beginning.why_not([COMING], "n3", coming)

    assert problem is not None and "migrates web1 to n3" in problem.message


@pytest.mark.parametrize(
    ("story", "expected", "operation", "more", "may"),
    [
        ("volumes were made for its disks", "job1", MIGRATE, {}, True),
        ("for an operation of before", "job0", MIGRATE, {}, False),
        ("they were made, and it begins", "job1", PREPARE, {"arrival": "job1"}, True),
        ("they were made, and it is started", "job1", PREPARE, {}, False),
    ],
)
def test_local_disks_come_where_their_volumes_were_made(
    story: str, expected: str, operation: Operation, more: dict[str, object], may: bool
) -> None:
    coming = Beginning(operation=operation, uuid=vm().uuid, incarnation=2, expected=expected)

    problem = beginning.why_not([COMING], "n3", replace(coming, **more))

    assert (problem is None) == may, problem
    assert beginning.arriving([COMING], "n3", vm().uuid, expected) == (
        "job1" if expected == "job1" else ""
    )
