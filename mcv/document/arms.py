"""What an armed cluster rests on: leases in etcd; or fencing alone, on two nodes."""

from mcv.document.model import Cluster


def has_leases(cluster: Cluster) -> bool:
    """Whether guests run under leases: the cluster is armed, and the document lies in etcd."""
    return cluster.ha.armed and cluster.store is not None


def is_pair(cluster: Cluster) -> bool:
    """Whether the cluster is armed as two nodes that agree unanimously: by fence devices alone."""
    return cluster.ha.armed and cluster.store is None


def waits_for_shot(cluster: Cluster, vm: str) -> bool:
    """Whether a guest that has lost the other of two armed nodes waits until that is offline.

    On two nodes without leases what is managed does: the other one may be about to run it.
    """
    entry = cluster.ha_vms.get(vm)
    return is_pair(cluster) and entry is not None and entry.wanted != "ignored"
