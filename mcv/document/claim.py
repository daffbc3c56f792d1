"""The claim of an operation on a subject."""

from mcv.document.generation import Value
from mcv.document.names import PlainName


class Claim(Value, frozen=True, kw_only=True):
    """The operation that may act on a VM, a network or a member now, and who carries it out.

    The number is the (epoch, generation) of the change that set it: a later claim of the
    same name has a larger one, so that a call of an earlier one is told from it.
    """

    operation: PlainName
    node: str
    epoch: int
    generation: int
    why: str
    since: str
