"""Faults at random: what befalls which host, when and for how long, by a seed alone.

Each turn is drawn by the seed and its own number: a run that failed can be repeated from its
beginning, or from the turn that failed.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """A fault, in the words that are shown."""

    KILL = "is killed"
    CUT = "is cut off"
    DEAF = "hears nothing of the others"
    UNHEARD = "is not heard by the others"
    REPLICATION = "has no replication"
    FREEZE = "is frozen"
    STOP_MCVD = "mcvd is stopped"
    STOP_LEASE = "mcv-lease is stopped"
    STOP_ETCD = "etcd is stopped"
    KILL_MCVD = "mcvd is killed"
    KILL_LEASE = "mcv-lease is killed"
    KILL_ETCD = "etcd is killed"
    DEVICE = "the fence device hangs"


# Those that are over as soon as they have happened: systemd starts the daemon again.
AT_ONCE = (Kind.KILL_MCVD, Kind.KILL_LEASE, Kind.KILL_ETCD)
OF_NO_NODE = (Kind.DEVICE,)
# Of the hosts the owner's death and cut are what it is all about: drawn more often.
OFTEN = {Kind.KILL: 4, Kind.CUT: 4}
MANY = (1, 1, 1, 1, 2, 2, 2, 3)  # faults of one turn
LATEST = 20.0  # s from the beginning of a turn to its last fault
SHORTEST, LONGEST = 3.0, 60.0  # s that a fault lasts


@dataclass(frozen=True)
class Fault:
    """One fault: it begins so many seconds after its turn, and lasts so long; 0: at once over."""

    kind: Kind
    node: str
    after: float
    lasts: float

    @property
    def words(self) -> str:
        long = f" for {self.lasts:.0f} s" if self.lasts else ""
        is_daemon = self.kind.value.startswith(("mcv", "etcd"))
        what = f"{self.kind} on {self.node}" if is_daemon else f"{self.node} {self.kind}".strip()
        return f"{what}{long}"


@dataclass(frozen=True)
class Turn:
    """Faults that may overlap, in the order of their beginnings; then all is mended."""

    number: int
    faults: tuple[Fault, ...]


def turns(seed: int, nodes: Sequence[str], first: int = 1) -> Iterator[Turn]:
    """Turns without an end, from the first one on; the same for the same seed and nodes."""
    number = first
    while True:
        yield Turn(number, _drawn(random.Random(f"{seed} {number}"), nodes))
        number += 1


def _drawn(chance: random.Random, nodes: Sequence[str]) -> tuple[Fault, ...]:
    """A node has one fault in a turn at most.

    A frozen host is never left to a device that hangs: that is softdog alone, whose clock stands
    still with the host, so its guest goes on for a moment when it wakes.
    """
    left, kinds = list(nodes), list(Kind)
    weights = {kind: OFTEN.get(kind, 1) for kind in kinds}
    faults: list[Fault] = []
    for _ in range(min(chance.choice(MANY), len(nodes))):
        [kind] = chance.choices(kinds, [weights[each] for each in kinds])
        node = "" if kind in OF_NO_NODE else chance.choice(left)
        if node:
            left.remove(node)
        faults.append(Fault(kind, node, _seconds(chance, 0, LATEST), _lasts(chance, kind)))
        for other in _excluded(kind):
            weights[other] = 0
    return tuple(sorted(faults, key=lambda fault: fault.after))


def _excluded(kind: Kind) -> tuple[Kind, ...]:
    match kind:
        case Kind.FREEZE:
            return (Kind.DEVICE,)
        case Kind.DEVICE:
            return (Kind.FREEZE, Kind.DEVICE)
        case _:
            return ()


def _lasts(chance: random.Random, kind: Kind) -> float:
    return 0.0 if kind in AT_ONCE else _seconds(chance, SHORTEST, LONGEST)


def _seconds(chance: random.Random, least: float, most: float) -> float:
    return round(chance.uniform(least, most), 1)


@dataclass(frozen=True)
class Moment:
    """A fault begins or ends, so many seconds after its turn began."""

    at: float
    fault: Fault
    is_end: bool


def moments(turn: Turn) -> list[Moment]:
    """All beginnings and ends of a turn, in their order."""
    found = [Moment(fault.after, fault, is_end=False) for fault in turn.faults]
    found += [
        Moment(round(fault.after + fault.lasts, 1), fault, is_end=True)
        for fault in turn.faults
        if fault.lasts
    ]
    return sorted(found, key=lambda moment: (moment.at, moment.is_end))
