"""Reading and changing keys of a real etcd through its JSON gateway."""

import pytest

from mcv.errors import Refused
from mcv.etcd.client import Etcd
from mcv.etcd.requests import (
    absent,
    delete,
    end_of,
    exists,
    get,
    holds,
    none_written_since,
    put,
    unchanged,
)


def test_what_was_written_is_read_byte_for_byte(etcd: Etcd, prefix: bytes) -> None:
    value = bytes(range(256)) * 300

    etcd.change([], [put(prefix + b"a", value), put(prefix + b"b", b"")])

    assert etcd.read(prefix + b"a").value(prefix + b"a") == value
    assert [each.value for each in etcd.below(prefix).kvs] == [value, b""]
    assert etcd.read_locally(prefix + b"b").value(prefix + b"b") == b""


def test_a_key_that_is_not_there_is_told_from_an_empty_one(etcd: Etcd, prefix: bytes) -> None:
    assert etcd.read(prefix).value(prefix) is None
    assert etcd.below(prefix).kvs == []


def test_a_transaction_changes_all_of_it_or_reads_why_not(etcd: Etcd, prefix: bytes) -> None:
    head, body = prefix + b"head", prefix + b"body"
    first = etcd.change([absent(head)], [put(head, b"1"), put(body, b"one")])

    second = etcd.change([holds(head, b"0")], [put(head, b"2"), delete(body)], [get(head)])

    assert first.succeeded
    assert not second.succeeded
    assert second.found()[0].value(head) == b"1"
    assert etcd.read(body).value(body) == b"one"


@pytest.mark.parametrize(
    ("story", "holds_now"),
    [("absent", False), ("exists", True), ("unchanged", True), ("written since", False)],
)
def test_comparisons_of_a_key_that_was_written_once(
    etcd: Etcd, prefix: bytes, story: str, holds_now: bool
) -> None:
    revision = etcd.change([], [put(prefix, b"x")]).header.revision
    compare = {
        "absent": absent(prefix),
        "exists": exists(prefix),
        "unchanged": unchanged(prefix, revision),
        "written since": unchanged(prefix, revision - 1),
    }[story]

    assert etcd.change([compare], []).succeeded is holds_now


def test_a_range_is_compared_as_a_whole(etcd: Etcd, prefix: bytes) -> None:
    stale = prefix + b"stale/"
    nothing_there = etcd.below(stale).header.revision
    assert etcd.change([none_written_since(stale, nothing_there)], []).succeeded
    etcd.change([], [put(stale + b"a", b"n1")])
    read_at = etcd.below(stale).header.revision

    assert not etcd.change([none_written_since(stale, nothing_there)], []).succeeded
    assert etcd.change([none_written_since(stale, read_at)], []).succeeded
    etcd.change([], [put(stale + b"b", b"n1")])
    assert not etcd.change([none_written_since(stale, read_at)], []).succeeded
    etcd.change([], [delete(stale, end_of(stale))])
    assert etcd.change([none_written_since(stale, read_at)], []).succeeded


def test_what_etcd_declines_changes_nothing_and_is_said_in_its_words(
    etcd: Etcd, prefix: bytes
) -> None:
    with pytest.raises(Refused, match=r"etcd on n1 refuses /v3/kv/txn: .*duplicate key"):
        etcd.change([], [put(prefix, b"1"), put(prefix, b"2")])
    with pytest.raises(Refused, match="request is too large"):
        etcd.change([], [put(prefix, bytes(1600 * 1024))])
    with pytest.raises(Refused, match="larger than max"):
        etcd.change([], [put(prefix, bytes(3 * 1024**2))])

    assert etcd.read(prefix).value(prefix) is None


def test_compaction_forgets_what_was_overwritten(etcd: Etcd, prefix: bytes) -> None:
    etcd.change([], [put(prefix, b"1")])
    revision = etcd.change([], [put(prefix, b"2")]).header.revision

    etcd.compact(revision, etcd.gateway.endpoints[0])

    with pytest.raises(Refused, match="compacted"):
        etcd.compact(revision, etcd.gateway.endpoints[0])
    assert etcd.read(prefix).value(prefix) == b"2"


@pytest.mark.parametrize(
    ("prefix_", "end"), [(b"a", b"b"), (b"a/", b"a0"), (b"a\xff", b"b"), (b"\xff", b"\0")]
)
def test_the_end_of_a_prefix(prefix_: bytes, end: bytes) -> None:
    assert end_of(prefix_) == end
