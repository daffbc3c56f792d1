"""What is not mended: what is a VM's, in use, named by an operation, or nobody's business."""

from typing import Any

import pytest
from msgspec.structs import replace

from mcv.check import fixes as mend
from mcv.check import runner
from mcv.document.claim import Claim
from mcv.system.answers import plain
from mcv.transaction.journal import Entry, EntryClaim
from mcv.transaction.plan import Step, on
from mcv.vm import delete
from tests.check.faults import FILE, GUEST, RESOURCE, UUID, define_elsewhere, left_over, record
from tests.fakes.cluster import FakeCluster


@pytest.mark.parametrize(
    ("deed", "subject", "word"),
    [
        ("remove-volume", f"vg0/{RESOURCE}", "belongs to web1"),
        ("remove-file", FILE, "belongs to web1"),
        ("down", RESOURCE, "belongs to web1"),
        ("undefine", "web1", "belongs to n1"),
        ("define", "web1", "by now"),
        ("define", "nothing", "no VM nothing"),
        ("remove-volume", "vg0/gone", "any more"),
        ("remove-file", "/etc/passwd", "no resource file"),
        ("burn", "web1", "nothing called burn"),
    ],
)
def test_what_is_a_vms_or_nobodys_is_left_alone(
    vm: FakeCluster, deed: str, subject: str, word: str
) -> None:
    before = vm.picture()

    row = plain(mend.mend(vm.hosts["n1"], [{"deed": deed, "subject": subject}]))[0]

    assert not row["done"] and word in row["message"]
    assert vm.picture() == before


def test_nothing_is_mended_that_a_journal_entry_names(vm: FakeCluster) -> None:
    vm.lvm["n2"].create("vg0", "mcv-ghost-1", 1)
    plan: Any = [Step(on("n2", "volume.create", name="ghost", disk=1))]
    vm.hosts["n2"].journal.write(
        Entry(
            operation="op",
            title="create ghost",
            who="",
            node="n1",
            claims=[EntryClaim("vm:ghost")],
            plan=plan,
        )
    )

    row = plain(
        mend.mend(vm.hosts["n2"], [{"deed": "remove-volume", "subject": "vg0/mcv-ghost-1"}])
    )[0]

    assert "create ghost is unfinished" in row["message"]
    assert "mcv-ghost-1" in vm.lvm["n2"].made


def test_what_is_claimed_is_not_mended(vm: FakeCluster) -> None:
    claim = Claim(operation="op", node="n2", epoch=1, generation=1, why="delete web1", since="")
    document = vm.read()
    record(vm, lambda _: document.with_vm(replace(document.vm("web1"), claim=claim)))
    vm.domains["n1"].defined.clear()

    row = plain(mend.mend(vm.hosts["n1"], [{"deed": "define", "subject": "web1"}]))[0]

    assert "web1 is busy: delete web1" in row["message"]
    assert vm.domains["n1"].defined == {}


def test_a_leftover_that_is_in_use_is_left_alone(vm: FakeCluster) -> None:
    host, domains, drbd = vm.hosts["n1"], vm.domains["n1"], vm.drbd["n1"]
    vm.lvm["n1"].create("vg0", "mcv-ghost-1", 1)
    xml = domains.defined["web1"].replace(">web1<", ">mine<")
    xml = xml.replace(vm.read().vm("web1").uuid, UUID)
    domains.define(xml.replace("/dev/drbd100", "/dev/vg0/mcv-ghost-1"))
    left_over(vm, "n1", "mcv-ghost-2")
    vm.world.replicas["mcv-ghost-2"]["n1"].role = "Primary"

    rows = plain(
        mend.mend(
            host,
            [
                {"deed": "remove-volume", "subject": "vg0/mcv-ghost-1"},
                {"deed": "down", "subject": "mcv-ghost-2"},
            ],
        )
    )

    assert "it is in use" in rows[0]["message"]
    assert "disk of the domain mine" in rows[1]["message"]
    assert "mcv-ghost-1" in vm.lvm["n1"].made and "mcv-ghost-2" in drbd.statuses()


def test_a_copy_that_came_to_life_meanwhile_is_left_alone(vm: FakeCluster) -> None:
    define_elsewhere(vm)
    fixes = [row["fix"] for row in plain(runner.check(vm.hosts["n1"]))["findings"] if row["fix"]]
    vm.domains["n2"].start_unasked("web1")

    answer = plain(vm.run("n1", runner.fix, fixes=fixes))

    assert "web1 is running on n2" in answer["fixed"][0]["message"]
    assert not answer["ok"] and "web1" in vm.domains["n2"].defined


def test_the_disks_of_a_deleted_vm_that_were_to_be_kept_are_never_offered(
    vm: FakeCluster,
) -> None:
    vm.run("n1", delete.delete, name="web1", keep_disks=True)

    found = plain(runner.check(vm.hosts["n1"]))["findings"]

    assert [(row["severity"], row["subject"], row["fix"]) for row in found] == [
        ("note", f"vg0/{RESOURCE}", None),
        ("note", f"vg0/{RESOURCE}", None),
    ]


def test_a_guest_of_somebody_elses_is_neither_undefined_nor_touched(vm: FakeCluster) -> None:
    domains = vm.domains["n2"]
    domains.defined["web1"] = GUEST.format(uuid=UUID)
    domains.autostart.add("web1")

    rows = [
        mend.mend(vm.hosts["n2"], [{"deed": deed, "subject": "web1"}])[0]
        for deed in ("undefine", "autostart", "define")
    ]

    assert [(row.done, row.message) for row in rows] == [
        (False, "The domain web1 on n2 is not mcv's."),
        (False, "The domain web1 on n2 is not mcv's."),
        (False, "web1 belongs to n1."),
    ]
    assert (domains.defined, domains.autostart) == ({"web1": GUEST.format(uuid=UUID)}, {"web1"})
