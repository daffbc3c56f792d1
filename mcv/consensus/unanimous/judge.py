"""Judging what other members show: a generation is computed from its parent, never believed."""

from collections.abc import Sequence
from typing import Any, Protocol

from mcv.document import changes
from mcv.document.authors import require_author
from mcv.document.generation import ChangeMade
from mcv.document.model import Cluster, digest
from mcv.document.schema import SCHEMA
from mcv.errors import Refused


class Keys(Protocol):
    """This node's key and the members' certificates."""

    def sign(self, text: str) -> str:
        """The signature of a text by this node's key."""

    def is_signed(self, certificate: str, text: str, signature: str) -> bool:
        """Whether the key of a certificate has signed a text."""


class Judge:
    """Makes this node's changes, signed, and judges those of all members.

    Documents of schema 1 record no change: between two of them nothing is judged, so that a
    cluster can change while a member that is online has an older mcv.
    """

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def make(self, base: Cluster, name: str, params: dict[str, Any], made: ChangeMade) -> Cluster:
        """The next generation, signed by this node; base itself where nothing was to change."""
        return changes.apply(base, name, params, made, self._keys.sign)

    def require(self, base: Cluster, new: Cluster, sender: str = "") -> None:
        """Raise Refused unless `new` is base and one change, by a member that may make it.

        With `sender` the change has to be that member's.
        """
        author = new.change.node
        if sender and author != sender:
            raise Refused(f"{sender} proposed a change of {author}.")
        if max(base.schema, new.schema) < changes.RECORDED:
            return
        if new.schema > SCHEMA:
            raise Refused(f"The document of {author} has schema {new.schema}.")
        require_author(base, new)
        parent = digest(base)
        statement = changes.statement(parent, new.change)
        certificate = base.nodes[author].certificate
        if not self._keys.is_signed(certificate, statement, new.change.signature):
            raise Refused(f"{author} has not signed this change ({new.change.name}).")
        if digest(changes.recomputed(base, new)) != digest(new):
            raise Refused(f"The document is not what the change of {author} makes of its parent.")

    def require_chain(self, base: Cluster, chain: Sequence[Cluster]) -> None:
        """Raise Refused unless each document is its predecessor and one change."""
        for new in chain:
            self.require(base, new)
            base = new


def linked(chain: Sequence[Cluster]) -> list[Cluster]:
    """The longest end of a chain in which each document's parent is the one before."""
    kept = list(chain[-1:])
    for document in reversed(chain[:-1]):
        if kept[0].parent != digest(document):
            break
        kept.insert(0, document)
    return kept
