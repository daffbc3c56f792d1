"""The changes that the document knows: each a pure function from one generation to the next.

A change that LookAgain answered is built anew from the newest document, so each function checks
whether its change still makes sense there, and raises Refused where it does not.
"""

from typing import Any

from msgspec.structs import replace

from mcv.document import cluster_changes, vm_changes
from mcv.document.generation import ChangeMade
from mcv.document.model import REMEMBERED_CHANGES, Cluster, decode, digest, encode
from mcv.document.registry import CHANGES
from mcv.document.schema import SCHEMA
from mcv.errors import Refused

__all__ = ["CHANGES", "apply", "cluster_changes", "vm_changes"]  # they register what they define


def apply(base: Cluster, name: str, params: dict[str, Any], made: ChangeMade) -> Cluster:
    """The next generation: base with one change made, its lineage and author written down.

    Base itself where there was nothing left to change.
    """
    draft = CHANGES[name](base, made, **params)
    if draft is base:
        return base
    new = replace(
        draft,
        parent=digest(base),
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
