"""High availability in the document: where it lies itself, what arms a cluster, and evidence."""

from typing import Annotated, Literal

from msgspec import Meta

from mcv.document.generation import Value
from mcv.document.names import Address, Name, PlainName

MOST_VOTERS = 7
MOST_PACE = 10

EvidenceKind = Literal["off", "lease", "word"]


class EtcdStore(Value, frozen=True, kw_only=True):
    """The document lies in etcd, below `/mcv/<id>/`; `voters` are the members that run it.

    The witness, where there is one, is a voter besides.
    """

    id: PlainName
    voters: tuple[Name, ...]


class Witness(Value, frozen=True, kw_only=True):
    """A machine that runs etcd and nothing else of mcv's.

    `bundle` is the digest of the certificates that it was brought last.
    """

    name: Name
    ip_address: Address
    certificate: str
    bundle: str = ""


class Ha(Value, frozen=True, kw_only=True):
    """Whether nodes hold leases, and what is done about guests and hosts that fail.

    `pace` multiplies every time of a lease. `start_grace` is in seconds.
    """

    armed: bool = False
    pace: Annotated[int, Meta(ge=1, le=MOST_PACE)] = 1
    trust_softdog: bool = False
    on_lost_lease: Literal["stop", "reset"] = "stop"
    on_stop_failure: Literal["attention", "fence"] = "attention"
    on_fence_failure: Literal["wait", "continue"] = "wait"
    after_fence: Literal["on", "off"] = "on"
    on_shutdown: Literal["migrate", "failover", "freeze", "conditional"] = "conditional"
    fence_trust: Literal["at-once", "after-lease"] = "at-once"
    start_grace: Annotated[int, Meta(ge=0)] = 120
    notify: tuple[str, ...] = ()


class HostWatchdog(Value, frozen=True, kw_only=True):
    """The watchdog of a node as arming it has found and measured it.

    `kind` is the driver's identity, `timeout` in seconds, `grain` how many seconds later than
    that it may reset. A softdog, or one of a virtual host, is no `hardware`.
    """

    kind: str
    device: str
    timeout: Annotated[int, Meta(ge=1)]
    grain: Annotated[float, Meta(ge=0)]
    hardware: bool


class Evidence(Value, frozen=True, kw_only=True):
    """Why a member counts as dead: verified off, its lease over, or an operator's word.

    `by` is the member that says so, `lease` the revision at which the member's lease was seen.
    """

    kind: EvidenceKind
    by: Name
    when: str
    lease: int = 0
    detail: str = ""
