"""A disk's volume on this node: steps of plans, each harmless when it is done already."""

from mcv.document.disks import Disk
from mcv.document.model import Cluster
from mcv.errors import McvError
from mcv.host import Host
from mcv.storage import backings, paths


def find(host: Host, name: str, disk: int) -> tuple[Cluster, Disk]:
    """The disk, by the proposal where there is one: a new VM's entry may not be committed here."""
    cluster = host.both()[-1]
    return cluster, cluster.vm(name).disk(disk)


def create(host: Host, name: str, disk: int) -> None:
    """Make the volume, as large as the disk and what its kind adds; it reads as zeros.

    All replicas begin as zeros, so that no initial sync is needed.
    """
    cluster, wanted = find(host, name, disk)
    where = paths.location(cluster, wanted, host.name)
    if not where:
        raise McvError(f"{host.name} is no place of disk {disk} of {name}.")
    size = backings.volume_size(host, wanted)
    backings.of(host, wanted).create(where, wanted.volume, size, wanted.format)


def remove(host: Host, name: str, disk: int) -> None:
    cluster, wanted = find(host, name, disk)
    where = paths.location(cluster, wanted, host.name)
    if where:
        backings.of(host, wanted).remove(where, wanted.volume)


def untag(host: Host, name: str, disk: int) -> None:
    """Keep the volume when its VM goes: from then on it is the administrator's."""
    cluster, wanted = find(host, name, disk)
    where = paths.location(cluster, wanted, host.name)
    if where:
        backings.of(host, wanted).release(where, wanted.volume)
