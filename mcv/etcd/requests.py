"""What etcd is asked: comparisons, operations and transactions, as its JSON gateway reads them.

Keys and values are bytes, which JSON carries as base64. A range is a key and its end, which is
not part of it.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec

MOST_COMPARES = 128  # comparisons or operations in one transaction: etcd's --max-txn-ops


class Request(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A request, or a part of one; what is None is left to etcd."""


class Range(Request, frozen=True, kw_only=True):
    """Read a key or a range; a serializable read is one of the asked member alone."""

    key: bytes
    range_end: bytes | None = None
    serializable: bool = False


class Put(Request, frozen=True, kw_only=True):
    """Write a key."""

    key: bytes
    value: bytes


class Delete(Request, frozen=True, kw_only=True):
    """Remove a key or a range."""

    key: bytes
    range_end: bytes | None = None


class Operation(Request, frozen=True, kw_only=True):
    """One operation of a transaction; exactly one field is set."""

    request_range: Range | None = None
    request_put: Put | None = None
    request_delete_range: Delete | None = None


class Compare(Request, frozen=True, kw_only=True):
    """A comparison of each key in a range; a missing key has the revisions and version 0."""

    key: bytes
    target: Literal["VERSION", "CREATE", "MOD", "VALUE"]
    result: Literal["EQUAL", "GREATER", "LESS", "NOT_EQUAL"] = "EQUAL"
    range_end: bytes | None = None
    version: int | None = None
    create_revision: int | None = None
    mod_revision: int | None = None
    value: bytes | None = None


class Transaction(Request, frozen=True, kw_only=True):
    """If every comparison holds, the operations of success, else those of failure."""

    compare: Sequence[Compare] = ()
    success: Sequence[Operation] = ()
    failure: Sequence[Operation] = ()


class Compaction(Request, frozen=True, kw_only=True):
    """Forget what was overwritten or removed before a revision."""

    revision: int
    physical: bool = False


class Nothing(Request, frozen=True, kw_only=True):
    """A request without parameters."""


def end_of(prefix: bytes) -> bytes:
    """The end of the range of all keys that begin with a prefix."""
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes([kept[-1] + 1]) if kept else b"\0"


def get(key: bytes, range_end: bytes | None = None) -> Operation:
    """Read a key or a range within a transaction."""
    return Operation(request_range=Range(key=key, range_end=range_end))


def put(key: bytes, value: bytes) -> Operation:
    """Write a key within a transaction."""
    return Operation(request_put=Put(key=key, value=value))


def delete(key: bytes, range_end: bytes | None = None) -> Operation:
    """Remove a key or a range within a transaction."""
    return Operation(request_delete_range=Delete(key=key, range_end=range_end))


def absent(key: bytes) -> Compare:
    """The key does not exist."""
    return Compare(key=key, target="CREATE", create_revision=0)


def exists(key: bytes) -> Compare:
    """The key exists."""
    return Compare(key=key, target="CREATE", result="GREATER", create_revision=0)


def holds(key: bytes, value: bytes) -> Compare:
    """The key exists and has this value."""
    return Compare(key=key, target="VALUE", value=value)


def unchanged(key: bytes, mod_revision: int) -> Compare:
    """The key was last written at this revision; 0: it does not exist."""
    return Compare(key=key, target="MOD", mod_revision=mod_revision)


def none_written_since(prefix: bytes, revision: int) -> Compare:
    """No key below the prefix was written after the revision; one that was removed is not seen."""
    return Compare(
        key=prefix,
        range_end=end_of(prefix),
        target="MOD",
        result="LESS",
        mod_revision=revision + 1,
    )
