"""What the manager keeps from round to round, at ha/status in etcd, for the next manager too.

Its times are of a clock of its own: it goes on with the clock of whoever is the manager, and
stands still between two managers. Unknown fields, of a newer member, are passed over.
"""

from typing import Literal

import msgspec
from msgspec import field

from mcv.rules.ha.actions import ServiceAction

NodeState = Literal[
    "online", "suspect", "fencing", "fence-failed", "offline", "draining", "maintenance"
]
ServiceState = Literal[
    "started",
    "stopped",
    "starting",
    "stopping",
    "migrating",
    "recovery",
    "blocked",
    "failed",
    "error",
    "frozen",
]


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A value of the status."""


class NodeStatus(Kept, frozen=True, kw_only=True):
    """A node's state, and since when it has it.

    `uid` is of its newest fencing, which began at the `lease` revision of the `boot`; after
    `tries` failures it is tried again at `again`. `doubt` is the fencing that said off although
    the lease had moved meanwhile, to `lease`; "": none. `left` is how it was shut down. Of a node
    that is offline `uid` is of the switching on that is due. `last_boot` is the one in which it was
    there last.
    """

    state: NodeState = "online"
    since: float = 0.0
    uid: str = ""
    lease: int = 0
    boot: str = ""
    tries: int = 0
    again: float = 0.0
    doubt: str = ""
    left: Literal["", "freeze"] = ""
    last_boot: str = ""


class ServiceStatus(Kept, frozen=True, kw_only=True):
    """A service's state on its node, what is being done, and what was done in its window.

    `restarts` and `relocates` are when each was, `returns` when a move to a better place failed,
    `tried` the nodes where it would not run, and when. `asked` is the operator's word after which
    all that counts. `drained_from` is the node that a drain moved it away from. What failed and is
    due in every round is tried at `again`. `failed` is why it was given up, `trouble` what was said
    of its newest action where that failed.
    """

    state: ServiceState = "stopped"
    node: str = ""
    since: float = 0.0
    asked: int = 0
    pending: ServiceAction | None = None
    restarts: tuple[float, ...] = ()
    relocates: tuple[float, ...] = ()
    returns: tuple[float, ...] = ()
    tried: dict[str, float] = field(default_factory=dict)
    drained_from: str = ""
    again: float = 0.0
    failed: str = ""
    trouble: str = ""


class Status(Kept, frozen=True, kw_only=True):
    """All that is kept. `now` is the last round by the clock of the manager of `term`."""

    term: int = 0
    now: float = 0.0
    clock: float = 0.0
    count: int = 0  # of uids given
    nodes: dict[str, NodeStatus] = field(default_factory=dict)
    services: dict[str, ServiceStatus] = field(default_factory=dict)


def encode(status: Status) -> str:
    return msgspec.json.encode(status).decode()


def decode(text: str) -> Status:
    """What stands at ha/status; ValueError for anything else."""
    try:
        return msgspec.json.decode(text, type=Status)
    except msgspec.MsgspecError as error:
        raise ValueError(f"no status: {text[:80]!r}") from error
