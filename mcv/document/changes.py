"""The changes that the document knows: each a pure function from one generation to the next.

A change that LookAgain answered is built anew from the newest document, so each function checks
whether its change still makes sense there, and raises Refused where it does not.
"""

import re
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec.structs import replace

from mcv.document import (
    cluster_changes,
    disk_changes,
    fence_changes,
    ha_changes,
    ha_entry_changes,
    image_changes,
    member_changes,
    move_changes,
    network_changes,
    permission_changes,
    pool_changes,
    property_changes,
    replica_changes,
    service_changes,
    store_changes,
    taking_changes,
    vm_changes,
)
from mcv.document.generation import ChangeMade
from mcv.document.model import REMEMBERED_CHANGES, Cluster, decode, digest, encode
from mcv.document.registry import CHANGES
from mcv.document.schema import SCHEMA, not_yet
from mcv.errors import McvError, Refused

__all__ = [
    "CHANGES",
    "apply",
    "cluster_changes",
    "disk_changes",
    "fence_changes",
    "ha_changes",
    "ha_entry_changes",
    "image_changes",
    "member_changes",
    "move_changes",
    "network_changes",
    "permission_changes",
    "pool_changes",
    "property_changes",
    "replica_changes",
    "service_changes",
    "store_changes",
    "taking_changes",
    "vm_changes",
]  # they register what they define

RECORDED = 2  # the schema from which on each generation records its change

Sign = Callable[[str], str]  # a statement's signature by this node's key

# What acts on a terminal or begins a line. What is printable is not asked here: that differs
# between versions of Python, and a change that one member refuses stays open.
_ACTS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

_statement = msgspec.json.Encoder(order="deterministic")


def unsigned(statement: str) -> str:
    return ""


def apply(
    base: Cluster, name: str, params: dict[str, Any], made: ChangeMade, sign: Sign = unsigned
) -> Cluster:
    """The next generation: base with one change made, its lineage and author written down.

    Base itself where there was nothing left to change.
    """
    plain_params = msgspec.json.decode(msgspec.json.encode(params))
    draft = CHANGES[name](base, made, **plain_params)
    if draft is base:
        return base
    parent = digest(base)
    if draft.schema >= RECORDED:
        made = replace(made, name=name, params=plain_params, signature="")
        made = replace(made, signature=sign(statement(parent, made)))
    new = replace(
        draft,
        parent=parent,
        generation=base.generation + 1,
        change=made,
        changes=(*base.changes, made.id)[-REMEMBERED_CHANGES:],
    )
    if new.schema < SCHEMA and decode(encode(new)) != new:
        raise not_yet()
    return new


def statement(parent: str, made: ChangeMade) -> str:
    """What the author of a change signs: the parent's hash and the change."""
    text = _statement.encode(replace(made, signature="")).decode()
    return f"change of the document\n{parent}\n{text}"


def recomputed(base: Cluster, new: Cluster) -> Cluster:
    """What the recorded change of `new` makes of base.

    Raises Refused where base does not allow the change, and for a record that is no change:
    author, time and reason are one line each.
    """
    record = new.change
    if any(map(_ACTS.search, (record.who, record.when, record.why))):
        raise Refused(f"Author or reason of a change of {record.node} is no line.")
    bare = ChangeMade(
        id=record.id, who=record.who, when=record.when, why=record.why, node=record.node
    )
    try:
        return apply(base, record.name, record.params, bare, lambda text: record.signature)
    except McvError:
        raise
    except Exception as error:  # whatever a change function makes of foreign parameters
        raise Refused(f"{record.name!r} of {record.node} is no change: {error}.") from error
