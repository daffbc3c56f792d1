"""What stands at the keys of a lease: the periods that its owner runs by, or who has taken it."""

import json
import math
from dataclasses import asdict, dataclass
from enum import StrEnum, auto

from mcv.ha.timing import Timing

HEAD = "head"
LEASES = "lease/"
STALE = "stale/"
MANAGER = "lease/manager"  # who decides, and its term
HA = "ha/"
STATUS = "ha/status"  # what the manager keeps from round to round
BEAT = "ha/beat"  # written in every round: it shows that the manager decides


def lease_key(node: str) -> str:
    return LEASES + node


def stale_key(resource: str) -> str:
    return STALE + resource


class OnLost(StrEnum):
    """What a host does that has lost its lease."""

    STOP = auto()
    RESET = auto()


@dataclass(frozen=True)
class Held:
    """A lease that its node holds: written anew with another sequence, again and again."""

    boot: str
    sequence: int
    validity: float
    watchdog: float
    grain: float
    proves: bool  # whether the watchdog is one whose reset is evidence

    @classmethod
    def by(cls, timing: Timing, boot: str, sequence: int, proves: bool) -> "Held":
        return cls(boot, sequence, timing.validity, timing.watchdog, timing.grain, proves)

    def encode(self) -> str:
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class Taken:
    """A lease that was taken from its node, which runs no guests by this evidence."""

    by: str
    evidence: str

    def encode(self) -> str:
        return json.dumps({"taken": asdict(self)})


@dataclass(frozen=True)
class Mark:
    """That a node's replica of a resource is behind: since when, and by whose word."""

    node: str
    by: str
    since: str = ""  # wall clock, for people
    why: str = ""

    def encode(self) -> str:
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class Holder:
    """Who decides, in a term of its own. `token` is of the process, whose next life is another."""

    node: str
    token: str
    term: int

    def encode(self) -> str:
        return json.dumps(asdict(self))


def decode_holder(text: str) -> Holder:
    """What stands at lease/manager; ValueError for anything else."""
    try:
        holder = Holder(**json.loads(text))
    except TypeError as error:
        raise ValueError(f"no manager: {text[:80]!r}") from error
    if not (isinstance(holder.node, str) and isinstance(holder.term, int)):
        raise ValueError(f"no manager: {text[:80]!r}")
    return holder


def decode_mark(text: str) -> Mark:
    """What a mark's key holds; ValueError for anything else."""
    try:
        mark = Mark(**json.loads(text))
    except TypeError as error:
        raise ValueError(f"no mark: {text[:80]!r}") from error
    if not all(isinstance(value, str) for value in asdict(mark).values()):
        raise ValueError(f"no mark: {text[:80]!r}")
    return mark


def decode(text: str) -> Held | Taken:
    """What a lease's key holds; ValueError for anything else."""
    try:
        found = json.loads(text)
        if "taken" in found:
            return Taken(**found["taken"])
        held = Held(**found)
    except (TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"no lease: {text[:80]!r}") from error
    periods = (held.validity, held.watchdog, held.grain)
    are_periods = all(isinstance(each, float | int) and 0 <= each < math.inf for each in periods)
    is_counted = isinstance(held.boot, str) and isinstance(held.sequence, int)
    if not (are_periods and is_counted):
        raise ValueError(f"no periods of a lease: {text[:80]!r}")
    return held
