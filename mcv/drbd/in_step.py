"""How far the replicas of a VM are from being in step, for whoever waits for that elsewhere."""

from msgspec import Struct

from mcv.drbd import resync
from mcv.host import Host


class Syncing(Struct, frozen=True, kw_only=True):
    """How many bytes the replicas of a VM lack of each other; whether a connection is away."""

    left: int
    is_apart: bool
    is_in_step: bool


def syncing(host: Host, name: str) -> Syncing:
    """Tell, on a node that has a replica, how far the replicas of a VM are."""
    vm = host.read().vm(name)
    statuses = [host.drbd.status(disk.resource) for disk in vm.replicated]
    known = [status for status in statuses if status is not None]
    is_apart = len(known) < len(statuses) or not all(status.connected for status in known)
    return Syncing(
        left=sum(status.out_of_sync for status in known),
        is_apart=is_apart,
        is_in_step=not is_apart and all(resync.is_alike(status) for status in known),
    )
