"""What an armed cluster rests on: leases in etcd; or fencing alone, on two nodes."""

from mcv.document.model import Cluster


def has_leases(cluster: Cluster) -> bool:
    """Whether guests run under leases: the cluster is armed, and the document lies in etcd."""
    return cluster.ha.armed and cluster.store is not None


def is_pair(cluster: Cluster) -> bool:
    """Whether the cluster is armed as two nodes that agree unanimously: by fence devices alone."""
    return cluster.ha.armed and cluster.store is None
