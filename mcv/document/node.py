"""A member of the cluster, as the document knows it."""

from typing import Annotated, Literal

from msgspec import Meta

from mcv.document.availability import Evidence, HostWatchdog
from mcv.document.claim import Claim
from mcv.document.fencing import Levels, Mac
from mcv.document.generation import Value
from mcv.document.names import Address, Name, PlainName

MOST_MACS = 64

Status = Literal["online", "offline"]


class Node(Value, frozen=True, kw_only=True):
    """A member: where it answers, and the certificate that it is.

    While it is `draining` its VMs leave it and no others come, until it is restored; when all have
    left, it is offline for `maintenance`. `etcd_certificate` is of the same key, for its address;
    `evidence` is why it counts as dead. `levels` are the ways to switch it off, in the order of
    trial; all plugs of a level must be off. `macs` are the cards that a magic packet wakes.
    """

    name: Name
    hostname: PlainName
    ip_address: Address
    drbd_address: Address
    certificate: str
    status: Status = "online"
    maintenance: bool = False
    claim: Claim | None = None
    draining: bool = False
    etcd_certificate: str = ""
    watchdog: HostWatchdog | None = None
    evidence: Evidence | None = None
    levels: Levels = ()
    macs: Annotated[tuple[Mac, ...], Meta(max_length=MOST_MACS)] = ()
