"""What a node does as the cluster is armed, and what it tells then: a step each."""

import time

from mcv.cluster import lease_orders
from mcv.cluster.lease_orders import RELEASE as RELEASE
from mcv.drbd import enable, inherited
from mcv.errors import Busy
from mcv.host import Host

LEASE = 60.0  # s in which mcv-lease has to have its first lease
ADJUST = 20.0  # s in which resources take new settings up
PAUSE = 0.2  # s between two looks


def take_up(host: Host, node: str) -> None:
    """Have mcv-lease run here by what the document says; harmless while it does."""
    host.consensus.poll()  # a member that is offline is told of no change
    cluster = host.read()
    if not cluster.ha.armed:
        lease_orders.forget_taking(host, cluster)
    lease_orders.take_up(host, cluster)


def release(host: Host, node: str) -> None:
    """Have mcv-lease give its lease back and end, without a reset; harmless without one."""
    lease_orders.give_back(host, RELEASE)


def await_lease(host: Host, node: str) -> None:
    """Wait until this node has a valid lease. Raises Busy; at once where it was given back."""
    until = time.monotonic() + LEASE
    while not host.lease.left():
        if host.lease.told() is None:
            raise Busy(f"The lease of {host.name} was given back meanwhile.", "See: mcv ha status")
        if time.monotonic() > until:
            raise Busy(
                f"{host.name} has no lease within {LEASE:.0f} s.",
                "Look there: journalctl -u mcv-lease; and: mcv cluster store",
            )
        time.sleep(PAUSE)


def mark(host: Host, node: str) -> None:
    """Mark the replicas that are behind those of this node's VMs. Raises Refused."""
    if host.read().drbd.enabled:
        for disk in inherited.mark(host):
            host.tell("replica marked stale", disk)


def await_adjusted(host: Host, node: str) -> None:
    """Have DRBD here take up the settings of an armed cluster, or of an unarmed one.

    Raises Busy where a resource has not after some seconds: a loop of mcvd goes on with it.
    """
    if not host.read().drbd.enabled:
        return
    until = time.monotonic() + ADJUST
    enable.adjust(host)
    while host.adjusted != host.consensus.committed()[1]:
        if time.monotonic() > until:
            raise Busy(
                f"Some resources on {host.name} have not taken up their settings yet.",
                "They do by themselves; what hinders one: mcv cluster check",
            )
        time.sleep(PAUSE)
        enable.adjust(host)
