"""What mcv-lease of this node is to run by, as the document says it."""

from msgspec.structs import replace

from mcv.document import etcd_voters
from mcv.document.availability import HostWatchdog
from mcv.document.model import Cluster
from mcv.drbd import handler_file
from mcv.errors import Refused
from mcv.etcd.keys import ClusterKeys
from mcv.etcd.requests import delete, unchanged
from mcv.ha import timing, values
from mcv.ha.armed import Armed, Voter
from mcv.ha.timing import Timing
from mcv.ha.values import Taken
from mcv.host import Host

RELEASE = 20.0  # s in which mcv-lease has to give its lease back


def at_pace(pace: int, watchdog: HostWatchdog) -> Timing:
    """The periods of a node with this watchdog: its own timeout and grain, the rest by the pace."""
    usual = timing.at_pace(pace, watchdog.grain)
    return Timing(usual.renewal, usual.validity, float(watchdog.timeout), watchdog.grain)


def longest_wait(cluster: Cluster) -> int | None:
    """T of the node whose lease has to be watched longest; None where none has a lease."""
    nodes = cluster.nodes.values() if cluster.store is not None else ()
    waits = [at_pace(cluster.ha.pace, node.watchdog).wait for node in nodes if node.watchdog]
    return max(waits, default=None)


def orders(host: Host, cluster: Cluster, device: str) -> Armed:
    """The file for mcv-lease. Raises Refused where the document does not say enough."""
    node = cluster.node(host.name)
    watchdog = node.watchdog
    if cluster.store is None or watchdog is None:
        raise Refused(f"{host.name} has not been measured, or the document does not lie in etcd.")
    periods = at_pace(cluster.ha.pace, watchdog)
    voters = sorted(etcd_voters.voters(cluster), key=lambda voter: voter.name != host.name)
    return Armed(
        node=host.name,
        cluster=cluster.store.id,
        renewal=periods.renewal,
        validity=periods.validity,
        watchdog=periods.watchdog,
        grain=periods.grain,
        device=device,
        kind=watchdog.kind,
        proves=watchdog.hardware or cluster.ha.trust_softdog,
        on_lost=cluster.ha.on_lost_lease,
        voters=tuple(
            Voter(
                name=voter.name,
                address=voter.address,
                port=host.lease.etcd_port,
                certificate=voter.certificate,
            )
            for voter in voters
        ),
        certificate=str(host.lease.certificate),
        key=str(host.lease.key),
    )


def take_up(host: Host, cluster: Cluster) -> None:
    """Have mcv-lease run by what a document says. Raises Refused, or CommandFailed.

    The device is looked for by the watchdog's identity: its number is another after a boot. Raises
    Busy where it runs by another etcd, and does not end.
    """
    watchdog = cluster.node(host.name).watchdog
    told = host.lease.told()
    if watchdog is None:
        raise Refused(f"The watchdog of {host.name} has not been measured.", "See: mcv ha status")
    if told is not None and cluster.store is not None and told.cluster != cluster.store.id:
        give_back(host, RELEASE)  # what it holds is of an etcd that nobody looks at any more
        told = None
    if told is not None and told.kind == watchdog.kind:
        device = told.device  # mcv-lease has it open
    else:
        device = host.lease.watchdogs.ready(watchdog.kind, watchdog.device)
    if host.lease.arm(orders(host, cluster, device)):
        handler_file.write(host)


def forget_taking(host: Host, cluster: Cluster) -> None:
    """Delete the note that this node's lease was taken, which outlived the armed cluster.

    Precondition: the cluster is not armed, so that nothing hangs on it; with it mcv-lease would
    wait to be called online. Raises what a transaction raises.
    """
    key = ClusterKeys(cluster.store.id if cluster.store else "").lease(host.name)
    for found in host.keyspace.read(key).kvs:
        if is_taken(found.value):
            host.keyspace.change([unchanged(key, found.mod_revision)], [delete(key)])


def is_taken(lease: bytes) -> bool:
    """Whether what stands at the key of a lease says that it was taken."""
    try:
        return isinstance(values.decode(lease.decode()), Taken)
    except ValueError:  # mcv-lease writes over it
        return False


def give_back(host: Host, patience: float) -> None:
    """Have mcv-lease give its lease back and end, without a reset; harmless without one.

    DRBD's handler counts as armed as long as mcv-lease is told to run. Raises Busy.
    """
    try:
        host.lease.release(patience)
    finally:
        handler_file.write(host)


# Another pace


def usual_timeout(pace: int) -> int:
    """W, for which a watchdog is asked."""
    return round(timing.at_pace(pace).watchdog)


def keeps_any_pace(watchdog: HostWatchdog, pace: int) -> bool:
    """Whether what was measured at a pace holds at others: the driver took W, and resets then."""
    return watchdog.timeout == usual_timeout(pace) and watchdog.grain < watchdog.timeout


def repaced(watchdog: HostWatchdog, pace: int) -> HostWatchdog:
    """The same watchdog at another pace."""
    return replace(watchdog, timeout=usual_timeout(pace))
