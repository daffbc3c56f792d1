"""Each kind of finding, produced over fake doors, and mended where that is safe."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from mcv.check import inventory, runner
from mcv.document.claim import Claim
from mcv.document.pools import Pool
from mcv.drivers import libvirt_guests
from mcv.errors import PeerUnreachable
from mcv.system import users
from mcv.system.answers import plain
from mcv.vm import power
from tests.check.faults import RESOURCE, STORIES, Do, claimed, look, one, record, split
from tests.fakes.cluster import FakeCluster


@pytest.mark.parametrize(
    ("do", "severity", "node", "subject", "word", "deed"),
    [story[1:] for story in STORIES],
    ids=[story[0] for story in STORIES],
)
def test_what_is_wrong_is_found_and_nothing_else(
    vm: FakeCluster, do: Do, severity: str, node: str, subject: str, word: str, deed: str
) -> None:
    assert look(vm) == []

    do(vm)

    found = one(look(vm))
    assert found[:3] == (severity, node, subject) and word in found[3]
    whole = plain(runner.check(vm.hosts["n1"]))["findings"]
    wanted = next(row for row in whole if row["message"] == found[3])
    assert wanted["hint"]
    assert (wanted["fix"] or {"deed": ""})["deed"] == deed
    assert ("split brain" in found[3]) == (do is split)


@pytest.mark.parametrize("story", [story for story in STORIES if story[6]], ids=lambda one: one[0])
def test_what_is_safe_is_mended_where_it_lies(vm: FakeCluster, story: tuple[Any, ...]) -> None:
    story[1](vm)
    fixes = [row["fix"] for row in plain(runner.check(vm.hosts["n1"]))["findings"] if row["fix"]]

    answer = plain(vm.run("n1", runner.fix, fixes=fixes))

    assert [(row["deed"], row["done"]) for row in answer["fixed"]] == [(story[6], True)]
    assert answer["ok"] and look(vm) == []


def test_a_claim_of_a_node_that_is_away_is_found(vm: FakeCluster) -> None:
    claimed(vm)

    found = [row for row in look(vm) if row[0] == "warning"]

    assert "delete web1" in one(found)[3]


def test_what_is_at_work_is_not_judged_half_way(vm: FakeCluster) -> None:
    host = vm.hosts["n1"]
    job = host.jobs.begin("delete web1", "ada")
    claim = Claim(operation=job.id, node="n1", epoch=1, generation=1, why="delete web1", since="")
    document = vm.read()
    record(vm, lambda _: document.with_vm(replace(document.vm("web1"), claim=claim)))
    vm.domains["n1"].defined.clear()

    assert one(look(vm))[0] == "note" and "being changed" in one(look(vm))[3]


def test_a_kept_disk_is_no_leftover_and_is_not_removed(vm: FakeCluster) -> None:
    vm.lvm["n2"].create("vg0", "mcv-ghost-1", 1)
    vm.lvm["n2"].foreign.add("mcv-ghost-1")
    fix = {"node": "n2", "deed": "remove-volume", "subject": "vg0/mcv-ghost-1"}

    answer = plain(vm.run("n1", runner.fix, fixes=[fix]))

    assert one(look(vm))[0] == "note"
    assert not answer["fixed"][0]["done"] and "mcv's tag" in answer["fixed"][0]["message"]
    assert "mcv-ghost-1" in vm.lvm["n2"].made


def test_a_node_that_was_started_late_has_the_unit_that_brings_drbd_up(
    vm: FakeCluster, units: Path
) -> None:
    (units / "multi-user.target.wants").mkdir(parents=True)
    (units / "multi-user.target.wants/drbd.service").touch()

    assert {row[:3] for row in look(vm)} == {
        ("warning", node, "drbd.service") for node in ("n1", "n2")
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ON_SHUTDOWN=suspend", "suspends guests"),
        ("ON_BOOT='start' # all", "starts guests"),
        ("# ON_BOOT=start\n#ON_SHUTDOWN=suspend\nON_BOOT=ignore", ""),
        ("ON_BOOT=start\nON_BOOT=ignore", ""),
        ('ON_BOOT="start', ""),
        ("", ""),
    ],
)
def test_libvirt_guests_that_would_suspend_or_start_guests_is_told(
    vm: FakeCluster, units: Path, text: str, said: str
) -> None:
    settings = units.parent / "root/etc/default/libvirt-guests"
    settings.parent.mkdir(parents=True)
    settings.write_text(text)
    assert look(vm) == []
    (units / "multi-user.target.wants").mkdir(parents=True)
    (units / "multi-user.target.wants/libvirt-guests.service").touch()

    found = look(vm)

    assert {row[:3] for row in found} == (
        {("warning", node, "libvirt-guests") for node in ("n1", "n2")} if said else set()
    )
    assert all(said in row[3] for row in found)


def test_the_defaults_of_libvirt_guests_are_its_scripts(tmp_path: Path) -> None:
    (tmp_path / "usr/lib/libvirt").mkdir(parents=True)
    script = "URIS=default\nON_BOOT=start\nON_SHUTDOWN=suspend\ntest -f x && . x\n"
    (tmp_path / "usr/lib/libvirt/libvirt-guests.sh").write_text(script)

    found = libvirt_guests.settings(tmp_path)

    assert (found.on_boot, found.on_shutdown) == ("start", "suspend")
    assert libvirt_guests.settings(tmp_path / "none") == libvirt_guests.GuestsSettings()


def test_a_node_without_a_mail_program_says_that_nobody_is_mailed(
    vm: FakeCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inventory, "SENDMAIL", tmp_path / "none")
    assert {row[:3] for row in look(vm)} == {("note", node, "mail") for node in ("n1", "n2")}


def test_a_tool_that_fails_is_an_error_and_hides_nothing_else(vm: FakeCluster) -> None:
    def broken() -> None:
        raise PeerUnreachable("libvirt is away.")

    vm.domains["n2"].definitions = broken  # type: ignore
    vm.lvm["n2"].made.clear()

    assert {(row[1], row[2]) for row in look(vm)} == {("n2", "libvirt"), ("n2", f"vg0/{RESOURCE}")}


def test_a_peer_that_hangs_is_not_waited_for(vm: FakeCluster) -> None:
    hang = threading.Event()

    def stuck(caller: str, node: str, operation: str) -> None:
        if node == "n2":
            hang.wait(20)

    vm.spy = stuck
    began = time.monotonic()

    found = one(look(vm))

    hang.set()
    assert time.monotonic() - began < 2.5
    assert found[:3] == ("error", "n2", "n2")


def test_a_running_vm_is_well(vm: FakeCluster) -> None:
    vm.run("n1", power.start, name="web1")

    assert look(vm) == look(vm, "n2") == []


def test_users_who_see_the_secret_in_arguments_are_a_note(
    vm: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(users, "who_see_arguments", lambda: ["alice", "bob"])

    found = look(vm)

    assert [(one[0], one[2]) for one in found] == [("note", "DRBD secret")] * 2
    assert "Users of n1 (alice, bob) can see the DRBD secret" in found[0][3]


@pytest.mark.parametrize("name", ["theirs", RESOURCE])
def test_a_resource_file_that_cannot_be_read_hides_no_other(vm: FakeCluster, name: str) -> None:
    directory = vm.hosts["n1"].settings.drbd_directory
    (directory / f"{name}.res").unlink(missing_ok=True)
    (directory / f"{name}.res").symlink_to("/nothing/there")

    found = one(look(vm))

    is_own = name == RESOURCE
    assert found[:3] == ("error" if is_own else "warning", "n1", f"/etc/drbd.d/{name}.res")
    assert ("was edited" if is_own else "belongs to no VM") in found[3]


def test_a_pool_s_claim_of_a_node_that_is_away_is_found(vm: FakeCluster) -> None:
    claim = Claim(operation="op1", node="n2", epoch=1, generation=1, why="delete pool", since="")
    pool = Pool(type="dir", nodes={"n1": "/srv/disks"}, claim=claim)
    for directories in vm.directories.values():
        directories.make("/srv/disks")
    document = replace(vm.read(), pools={"disks": pool})
    away = document.with_node(replace(document.node("n2"), status="offline"))
    record(vm, lambda _: away)
    vm.directories["n1"].make("/srv/disks")
    vm.down.add("n2")

    found = one([row for row in look(vm) if row[0] == "warning"])

    assert found[1:3] == ("n2", "disks") and "delete pool" in found[3]


def test_a_journal_entry_that_cannot_be_read_is_found(vm: FakeCluster) -> None:
    """It keeps its VM untouched, so the check tells of it as list and info do."""
    host = vm.hosts["n2"]
    (host.settings.state / "journal").mkdir(exist_ok=True)
    (host.settings.state / "journal" / "abc.json").write_text("torn {")

    found = one(look(vm))

    assert found[:2] == ("warning", "n2") and "operation abc is unfinished on n2" in found[3]
