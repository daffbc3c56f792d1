"""Copies of journal entries that other nodes bring."""

from pathlib import Path

import pytest

from mcv.errors import McvError, Refused
from mcv.recovery.journal_recovery import keep_entry
from mcv.transaction.journal import Entry, encode
from tests.fakes.cluster import FakeCluster


def entry(operation: str, node: str) -> Entry:
    return Entry(operation=operation, title="start web1", who="root", node=node)


def test_a_copy_is_kept_under_its_operation(cluster: FakeCluster) -> None:
    host = cluster.hosts["n1"]

    keep_entry(host, encode(entry("a1", "n2")))

    kept = host.journal.read("a1")
    assert kept is not None and kept.node == "n2"


def test_a_copy_leads_to_no_file_outside_the_journal(cluster: FakeCluster, tmp_path: Path) -> None:
    host = cluster.hosts["n1"]

    with pytest.raises(McvError):
        keep_entry(host, encode(entry("../../../evil", "n2")))
    with pytest.raises(McvError):
        host.journal.write(entry("../../../evil", "n2"))

    assert not list(tmp_path.rglob("evil*"))


def test_a_copy_never_replaces_an_entry_of_this_node(cluster: FakeCluster) -> None:
    host = cluster.hosts["n1"]
    host.journal.write(entry("a1", "n1"))

    for node in ("n1", "n2"):
        with pytest.raises(Refused, match="own"):
            keep_entry(host, encode(entry("a1", node)))

    kept = host.journal.read("a1")
    assert kept is not None and kept.node == "n1"
