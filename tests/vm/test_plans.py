"""The plans of VMs as values: their steps, their ways back, and the step that settles them."""

import msgspec
from msgspec.structs import replace

from mcv.document.disks import FileDisk
from mcv.storage.moves import DiskMove, end_steps
from mcv.transaction.plan import Call, Change, Item, Step, commit_point, nodes_of, on, steps_of
from mcv.vm import disk_plans, plans
from tests.documents import disk, vm

TWO_DISKS = vm(disks=(disk(), disk(number=2)))


def said(plan: list[Item]) -> list[str]:
    """Each item in few words: the steps beside each other, the way back behind a bar."""
    rows = []
    for item in plan:
        steps = []
        for step in steps_of(item):
            words = _short(step.do) + (f" | {_short(step.undo)}" if step.undo else "")
            steps.append(words + (" !" if step.commits else "") + (" ?" if step.may_fail else ""))
        rows.append(" & ".join(steps))
    return rows


def _short(action: Call | Change) -> str:
    if isinstance(action, Call):
        disk = action.params.get("disk", "")
        return f"{action.node}:{action.operation}{disk}"
    return action.name


def test_a_creation_makes_both_sides_and_is_settled_by_its_definition() -> None:
    plan = plans.create_plan(vm(), "n2", "token", "create web1")

    assert said(plan) == [
        "vm.add | vm.remove",
        "n1:volume.create1 | n1:volume.remove1 & n2:volume.create1 | n2:volume.remove1",
        "n1:drbd.create1 | n1:drbd.remove1 & n2:drbd.create1 | n2:drbd.remove1",
        "n1:drbd.skip_initial_sync1",
        "n1:vm.fill",
        "n1:vm.define | n1:vm.undefine !",
    ]
    assert plan[4] == Step(on("n1", "vm.fill", name="web1", source="n2", image="token"))


def test_a_creation_without_disks_is_an_entry_and_a_definition() -> None:
    assert said(plans.create_plan(vm(disks=()), "n1", None, "create web1")) == [
        "vm.add | vm.remove",
        "n1:vm.define | n1:vm.undefine !",
    ]


def test_a_deletion_begins_with_what_settles_it_and_ends_with_the_entry() -> None:
    plan = said(plans.delete_plan(TWO_DISKS, keep_disks=False))

    assert plan[0] == "n1:vm.undefine !" and plan[-1] == "vm.remove" and len(plan) == 6
    assert all("|" not in row for row in plan)
    kept = said(plans.delete_plan(TWO_DISKS, keep_disks=True))
    assert len(kept) == 6 and not any("volume.remove" in row for row in kept)


def test_a_move_is_settled_by_the_new_owner_in_the_document() -> None:
    assert said(plans.offline_plan(vm(), "n2", start=True)) == [
        "n2:vm.define | n2:vm.undefine",
        "n1:drbd.release",
        "vm.assign !",
        "n1:vm.undefine",
        "n2:vm.power_on ?",
    ]
    assert len(plans.offline_plan(vm(), "n2", start=False)) == 4


def test_every_plan_settles_once_and_survives_being_written_down() -> None:
    for plan in (
        plans.create_plan(TWO_DISKS, "n1", None, "x"),
        plans.delete_plan(TWO_DISKS, False),
        plans.offline_plan(vm(), "n2", True),
        plans.update_plan(4, vm(), {"cpus": 2, "protected": True}),
        plans.update_plan(3, vm(), {"cpus": 2, "autostart": "yes"}),
    ):
        assert sum(step.commits for item in plan for step in steps_of(item)) == 1
        assert commit_point(plan) < len(plan) and nodes_of(plan) <= {"n1", "n2"}
        text = msgspec.json.encode(plan)
        assert msgspec.json.encode(msgspec.json.decode(text, type=list[Item])) == text


def test_an_update_is_one_change_and_before_schema_4_one_for_each_that_members_know() -> None:
    values = {"cpus": 2, "autostart": "yes", "cd": "netinst"}

    assert said(plans.update_plan(4, vm(), values)) == [
        "n1:vm.bring_cd",
        "vm.set !",
        "n1:vm.define",
        "n1:vm.adjust ?",
        "n1:vm.change_cd ?",
    ]
    assert said(plans.update_plan(3, vm(), values))[1:4] == [
        "vm.set_cd !",
        "vm.update",
        "vm.set_start",
    ]
    assert said(plans.update_plan(4, vm(), {"tags": ["a"]}, is_of_domain=False)) == ["vm.set !"]


def test_a_move_by_a_copy_ends_with_the_old_volume_and_brings_the_cd() -> None:
    old = FileDisk(id=1, size=1024, volume="a", pool="default", places={"n1": "/pool"})
    new = replace(old, places={"n2": "/pool"})
    moved = vm(disks=(old, disk(number=2)), cd="netinst")
    moves = [DiskMove(old=old, new=new, source="n1", to="n2")]

    plan = [*plans.copied_plan(moved, "n2", moves), *end_steps("web1", moves)]

    assert said(plan) == [
        "n2:vm.bring_cd",
        "n2:volume.receive | n2:volume.discard1",
        "n1:volume.send1",
        "n1:drbd.release",
        "vm.move !",
        "n2:vm.define",
        "n1:vm.undefine",
        "n1:volume.remove_moved ?",
    ]


def test_a_disk_s_move_is_settled_by_the_exchange_and_ends_with_the_old_one() -> None:
    file = FileDisk(id=2, size=1024, volume="b", pool="default", places={"n1": "/pool"})

    plan = disk_plans.move_plan(vm(), disk(), file, {}, away=["n2"])

    assert said(plan) == [
        "disk.add | disk.remove",
        "n1:volume.create2 | n1:volume.remove2",
        "n1:disk.copy1",
        "disk.exchange !",
        "n1:vm.define",
        "n1:drbd.remove2",
        "n1:volume.remove2",
        "disk.remove",
    ]
