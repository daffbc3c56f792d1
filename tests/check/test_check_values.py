"""What no fake can be is judged by values: documents, clocks, the states of a kernel."""

from dataclasses import replace as with_fields
from typing import Any

import pytest
from msgspec import convert, to_builtins
from msgspec.structs import replace

from mcv.check import members, runner
from mcv.check.finding import ClusterSnapshot, Finding
from mcv.document.generation import ChangeMade
from mcv.drivers.drbd_states import Role
from mcv.errors import McvError, NotMember, NotThatNode
from mcv.rules.replica_state import ReplicaState
from tests.check.faults import RESOURCE, look, one
from tests.fakes.cluster import FakeCluster


def scene_of(cluster: FakeCluster) -> ClusterSnapshot:
    return runner._look(cluster.hosts["n1"])


def seen(scene: ClusterSnapshot, **different: Any) -> ClusterSnapshot:
    return with_fields(scene, seen={**scene.seen, "n2": replace(scene.seen["n2"], **different)})


def worst(scene: ClusterSnapshot) -> Finding:
    found = [finding for finding in members.judge(scene) if "never verified" not in finding.message]
    assert len(found) == 1, found
    return found[0]


@pytest.mark.parametrize(
    ("different", "severity", "subject", "word"),
    [
        ({"hash": "x"}, "error", "document", "Diverged"),
        ({"hash": "x", "generation": 1}, "error", "document", "older"),
        ({"hash": "x", "generation": 999}, "error", "document", "newer"),
        ({"hash": "x", "epoch": 9, "epoch_id": "other"}, "error", "document", "Diverged"),
        ({"proposal": "create web2"}, "warning", "document", "create web2"),
        ({"certificate": "another"}, "error", "certificate", "another certificate"),
        ({"version": "0.0.1"}, "warning", "version", "0.0.1"),
        ({"blocked": [RESOURCE]}, "error", RESOURCE, "verification of web1 failed"),
        ({"extents": {}}, "error", f"vg0/{RESOURCE}", "no volume group"),
        ({"trouble": {"LVM": "it hangs"}}, "error", "LVM", "it hangs"),
    ],
)
def test_what_a_node_says_of_itself_is_judged(
    vm: FakeCluster, different: dict[str, Any], severity: str, subject: str, word: str
) -> None:
    found = worst(seen(scene_of(vm), **different))

    assert (found.severity, found.subject) == (severity, subject)
    assert word in found.message and found.hint


@pytest.mark.parametrize(
    ("different", "severity", "word"),
    [
        ({"suspended": "fencing"}, "error", "I/O is suspended: web1 on n2"),
        ({"connection": "Connecting", "replication": "Off"}, "error", "do not find each other"),
        ({"connection": "SyncTarget", "replication": "SyncTarget"}, "note", "sync of"),
        ({"replication": "VerifyT", "done": 40.0}, "note", "verification of mcv-web1-1"),
        ({"out_of_sync": 8192}, "warning", "8192 bytes"),
    ],
)
def test_what_the_kernel_says_of_a_replica_is_judged(
    vm: FakeCluster, different: dict[str, Any], severity: str, word: str
) -> None:
    scene = scene_of(vm)
    resources = scene.seen["n2"].resources
    assert resources is not None
    status = convert({**to_builtins(resources[RESOURCE]), **different}, ReplicaState)

    found = worst(seen(scene, resources={RESOURCE: status}))

    assert found.severity == severity and word in found.message


def test_two_primaries_and_no_migration_is_an_error(vm: FakeCluster) -> None:
    scene = scene_of(vm)
    sides = {
        node: replace(
            one, resources={RESOURCE: replace(one.resources[RESOURCE], role=Role.PRIMARY)}
        )
        for node, one in scene.seen.items()
        if one.resources
    }

    assert "Primary on n1 and n2" in worst(with_fields(scene, seen=sides)).message


@pytest.mark.parametrize(
    ("began", "ended", "ahead"),
    [(100.0, 101.0, 0), (104.0, 104.1, 3), (97.0, 97.1, -3), (101.0, 106.0, 5)],
)
def test_a_clock_is_judged_by_what_it_must_be_off_at_least(
    vm: FakeCluster, began: float, ended: float, ahead: int
) -> None:
    """Asked at 100, answered at 101: only what no delay explains counts."""
    scene = seen(scene_of(vm), began=began, ended=ended)
    scene = with_fields(scene, asked={"n2": (100.0, 101.0)})

    assert round(members.clock_ahead(scene.seen["n2"], 100.0, 101.0)) == ahead
    if abs(ahead) > 2:
        assert worst(scene).subject == "clock" and worst(scene).severity == "warning"


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (NotThatNode("What answers shows another certificate."), "another certificate"),
        (NotMember("n2 does not accept this node's certificate."), "does not accept"),
    ],
)
def test_a_certificate_that_is_refused_is_named(
    vm: FakeCluster, error: McvError, word: str
) -> None:
    scene = scene_of(vm)

    found = worst(with_fields(scene, seen={"n1": scene.seen["n1"]}, silent={"n2": error}))

    assert found.subject == "certificate" and word in found.message


def test_a_divergence_says_what_differs(vm: FakeCluster) -> None:
    document = vm.read()
    made = ChangeMade(id="x", who="bob", when="now", why="lock web1", node="n2")
    other = document.with_vm(replace(document.vm("web1"), locked=True, memory=1))
    vm.agreements["n2"].store.begin(replace(other, change=made))

    found = [row for row in look(vm) if row[2] == "document"]

    said = one(found)[3]
    assert "Diverged" in said and "lock web1 (bob" in said
    assert "vms.web1.locked: False / True" in said and "vms.web1.memory: 67108864 / 1" in said
