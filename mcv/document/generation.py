"""What makes a generation of the document: its change, its epoch, and the epochs of its past."""

from typing import Any

import msgspec

from mcv.printable import line
from mcv.timestamps import timestamp


class Value(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A value that does not change; unknown keys are an error when it is read."""


class Past(Value, frozen=True, kw_only=True):
    """The end of an epoch in the lineage: every generation up to it is contained."""

    epoch: str
    generation: int
    hash: str


class Epoch(Value, frozen=True, kw_only=True):
    """One link of the lineage: a declaration of death, or a resolved divergence, began it.

    `generation` and `hash` name the document that it was begun from. An epoch that resolved
    a divergence names in `also` the ends of the other documents.
    """

    number: int
    id: str
    generation: int
    hash: str
    also: tuple[Past, ...] = ()


class ChangeMade(Value, frozen=True, kw_only=True):
    """The change that made a generation of its parent, who made it, when and why.

    `id` is the operation's and the step's number, `node` the member that proposed it. From
    schema 2 on `name` and `params` say which change it is, so that every member computes the
    generation from the parent, and `signature` is of the node's key over all of it.
    """

    id: str
    who: str
    when: str
    why: str
    node: str
    name: str = ""
    params: dict[str, Any] = msgspec.field(default_factory=dict)
    signature: str = ""


def made_now(node: str, *, id: str, who: str, why: str) -> ChangeMade:
    """The author of a change that this node makes now; name and reason are one line each."""
    when = timestamp()
    return ChangeMade(id=id, who=line(who), when=when, why=line(why), node=node)


class EpochNow(Value, frozen=True, kw_only=True):
    """The epoch that a document is in."""

    number: int
    id: str
