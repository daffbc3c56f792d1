"""Into an armed cluster: a node is armed before it is online, be it new or back.

The lease of a node that was taken is given to it anew in the very transaction that says online:
before it nothing may begin there, and after it nobody takes the lease unseen.
"""

import contextlib
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from mcv.cluster import lease_orders, watchdog_measure
from mcv.cluster.arming_look import NodeLook
from mcv.cluster.arming_steps import LEASE, PAUSE
from mcv.document import etcd_voters
from mcv.document.arms import has_leases
from mcv.document.availability import HostWatchdog
from mcv.document.model import Cluster
from mcv.errors import Busy, Refused, refuse_all
from mcv.etcd.keys import ClusterKeys
from mcv.etcd.requests import Compare, Operation, put, unchanged
from mcv.ha.values import Held
from mcv.host import Host
from mcv.system import lease
from mcv.system.answers import decoded, plain
from mcv.system.watchdog import SOFTDOG
from mcv.transaction.plan import Item, Step, on


class Beside(NamedTuple):
    """What the change that says online hangs on, and what is written with it."""

    compares: tuple[Compare, ...] = ()
    puts: tuple[Operation, ...] = ()


def bring_online(host: Host, change: str, why: str, /, **params: Any) -> None:
    """Make the change that says that this node is online; armed before, where there are leases.

    Raises Busy while this node has no lease yet, and what a change raises.
    """
    if not has_leases(host.read()):
        host.update(change, why, **params)
        return
    beside = _armed(host)
    host.consensus.propose(
        change,
        params,
        id=host.job.next_change(),
        who=host.job.who,
        why=why,
        compares=beside.compares,
        puts=beside.puts,
    )


@contextlib.contextmanager
def awaited(host: Host) -> Iterator[None]:
    """Wait until this node may say that it is online, and keep its lease while the block lasts.

    Without effect in a cluster without leases. Raises Busy, and Refused.
    """
    host.lease.is_kept = True
    try:
        if has_leases(host.read()):
            _await_armed(host)
        yield
    finally:
        host.lease.is_kept = False


def _await_armed(host: Host) -> None:
    until = time.monotonic() + LEASE
    while True:
        try:
            _armed(host)
            return
        except Busy:
            if time.monotonic() > until:
                raise
        time.sleep(PAUSE)


def _armed(host: Host) -> Beside:
    """This node's lease is valid, or is had with the change. Raises Busy for neither."""
    cluster = host.read()
    lease_orders.take_up(host, cluster)
    key = ClusterKeys(cluster.store.id if cluster.store else "").lease(host.name)
    for found in host.keyspace.read(key).kvs:
        if lease_orders.is_taken(found.value):
            if not host.lease.nothing_can_begin():
                raise Busy(f"What runs on {host.name} is still being ended by mcv-lease.")
            new = put(key, _new_lease(host, cluster).encode().encode())
            return Beside((unchanged(key, found.mod_revision),), (new,))
    if host.lease.left():
        return Beside()
    raise Busy(
        f"{host.name} has no lease yet, and is armed before it is online.",
        "Look there: journalctl -u mcv-lease",
    )


def _new_lease(host: Host, cluster: Cluster) -> Held:
    """Valid once mcv-lease, which has the watchdog open, has renewed it."""
    watchdog = cluster.node(host.name).watchdog
    assert watchdog is not None  # lease_orders.take_up has seen it
    periods = lease_orders.at_pace(cluster.ha.pace, watchdog)
    proves = watchdog.hardware or cluster.ha.trust_softdog
    return Held.by(periods, lease.boot_id(), 0, proves)


def before(cluster: Cluster, node: str) -> list[Item]:
    """A member in maintenance gets its lease before a change of another node says online."""
    if not (has_leases(cluster) and cluster.node(node).status == "offline"):
        return []
    return [
        Step(on(node, "ha.take_up", node=node), undo=on(node, "ha.release", node=node)),
        Step(on(node, "ha.await_lease", node=node)),
    ]


# A new member


def steps(cluster: Cluster, new: str, me: str) -> list[Item]:
    """What a join into an armed cluster adds to its plan, before the new member is online."""
    if not has_leases(cluster):
        return []
    return [
        Step(on(me, "ha.arm_member", node=new), undo=on(me, "ha.disarm_member", node=new)),
    ]


def why_not(cluster: Cluster, told: NodeLook | None, node: str) -> list[Refused]:
    """What stands in the way of arming a node that is to join."""
    if told is None:
        return [Refused(f"{node} does not tell of its watchdog.", "See there: mcv info")]
    problems = [Refused(*problem) for problem in told.problems]
    is_hardware = told.watchdog != SOFTDOG and not told.virtual
    if told.watchdog and not (is_hardware or cluster.ha.trust_softdog):
        problems.append(
            Refused(
                f"{node} has no watchdog with hardware, and this cluster trusts no other.",
                "mcv ha disarm; then: mcv ha arm --trust-softdog",
            )
        )
    return problems


def arm_member(host: Host, node: str) -> None:
    """Have a new member's watchdog tried, written down, and its mcv-lease started."""
    cluster = host.read()
    if not has_leases(cluster):
        return  # it was disarmed meanwhile
    pace = cluster.ha.pace
    if cluster.node(node).watchdog is None:
        answer = host.call(node, "ha.measure", pace=pace)
        watchdog = decoded(node, "ha.measure", answer, HostWatchdog)
        voters = len(etcd_voters.voters(cluster))
        refuse_all(watchdog_measure.why_not(node, watchdog, pace, voters))
        why = f"watchdog of {node}"
        host.update_beside("ha.watchdog", why, name=node, watchdog=plain(watchdog))
    host.call(node, "ha.take_up", node=node)
    host.call(node, "ha.await_lease", node=node)


def disarm_member(host: Host, node: str) -> None:
    """Have a node that was to join give its lease back."""
    host.call(node, "ha.release", node=node)
