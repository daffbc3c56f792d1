"""Replicas of a node whose DRBD address changes: may they be parted, and have they met again."""

import time
from collections.abc import Iterator

from mcv.drbd import roles
from mcv.errors import McvError
from mcv.host import Host

REJOIN = 60.0  # s that a replica has to find its peer at the new address
LOOK = 0.5


def apart(host: Host, node: str) -> dict[str, str]:
    """The resources here that forbid to set a node's address, and why: those not connected.

    Of the node's own resources also those at work.
    """
    cluster, found = host.read(), {}
    for _, disk in cluster.replicated():
        if host.name not in disk.places or not set(disk.places) <= set(cluster.online):
            continue
        status = host.drbd.status(disk.resource)
        if status is None or not status.connected:
            found[disk.resource] = f"is not connected on {host.name}"
        elif node in disk.places and status.is_working:
            found[disk.resource] = f"is being synced or verified ({status.replication})"
    return found


# A step of plans, on the peers of the node: the dispatcher has checked the claim.


def await_replicas(host: Host, node: str) -> None:
    """Wait until each replica here has its peer on a node again, at the node's new address.

    The daemon's loop follows the document on each side. Raises McvError after REJOIN s.
    """
    until = time.monotonic() + REJOIN
    while waiting := list(_waiting(host, node)):
        if time.monotonic() > until:
            raise McvError(
                f"{', '.join(waiting)} on {host.name} did not find {node} at its new address.",
                "It goes on trying; see: mcv drbd list",
            )
        time.sleep(LOOK)


def _waiting(host: Host, node: str) -> Iterator[str]:
    cluster = host.both()[-1]
    for _, disk in cluster.replicated():
        if not {host.name, node} <= set(disk.places):
            continue
        status = host.drbd.status(disk.resource)
        is_current = roles.has_file(host, cluster, disk) and disk.resource not in host.unadjusted
        if status is None or not status.connected or not is_current:
            yield disk.resource
