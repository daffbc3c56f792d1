"""A disk's logical volume on this node: steps of plans, each harmless when it is done already."""

from mcv.document.model import Disk
from mcv.drivers.lvm import drbd_size
from mcv.errors import McvError
from mcv.host import Host


def find(host: Host, name: str, disk: int) -> Disk:
    """The disk, by the proposal where there is one: a new VM's entry may not be committed here."""
    return host.both()[-1].vm(name).disk(disk)


def create(host: Host, name: str, disk: int) -> None:
    """Make the volume, as large as the guest's bytes and DRBD's metadata, and zero it.

    Both replicas begin as zeros, so that no initial sync is needed.
    """
    wanted = find(host, name, disk)
    group = wanted.volume_groups[host.name]
    groups = host.volumes.groups()
    if group not in groups:
        raise McvError(f"There is no volume group {group} on {host.name}.")
    size = drbd_size(wanted.size, groups[group].extent_size)
    host.volumes.create(group, wanted.volume, size)
    host.volumes.zero(wanted.backing(host.name))


def remove(host: Host, name: str, disk: int) -> None:
    wanted = find(host, name, disk)
    host.volumes.remove(wanted.volume_groups[host.name], wanted.volume)


def untag(host: Host, name: str, disk: int) -> None:
    """Keep the volume when its VM goes: from then on it is the administrator's."""
    wanted = find(host, name, disk)
    host.volumes.untag(wanted.volume_groups[host.name], wanted.volume)
