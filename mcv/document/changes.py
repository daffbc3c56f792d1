"""The changes that the document knows: each a pure function from one generation to the next.

A change that LookAgain answered is built anew from the newest document, so each function checks
whether its change still makes sense there, and raises Refused where it does not.
"""

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec.structs import replace

from mcv.document import cluster_changes, vm_changes
from mcv.document.generation import ChangeMade
from mcv.document.model import REMEMBERED_CHANGES, Cluster, decode, digest, encode
from mcv.document.registry import CHANGES
from mcv.document.schema import SCHEMA
from mcv.errors import McvError, Refused
from mcv.printable import line

__all__ = ["CHANGES", "apply", "cluster_changes", "vm_changes"]  # they register what they define

RECORDED = 2  # the schema from which on each generation records its change

Sign = Callable[[str], str]  # a statement's signature by this node's key

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
        raise Refused(
            "The document cannot hold this yet: a member that is online has an older mcv.",
            "Install this mcv on every node; the others tell which: mcv info",
        )
    return new


def statement(parent: str, made: ChangeMade) -> str:
    """What the author of a change signs: the parent's hash and the change."""
    text = _statement.encode(replace(made, signature="")).decode()
    return f"change of the document\n{parent}\n{text}"


def recomputed(base: Cluster, new: Cluster) -> Cluster:
    """What the recorded change of `new` makes of base.

    Author and reason of a change are one line each, so a document with others is not what its
    change makes. Raises Refused where base does not allow the change, and for a record that is
    no change.
    """
    record = new.change
    bare = ChangeMade(
        id=record.id,
        who=line(record.who),
        when=line(record.when),
        why=line(record.why),
        node=record.node,
    )
    try:
        return apply(base, record.name, record.params, bare, lambda text: record.signature)
    except McvError:
        raise
    except Exception as error:  # whatever a change function makes of foreign parameters
        raise Refused(f"{record.name!r} of {record.node} is no change: {error}.") from error
