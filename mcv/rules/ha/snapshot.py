"""What the manager sees in one round: the values that it decides by.

Times are seconds of the manager's own clock, sizes are bytes.
"""

from typing import Literal

from msgspec import field

from mcv.document.availability import EvidenceKind, Ha
from mcv.document.generation import Value
from mcv.document.ha_entries import FailoverDomain, HaEntry, Tie

Leaving = Literal["", "migrate", "failover", "freeze"]
FenceOutcome = Literal["running", "off", "on", "failed"]
Outcome = Literal["done", "failed", "stop-failed", "unknown"]
KindOfService = Literal["vm", "service"]


class LeaseSeen(Value, frozen=True, kw_only=True):
    """A node's lease: its revision, and for how long the manager has seen that unchanged.

    `wait` is T for the periods that stand in it. Where it `proves`, being unchanged for T is
    evidence that the node runs nothing.
    """

    revision: int
    boot: str = ""
    age: float = 0.0
    wait: float = 22.0
    proves: bool = False


class FenceSeen(Value, frozen=True, kw_only=True):
    """What has become of a fencing: it is `off` once its devices were asked again."""

    uid: str
    outcome: FenceOutcome
    message: str = ""


class ClaimSeen(Value, frozen=True, kw_only=True):
    """An operation that may act on the subject now; `mine`: the manager has ordered it."""

    operation: str
    node: str
    mine: bool = False
    why: str = ""


class NodeSeen(Value, frozen=True, kw_only=True):
    """A member: what the document says of it, and what was seen of it.

    `answers` are the paths by which it answered when it was asked ("mcvd", "DRBD"), None while it
    was not asked; `silence` is for how long no path has answered, which counts where there are no
    leases. `told`: what runs there is known of this round. `is_empty`: it tells that nothing of
    mcv's runs there; None where it tells nothing. `asks`: it is offline and wants to be online.

    `leaving` is what its shutdown, which goes on, does with its VMs. `shuts_down`: its drain may
    stop what does not go live. `memory` is free for guests. `can_fence`: it has a level whose
    plugs were all tested. Where two nodes may shoot each other, `turn` is how long the shot at this
    node waits, `void` why it is not made now, `shot` how long the node may take for its own, and
    `boot` is the boot that it told last; `contact`: the two have been in contact since the
    manager's node started. `renewed`: the manager's process has seen its lease renewed.

    `switched` is an operator's command that switches its power now. `kept_off`: an operator has
    switched it off, and it has not been there since.
    """

    name: str
    status: Literal["online", "offline"] = "online"
    maintenance: bool = False
    draining: bool = False
    evidence: EvidenceKind | None = None
    leaving: Leaving = ""
    shuts_down: bool = False
    lease: LeaseSeen | None = None
    answers: tuple[str, ...] | None = None
    silence: float = 0.0
    told: bool = True
    is_empty: bool | None = None
    asks: bool = False
    memory: int = 1 << 60
    can_fence: bool = False
    fence: FenceSeen | None = None
    turn: float = 0.0
    void: str = ""
    shot: float = 0.0
    boot: str = ""
    contact: bool = True
    switched: str = ""
    kept_off: bool = False
    renewed: bool = True
    claim: ClaimSeen | None = None


class Result(Value, frozen=True, kw_only=True):
    """What has become of the newest action, told by the node that carries it out.

    `failed`: it has not been done, and what was half done is taken back; a start that failed
    has left nothing running. `stop-failed`: it does not stop. `unknown`: the facts have to tell.
    """

    uid: str
    outcome: Outcome
    message: str = ""


class ServiceSeen(Value, frozen=True, kw_only=True):
    """A VM or service that high availability manages: what is wanted, and what was seen.

    `node` owns it. `runs` are the nodes that tell that it runs there. `places` are the nodes
    where it can run, each with what forbids that now ("" for nothing); None: everywhere. A
    replica that is stale, Outdated or Inconsistent forbids it. `newest` names the node that has
    the newest data, where that is known and matters. `live`: it migrates while it runs.
    `sleeptime` is how long after its end it starts elsewhere.
    """

    name: str
    node: str
    kind: KindOfService = "vm"
    entry: HaEntry = HaEntry()
    home: str = ""
    runs: tuple[str, ...] = ()
    places: dict[str, str] | None = None
    newest: str = ""
    memory: int = 0
    live: bool = True
    sleeptime: float = 0.0
    claim: ClaimSeen | None = None
    result: Result | None = None


class Snapshot(Value, frozen=True, kw_only=True):
    """One look at the whole cluster by the manager, which has this term.

    `suspicion` is D. `watched` is for how long the manager's process has read leases. `writes`:
    its own writes work, and its lease is valid. `leases`: there are leases at all; two nodes
    without a witness have none, and then silence makes suspect. `changes`: the document can be
    changed; with two nodes that takes both, until one is offline.
    """

    now: float
    term: int
    manager: str
    ha: Ha = Ha(armed=True)
    suspicion: float = 8.0
    watched: float = 0.0
    writes: bool = True
    leases: bool = True
    changes: bool = True
    nodes: dict[str, NodeSeen] = field(default_factory=dict)
    services: dict[str, ServiceSeen] = field(default_factory=dict)
    domains: dict[str, FailoverDomain] = field(default_factory=dict)
    ties: tuple[Tie, ...] = ()
