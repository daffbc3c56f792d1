"""A disk without room: power works, all else is refused in words, and nothing is left behind."""

import errno
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mcv.api import dispatch
from mcv.check import runner
from mcv.cluster import permissions
from mcv.drbd import verify
from mcv.errors import Failed, McvError, OutcomeOpen, Refused, RepairNeeded
from mcv.recovery import journal_recovery
from mcv.rules.rights import Person
from mcv.status import cluster as status_cluster
from mcv.status import vms
from mcv.system import files, room
from mcv.vm import change, create, migrate, pausing, power
from tests.fakes.cluster import FakeCluster

Fill = Callable[..., None]


@pytest.fixture
def fill(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fill]:
    """Let a node's state directory be full from now on; in silence: nobody has noticed yet."""
    full: set[str] = set()
    write, problem = files._write_draft, room.problem

    def _write_draft(draft: Path, text: str, mode: int) -> None:
        if full & set(draft.parts):
            raise OSError(errno.ENOSPC, "No space left on device")
        write(draft, text, mode)

    noticed: set[str] = set()

    def _problem(state: Path) -> str:
        return "/var/lib/mcv is full" if state.name in noticed else problem(state)

    def fill(node: str = "", silently: bool = False) -> None:
        if not node:
            full.clear()
            noticed.clear()
            return
        full.add(node)
        if not silently:
            noticed.add(node)

    monkeypatch.setattr(files, "_write_draft", _write_draft)
    monkeypatch.setattr(room, "problem", _problem)
    yield fill
    fill()


def test_power_works_without_room(
    vm: FakeCluster, fill: Fill, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill("n1")
    fill("n2")

    monkeypatch.setattr(pausing, "AGAIN", 0.0)
    host = vm.hosts["n1"]
    verbs = ("vm.start", "vm.reset", "vm.pause", "vm.resume", "vm.stop", "vm.start", "vm.shutdown")
    for verb in verbs:
        answer = dispatch.run(
            host, verb, dispatch.row(verb), {"name": "web1"}, Person(name="alice")
        )
        job = host.jobs.get(answer["job"])
        seen = 0
        while job.state == "running":
            seen = job.follow(seen, 5)["seen"]
        assert (verb, job.state, job.error) == (verb, "done", None)

    assert vm.domains["n1"].state("web1") == "stopped"
    assert not [job["title"] for job in host.jobs.listed() if job["state"] == "running"]


def test_a_definition_that_cannot_be_written_again_does_where_it_is_equal(vm: FakeCluster) -> None:
    vm.domains["n1"].broken.add("define")

    vm.run("n1", power.start, name="web1")

    assert vm.domains["n1"].state("web1") == "running"


def test_a_definition_that_differs_does_not(vm: FakeCluster) -> None:
    before = dict(vm.domains["n1"].defined)
    vm.run("n1", change.update, name="web1", memory="128MiB")
    vm.domains["n1"].defined.update(before)
    vm.domains["n1"].broken.add("define")

    with pytest.raises(McvError, match="Could not define"):
        vm.run("n1", power.start, name="web1")


CHANGES: list[tuple[Callable[..., Any], dict[str, Any]]] = [
    (permissions.add, {"user": "carol"}),
    (create.create, {"name": "web2", "memory": "64MiB"}),
    (migrate.migrate, {"name": "web1", "to": "n2"}),
    (change.lock, {"name": "web1"}),
    (verify.verify, {"name": "web1"}),
]


@pytest.mark.parametrize("full", ["n1", "n2"])
@pytest.mark.parametrize(("verb", "params"), CHANGES)
def test_all_else_is_refused_in_words(
    vm: FakeCluster, fill: Fill, verb: Callable[..., Any], params: dict[str, Any], full: str
) -> None:
    before = vm.picture()
    fill(full)

    # The first change of a new VM is its plan's first step.
    with pytest.raises((Refused, Failed), match=f"{full} can write nothing down") as refusal:
        vm.run("n1", verb, **params)

    why = "/var/lib/mcv is full|No space left on device"
    assert re.search(why, refusal.value.message) and "df -h" in refusal.value.hint
    fill()
    assert vm.picture() == before


def test_a_coordinator_that_finds_no_room_while_it_writes_refuses(
    vm: FakeCluster, fill: Fill
) -> None:
    before = vm.picture()
    fill("n1", silently=True)

    with pytest.raises(Refused, match="cannot write the change down, so nothing was changed"):
        vm.run("n1", permissions.add, user="carol")

    fill()
    assert vm.picture() == before


def test_a_coordinator_that_finds_no_room_when_all_have_accepted_commits_later(
    vm: FakeCluster, fill: Fill
) -> None:
    def spy(caller: str, node: str, operation: str) -> None:
        if operation == "config.accept":
            fill("n1", silently=True)

    vm.spy = spy
    with pytest.raises(OutcomeOpen, match="All have accepted the change"):
        vm.run("n1", permissions.add, user="carol")

    vm.spy = lambda *_: None
    fill()
    vm.look("n1")
    vm.look("n2")
    assert (
        vm.read("n1").permissions.superusers == vm.read("n2").permissions.superusers == ("carol",)
    )


@pytest.mark.parametrize("operation", ["vm.define", "vm.undefine"])
def test_a_plan_without_room_for_its_next_note_is_kept_and_goes_on_when_there_is_room(
    vm: FakeCluster, fill: Fill, operation: str
) -> None:
    def answered(caller: str, node: str, asked: str) -> None:
        if asked == operation:
            fill("n1", silently=True)

    vm.answered = answered
    with pytest.raises(RepairNeeded, match="No space left"):
        vm.run("n1", migrate.migrate, name="web1", to="n2")
    vm.answered = lambda *_: None
    assert vm.read().vm("web1").claim is not None or operation == "vm.undefine"

    fill()
    for _ in range(3):
        journal_recovery.resume_all(vm.hosts["n1"], patience=False)
    assert vm.read().vm("web1").claim is None
    assert not list(vm.hosts["n1"].journal.entries())
    assert vm.read().vm("web1").node == "n2"


def test_list_info_and_check_say_full(vm: FakeCluster, fill: Fill) -> None:
    fill("n1")

    info = status_cluster.info(vm.hosts["n2"])
    [row] = vms.list_(vm.hosts["n2"])
    found = runner.check(vm.hosts["n2"])

    problems = {node.name: (node.status, node.problem) for node in info.nodes}
    assert problems == {"n1": ("online", "/var/lib/mcv is full"), "n2": ("online", None)}
    assert any("full on n1" in line and "df -h" in line for line in info.attention)
    assert "full" in str(row.attention)
    assert [one.message for one in found.findings if "full" in one.message] == [
        "/var/lib/mcv is full on n1, so nothing can be changed."
    ]
    assert not found.ok


def test_what_was_seen_is_not_kept_and_no_traceback_is_left(
    vm: FakeCluster, fill: Fill, caplog: pytest.LogCaptureFixture
) -> None:
    fill("n1")
    caplog.set_level(logging.INFO)

    with pytest.raises(McvError, match="No space left on device"):
        vm.hosts["n1"].observations.save(at_once=True)

    assert not any(record.exc_info for record in caplog.records)
