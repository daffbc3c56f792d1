"""What a node does by itself about its lease: mcv-lease follows the document."""

import logging

from mcv.cluster import lease_orders
from mcv.cluster.arming_steps import RELEASE
from mcv.document.arms import has_leases
from mcv.errors import McvError
from mcv.host import Host

log = logging.getLogger(__name__)


def follow(host: Host) -> None:
    """One round of the loop: mcv-lease runs where there are leases, by what the document says.

    It runs on a member that is offline too, which arms before it is online; in maintenance, and
    where the cluster is not armed, the lease is given back. A node that an operation has claimed,
    or brings back, may just be armed by it: there nothing is taken back.
    """
    documents = host.both()
    nodes = [document.nodes.get(host.name) for document in documents]
    members = [node for node in nodes if node is not None]
    armed = [has_leases(document) for document in documents]
    if all(armed) and len(members) == len(documents):
        if not any(node.maintenance for node in members):
            lease_orders.take_up(host, documents[-1])
            return
    elif any(armed):
        return
    if host.lease.is_kept or any(node.claim is not None for node in members):
        return
    if host.lease.told() is not None:
        log.info("%s gives its lease back", host.name)
        lease_orders.give_back(host, RELEASE)
        host.tell("lease given back", host.name)


def let_go(host: Host) -> bool:
    """Give the lease back, as the document says; whether it is given back.

    False while this node does not know the document that says so.
    """
    if any(has_leases(document) for document in host.both()):
        return False
    lease_orders.give_back(host, RELEASE)
    return True


def is_released(host: Host) -> bool:
    """Whether this node has no lease, and no watchdog of mcv's counts here."""
    try:
        return host.lease.told() is None and not host.lease.is_running()
    except McvError:
        return False
