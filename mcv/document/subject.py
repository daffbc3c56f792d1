"""Subject: what an operation claims, a VM or a member for instance."""

from typing import Literal, get_args

import msgspec

from mcv.document.names import NAME
from mcv.errors import McvError

Kind = Literal["vm", "node", "pool", "image", "service"]
KINDS: tuple[Kind, ...] = get_args(Kind)

# Where the document holds what can be claimed.
FIELD_OF: dict[Kind, str] = {
    "vm": "vms",
    "node": "nodes",
    "pool": "pools",
    "image": "images",
    "service": "services",
}


class Subject(msgspec.Struct, frozen=True, order=True):
    """A thing by kind and name. On disk and on the wire it is text: "vm:web1", "node:node2".

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
    def pool(cls, name: str) -> "Subject":
        return cls("pool", name)

    @classmethod
    def image(cls, name: str) -> "Subject":
        return cls("image", name)

    @classmethod
    def service(cls, name: str) -> "Subject":
        return cls("service", name)

    @classmethod
    def parse(cls, text: str) -> "Subject":
        """The subject that a text names; McvError where the text names none."""
        kind, _, name = text.partition(":")
        for known in KINDS:
            if kind == known and NAME.fullmatch(name):
                return cls(known, name)
        raise McvError(f"{text!r} names nothing that an operation claims.")

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
