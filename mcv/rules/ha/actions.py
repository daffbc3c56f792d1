"""What a decision asks for, and the reasons that it gives.

An action with a `uid` is an ordinary operation that is carried out once at most: it is asked for
again in every round until its result is seen. All others are asked for as long as they are due,
and do nothing where they are done already.
"""

from typing import NamedTuple

from mcv.document.availability import EvidenceKind
from mcv.document.generation import Value


class Action(Value, frozen=True, kw_only=True, tag_field="do", tag=str.lower):
    """Something that is done next."""


class Ask(Action, frozen=True, kw_only=True):
    """Ask a suspect node by every path whether it is there."""

    node: str


class Fence(Action, frozen=True, kw_only=True):
    """Switch a node off: its levels in their order, and ask its devices again."""

    uid: str
    node: str


class Declare(Action, frozen=True, kw_only=True):
    """Call a node offline by this evidence, if its lease is still at this revision; 0: none."""

    node: str
    evidence: EvidenceKind
    lease: int


class Distrust(Action, frozen=True, kw_only=True):
    """The plug that said off is another node's: count it as not tested."""

    node: str
    uid: str


class SwitchOn(Action, frozen=True, kw_only=True):
    """Switch a node on again that was fenced, once what it ran has been recovered."""

    uid: str
    node: str


class Admit(Action, frozen=True, kw_only=True):
    """Let a node be online again, which tells that it runs nothing, with a new lease."""

    node: str


class Maintain(Action, frozen=True, kw_only=True):
    """Call a drained node offline for maintenance."""

    node: str


class GoOn(Action, frozen=True, kw_only=True):
    """Let guests of this node whose writes wait for that node go on without it."""

    node: str


class Resume(Action, frozen=True, kw_only=True):
    """Bring the operation of a dead node to its end, as `mcv repair` does."""

    service: str
    operation: str
    node: str  # that carried it out, and is dead


class TakeOver(Action, frozen=True, kw_only=True):
    """Give services of a node that is offline to others, all in one change."""

    node: str
    takers: dict[str, str]


class Start(Action, frozen=True, kw_only=True):
    """Start a service on its owner."""

    uid: str
    service: str
    node: str


class Stop(Action, frozen=True, kw_only=True):
    """Shut a service down, or stop it hard, and see that it has ended."""

    uid: str
    service: str
    node: str
    force: bool = False


class Migrate(Action, frozen=True, kw_only=True):
    """Move a running service live."""

    uid: str
    service: str
    node: str
    target: str


class Relocate(Action, frozen=True, kw_only=True):
    """Stop a service where it may run, see that it has ended, and make the target its owner."""

    uid: str
    service: str
    node: str
    target: str


class GiveUp(Action, frozen=True, kw_only=True):
    """Write down that a service has failed; an operator alone takes that back."""

    service: str
    why: str


class Tell(Action, frozen=True, kw_only=True):
    """Tell whoever is named that high availability acted. Asked for once."""

    subject: str
    text: str


ServiceAction = Start | Stop | Migrate | Relocate
AnyAction = (
    Ask
    | Fence
    | Declare
    | Distrust
    | SwitchOn
    | Admit
    | Maintain
    | GoOn
    | Resume
    | TakeOver
    | Start
    | Stop
    | Migrate
    | Relocate
    | GiveUp
    | Tell
)


class Reason(NamedTuple):
    """Why something is as it is, in a sentence; `attention`: it waits for an operator.

    `way` is what an operator may do then, "" where that is to be waited for, or in the text.
    """

    text: str
    attention: bool = False
    way: str = ""

    @property
    def whole(self) -> str:
        return f"{self.text}. {self.way}" if self.way else self.text


class Reasons(NamedTuple):
    """A reason for every service and every node."""

    services: dict[str, Reason]
    nodes: dict[str, Reason]
