"""Subject: the VM or the member that an operation claims."""

from typing import Literal

import msgspec

from mcv.document.names import NAME
from mcv.errors import McvError

Kind = Literal["vm", "node"]


class Subject(msgspec.Struct, frozen=True, order=True):
    """A VM or a member by name. On disk and on the wire it is text: "vm:web1", "node:node2".

    Subjects are ordered; an operation on two of them locks and claims them in this order.
    """

    kind: Kind
    name: str

    @classmethod
    def vm(cls, name: str) -> "Subject":
        return cls("vm", name)

    @classmethod
    def node(cls, name: str) -> "Subject":
        return cls("node", name)

    @classmethod
    def parse(cls, text: str) -> "Subject":
        """The subject that a text names; McvError where the text names none."""
        kind, _, name = text.partition(":")
        if NAME.fullmatch(name):
            if kind == "vm":
                return cls("vm", name)
            if kind == "node":
                return cls("node", name)
        raise McvError(f"{text!r} names neither a VM nor a node.")

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"

    @property
    def lock(self) -> str:
        """The name of the subject's lock file on each node."""
        return f"{self.kind}-{self.name}"

    @property
    def claim_change(self) -> str:
        """The change of the document that claims the subject."""
        return f"{self.kind}.claim"

    @property
    def release_change(self) -> str:
        """The change of the document that ends the claim."""
        return f"{self.kind}.release"
