"""Which domains are the cluster's: the UUIDs that the documents give to VMs."""

from collections.abc import Iterable

from mcv.document.model import Cluster


def known_uuids(documents: Iterable[Cluster]) -> dict[str, str]:
    """The UUIDs of all VMs of the committed document and the proposal, by name."""
    return {name: vm.uuid for cluster in documents for name, vm in cluster.vms.items()}
