"""What high availability manages: entries of VMs, services with an address, domains and ties."""

from typing import Annotated, Literal

from msgspec import Meta, field

from mcv.document.claim import Claim
from mcv.document.generation import Value
from mcv.document.names import Name, NameOrNothing, PlainName

MOST_PARTS = 32  # units, or scripts, of one service
MOST_TIES = 256

Wanted = Literal["started", "stopped", "ignored"]
Recovery = Literal["restart", "relocate", "disable"]
TieKind = Literal["together", "apart"]
Count = Annotated[int, Meta(ge=0, le=1000)]
Priority = Annotated[int, Meta(ge=0, le=1000)]
Reason = Annotated[str, Meta(pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*\Z", max_length=1000)]

# IPv4 with the length of its network.
ServiceAddress = Annotated[str, Meta(pattern=r"^[0-9]{1,3}(\.[0-9]{1,3}){3}/[0-9]{1,2}\Z")]
Unit = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9:_.@\\-]*\.service\Z", max_length=255)]
# A whole path; no part of it is `.` or `..`.
ScriptPath = Annotated[
    str,
    Meta(pattern=r"^(?!.*/\.{1,2}(?:/|\Z))(?:/[A-Za-z0-9_+.:@-]+)+\Z", max_length=1024),
]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]


class HaEntry(Value, frozen=True, kw_only=True):
    """What is wanted of a VM or service, and what is done when it fails.

    `domain` is a failover domain, "" for none. At most `max_restarts` restarts and
    `max_relocates` relocations are counted in `window` seconds. What has the higher `priority` is
    recovered first. `failed` says why high availability gave it up, "" while it has not. `asked`
    is the generation at which an operator last said what is wanted: counters of before are void.
    """

    wanted: Wanted = "started"
    domain: NameOrNothing = ""
    recovery: Recovery = "restart"
    max_restarts: Count = 1
    max_relocates: Count = 1
    window: Annotated[int, Meta(ge=1)] = 3600
    priority: Priority = 0
    failback: bool = True
    failed: Reason = ""
    asked: Annotated[int, Meta(ge=0)] = 0


class Script(Value, frozen=True, kw_only=True):
    """An init script, as it lies on every node where its service may run."""

    path: ScriptPath
    digest: Sha256


class Service(Value, frozen=True, kw_only=True):
    """An address on a bridge, and what runs where the address is, in this order.

    Units start before scripts. With `monitor_link` a bridge without a link is a failure.
    `sleeptime` is how many seconds pass after a stop before it starts elsewhere. `node` owns it;
    `home` is the node where an operator last put it.
    """

    name: Name
    address: ServiceAddress
    bridge: PlainName
    units: Annotated[tuple[Unit, ...], Meta(max_length=MOST_PARTS)] = ()
    scripts: Annotated[tuple[Script, ...], Meta(max_length=MOST_PARTS)] = ()
    monitor_link: bool = True
    sleeptime: Annotated[int, Meta(ge=0, le=3600)] = 0
    node: Name
    home: NameOrNothing = ""
    entry: HaEntry = HaEntry()
    claim: Claim | None = None


class FailoverDomain(Value, frozen=True, kw_only=True):
    """Nodes that VMs and services prefer, each with a priority; 1 is best.

    Only an `ordered` domain looks at priorities. What is in a `restricted` domain runs on its
    nodes alone. With `failback` what runs elsewhere moves back when a better node is there again.
    """

    nodes: dict[Name, Annotated[int, Meta(ge=1, le=1000)]] = field(default_factory=dict)
    ordered: bool = False
    restricted: bool = False
    failback: bool = True


class Tie(Value, frozen=True, kw_only=True, order=True):
    """VMs and services that run on one node, or each on another; the names are sorted."""

    kind: TieKind
    names: tuple[Name, ...]
