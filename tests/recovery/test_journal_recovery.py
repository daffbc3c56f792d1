"""Copies of journal entries that other nodes bring."""

from pathlib import Path

import pytest

from mcv.document.subject import Subject
from mcv.errors import McvError, Refused
from mcv.recovery import journal_recovery
from mcv.recovery.journal_recovery import MAX_ENTRY, drop_entry, keep_entry
from mcv.transaction.journal import Entry, EntryClaim, Journal, encode
from tests.fakes.cluster import FakeCluster


def entry(operation: str, node: str, *subjects: str) -> Entry:
    claims = [EntryClaim(subject=subject) for subject in subjects or ("node:n1",)]
    return Entry(operation=operation, title="start web1", who="root", node=node, claims=claims)


def claim(cluster: FakeCluster, node: str, operation: str = "a1") -> None:
    params = {"name": "n1", "why": "x"}
    consensus = cluster.hosts[node].consensus
    consensus.propose("node.claim", params, id=f"{operation}.1", who="a", why="x")


def test_a_copy_is_kept_under_its_operation(cluster: FakeCluster) -> None:
    host = cluster.hosts["n1"]
    claim(cluster, "n2")

    keep_entry(host, encode(entry("a1", "n2")), "n2")

    kept = host.journal.read("a1")
    assert kept is not None and kept.node == "n2"


def test_a_copy_leads_to_no_file_outside_the_journal(cluster: FakeCluster, tmp_path: Path) -> None:
    host = cluster.hosts["n1"]

    with pytest.raises(McvError):
        keep_entry(host, encode(entry("../../../evil", "n2")), "n2")
    with pytest.raises(McvError):
        host.journal.write(entry("../../../evil", "n2"))

    assert not list(tmp_path.rglob("evil*"))


def test_a_copy_never_replaces_an_entry_of_this_node(cluster: FakeCluster) -> None:
    host = cluster.hosts["n1"]
    host.journal.write(entry("a1", "n1"))

    for node in ("n1", "n2"):
        with pytest.raises(Refused, match="own"):
            keep_entry(host, encode(entry("a1", node)), "n2")

    kept = host.journal.read("a1")
    assert kept is not None and kept.node == "n1"


def test_a_copy_is_kept_for_the_node_that_holds_its_claim_alone(cluster: FakeCluster) -> None:
    host = cluster.hosts["n1"]
    with pytest.raises(Refused, match="knows of no claim"):
        keep_entry(host, encode(entry("a1", "n2")), "n2")
    claim(cluster, "n2")

    with pytest.raises(Refused, match="is not n3's"):
        keep_entry(host, encode(entry("a1", "n2")), "n3")
    with pytest.raises(Refused, match="bytes is not kept"):
        keep_entry(host, " " * (MAX_ENTRY + 1), "n2")

    assert host.journal.entries() == []


def test_a_copy_is_dropped_for_its_own_node_or_when_it_is_over(cluster: FakeCluster) -> None:
    host = cluster.hosts["n1"]
    claim(cluster, "n2")
    keep_entry(host, encode(entry("a1", "n2")), "n2")

    with pytest.raises(Refused, match="n2's and not over"):
        drop_entry(host, "a1", "n3")
    assert host.journal.read("a1") is not None
    drop_entry(host, "a1", "n2")

    assert host.journal.read("a1") is None


def test_a_report_reads_each_entry_once(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = cluster.hosts["n1"]
    claim(cluster, "n1")
    host.journal.write(entry("a1", "n1"))
    host.journal.write(entry("a2", "n2"))
    (host.settings.state / "journal" / "a3.json").write_text("torn")
    reads: list[str] = []
    read = Journal.read

    def counted(journal: Journal, operation: str) -> Entry | None:
        reads.append(operation)
        return read(journal, operation)

    monkeypatch.setattr(Journal, "read", counted)

    left = journal_recovery.left(host)

    assert sorted(reads) == ["a1", "a2", "a3"]
    assert [row.operation for row in left] == ["a1", "a3"]


def test_an_entry_that_is_torn_when_it_is_resumed_leaves_no_job_running(
    cluster: FakeCluster,
) -> None:
    host = cluster.hosts["n1"]
    claim(cluster, "n1")
    listed = entry("a1", "n1")
    host.journal.write(listed)
    (host.settings.state / "journal" / "a1.json").write_text("torn")

    assert not journal_recovery.resume(host, listed)

    assert not host.jobs.running("a1")
    [left] = journal_recovery.left(host)
    assert left.operation == "a1" and "cannot be read" in left.trouble


def test_an_entry_that_another_thread_has_ended_is_not_resumed(cluster: FakeCluster) -> None:
    host = cluster.hosts["n1"]
    claim(cluster, "n1")

    assert journal_recovery.resume(host, entry("a1", "n1"))

    assert host.jobs.known("a1") is None and not host.journal.holds("a1")
    held = cluster.read().claim_of(Subject.node("n1"))
    assert held is not None and held.operation == "a1"
