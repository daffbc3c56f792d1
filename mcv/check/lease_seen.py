"""What a node has of a lease, by its own word, for the check."""

from msgspec import Struct

from mcv.errors import McvError
from mcv.host import Host


class LeaseSeen(Struct, frozen=True, kw_only=True):
    """Whether mcv-lease is told to run, by which watchdog, and runs; what is left of the lease.

    `kinds` are the identities of this host's watchdogs, None where its kernel does not tell;
    `pings` is how often each resource of mcv's looks for its peer, in seconds.
    """

    is_told: bool
    runs: bool
    left: float | None
    kind: str = ""
    timeout: int = 0
    kinds: list[str] | None = None
    pings: dict[str, int] = {}


def look(host: Host) -> LeaseSeen | None:
    """This node's lease; None where the cluster is not armed and nothing is left of a lease."""
    told, runs = host.lease.told(), host.lease.is_running()
    cluster = host.read()
    if not (cluster.ha.armed or told or runs):
        return None
    kinds = [each.kind for each in host.lease.watchdogs.look()]
    return LeaseSeen(
        is_told=told is not None,
        runs=runs,
        left=host.lease.left(),
        kind=told.kind if told else "",
        timeout=round(told.watchdog) if told else 0,
        kinds=sorted(kinds) if all(kinds) else None,
        pings=_pings(host) if cluster.ha.armed and cluster.drbd.enabled else {},
    )


def _pings(host: Host) -> dict[str, int]:
    """What the kernel goes by, which may be another thing than what the file says."""
    ours = {disk.resource for _, disk in host.read().replicated() if host.name in disk.places}
    found = {}
    for resource in ours:
        try:
            found[resource] = int(host.drbd.options(resource).get("ping-int", "0"))
        except (McvError, ValueError):
            continue  # what is not up is told otherwise
    return {resource: seconds for resource, seconds in found.items() if seconds}
