"""The logs of all nodes: what names a VM, merged and bounded; what a node's daemon says."""

from pathlib import Path
from typing import Any

import pytest

from mcv.drivers import qemu_log
from mcv.errors import CommandFailed, NotFound, PeerUnreachable, Refused
from mcv.status import logs
from mcv.system import daemon_log
from mcv.system.answers import plain
from mcv.system.daemon_log import Lines, LogLine
from tests.fakes.cluster import FakeCluster

LATER = "2999-01-01T00:00:00.000Z"


@pytest.fixture
def journal(monkeypatch: pytest.MonkeyPatch) -> list[LogLine]:
    """What the journal of every host has; a cursor is the number of lines before."""
    written: list[LogLine] = []

    def read(cursor: str, most: int) -> Lines:
        return Lines(lines=written[int(cursor or 0) :][-most:], cursor=str(len(written)))

    monkeypatch.setattr(daemon_log, "read", read)
    return written


@pytest.fixture
def one(
    vm: FakeCluster, journal: list[LogLine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> FakeCluster:
    """The cluster with web1; each source has a line about it and a line about another VM."""
    read = qemu_log.read
    monkeypatch.setattr(qemu_log, "read", lambda name, cursor: read(name, cursor, tmp_path))
    (tmp_path / "web1.log").write_text("2026-01-01 00:00:01.000+0000: starting up\n")
    journal.append(LogLine(when="2026-01-01T00:00:02.000Z", text="INFO start web1: done"))
    journal.append(LogLine(when="2026-01-01T00:00:03.000Z", text="INFO start web10: done"))
    vm.hosts["n1"].jobs.events.record("alice", "start", "web1")
    vm.hosts["n1"].jobs.events.record("alice", "start", "web10")
    return vm


def told(seen: logs.Logs) -> list[tuple[str, str, str]]:
    return [(row.node, row.source, row.text) for row in seen.lines]


def test_what_names_a_vm_comes_from_all_sources_of_all_nodes(one: FakeCluster) -> None:
    seen = logs.of_vm(one.hosts["n2"], "web1")

    assert [row.source for row in seen.lines] == ["qemu", "qemu", "mcvd", "mcvd", "event"]
    assert sorted(told(seen)) == [
        ("n1", "event", "alice: start web1: done"),
        ("n1", "mcvd", "INFO start web1: done"),
        ("n1", "qemu", "starting up"),
        ("n2", "mcvd", "INFO start web1: done"),
        ("n2", "qemu", "starting up"),
    ]
    assert seen.silent == {}


def test_what_comes_later_is_read_on(one: FakeCluster, journal: list[LogLine]) -> None:
    seen = logs.of_vm(one.hosts["n1"], "web1")
    cursors = plain(seen.cursors)
    journal.append(LogLine(when=LATER, text="INFO stop web1: done"))
    one.hosts["n1"].jobs.events.record("alice", "stop", "web1")
    one.hosts["n1"].jobs.events.record("alice", "stop", "web2")

    again = logs.of_vm(one.hosts["n1"], "web1", cursors=cursors)

    assert sorted(told(again)) == [
        ("n1", "event", "alice: stop web1: done"),
        ("n1", "mcvd", "INFO stop web1: done"),
        ("n2", "mcvd", "INFO stop web1: done"),
    ]
    assert logs.of_vm(one.hosts["n1"], "web1", cursors=plain(again.cursors)).lines == []


def test_the_last_lines_alone_are_told(one: FakeCluster, journal: list[LogLine]) -> None:
    journal += [LogLine(when=LATER, text=f"web1 {number}") for number in range(50)]

    seen = logs.of_vm(one.hosts["n1"], "web1", lines=3)

    assert {row.text for row in seen.lines} <= {"web1 47", "web1 48", "web1 49"}
    for lines in (0, -1, 1001, "3"):
        with pytest.raises(Refused, match="no number of lines"):
            logs.of_vm(one.hosts["n1"], "web1", lines=lines)  # type: ignore[arg-type]


def test_silence_and_what_cannot_be_read_is_told_beside(
    one: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(cursor: str, most: int) -> Lines:
        raise CommandFailed("`journalctl` exited with 1: no journal")

    monkeypatch.setattr(daemon_log, "read", fail)
    one.down.add("n2")

    seen = logs.of_vm(one.hosts["n1"], "web1")

    assert [row.source for row in seen.lines] == ["qemu", "event"]
    assert set(seen.silent) == {"n1", "n2"} and "no journal" in seen.silent["n1"]


def test_a_node_tells_what_its_daemon_says(one: FakeCluster) -> None:
    seen = logs.of_node(one.hosts["n1"], "n2")

    assert told(seen) == [
        ("n2", "mcvd", "INFO start web1: done"),
        ("n2", "mcvd", "INFO start web10: done"),
    ]
    assert logs.of_node(one.hosts["n1"], "n1", lines=1).lines[0].text.startswith("INFO start web10")
    one.down.add("n2")
    with pytest.raises(PeerUnreachable):
        logs.of_node(one.hosts["n1"], "n2")


def test_a_name_of_nothing_is_refused(one: FakeCluster) -> None:
    with pytest.raises(NotFound, match="There is no VM web2"):
        logs.of_vm(one.hosts["n1"], "web2")
    with pytest.raises(NotFound, match="neither a VM nor a node web2"):
        logs.of_node(one.hosts["n1"], "web2")


def test_an_answer_of_another_form_costs_that_node(one: FakeCluster) -> None:
    one.bend = lambda node, operation, answer: 7 if operation == "node.vm_log" else answer

    seen = logs.of_vm(one.hosts["n1"], "web1")

    assert {row.node for row in seen.lines} == {"n1"} and "n2" in seen.silent


@pytest.mark.parametrize("cursors", [{"n1": 7}, {"n1": {"journal": 7}}])
def test_a_place_that_makes_no_sense_is_refused(one: FakeCluster, cursors: Any) -> None:
    with pytest.raises(Refused, match="makes no sense"):
        logs.of_vm(one.hosts["n1"], "web1", cursors=cursors)
