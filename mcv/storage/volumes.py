"""A disk's volume on this node: steps of plans, each harmless when it is done already."""

from typing import Any

import msgspec
from msgspec import Struct

from mcv.document.disks import Disk
from mcv.document.model import Cluster
from mcv.document.names import PlainName
from mcv.errors import McvError, Refused
from mcv.host import Host
from mcv.storage import backings, copy_target, paths
from mcv.storage.rooms import rooms


class KeptVolume(Struct, frozen=True, kw_only=True):
    """A volume of no disk: where it lies on a node, its bytes, and what has it open there."""

    location: str
    size: int
    holders: list[str]


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


def adopt(host: Host, name: str, disk: int) -> None:
    """Take a volume over that was kept: looked at once more, in use nowhere on this node."""
    cluster, wanted = find(host, name, disk)
    where = paths.location(cluster, wanted, host.name)
    backing = backings.of(host, wanted)
    present = backing.size(where, wanted.volume)
    if present < wanted.size:
        raise McvError(f"{where}/{wanted.volume} has {present} bytes, not {wanted.size}.")
    path = paths.volume_path(cluster, wanted, host.name)
    if holders := host.directories.holders(path):
        raise McvError(f"{path} is open: {', '.join(map(str, holders))}.")
    backing.adopt(where, wanted.volume)


def look(host: Host, pool: str, volume: str) -> KeptVolume:
    """What a volume of a pool here is like. Errors: McvError where there is none, or no qcow2."""
    try:
        msgspec.convert(volume, PlainName)
    except msgspec.ValidationError:
        raise Refused(f"{volume!r} is no name of a volume.") from None
    room = rooms(host).get(pool)
    if room is None or room.problem:
        raise McvError(room.problem if room else f"{host.name} has no pool {pool}.")
    backing = backings.in_pool(host, pool, room.type)
    path = paths.joined(room.type, room.location, volume)
    return KeptVolume(
        location=room.location,
        size=backing.size(room.location, volume),
        holders=[str(holder) for holder in host.directories.holders(path)],
    )


def untag(host: Host, name: str, disk: int) -> None:
    """Keep the volume when its VM goes: from then on it is the administrator's."""
    cluster, wanted = find(host, name, disk)
    where = paths.location(cluster, wanted, host.name)
    if where:
        backings.of(host, wanted).release(where, wanted.volume)


def remove_moved(host: Host, name: str, old: dict[str, Any]) -> None:
    """Delete the volume that a disk had before it moved; harmless when it is gone.

    Errors: Refused while document or proposal name the volume as a disk, and while the node that
    has the disk now is offline: until that is back these are the only bytes within reach.
    """
    disk = msgspec.convert(old, Disk)
    vm = host.read().vms.get(name)
    if vm is not None and vm.node not in host.read().online:
        raise Refused(
            f"{disk.volume} on {host.name} stays: {name} moved to {vm.node}, which is offline."
        )
    where = paths.location(host.read(), disk, host.name)
    if copy_target.is_a_disk(host, where, disk.volume):
        raise Refused(f"{disk.volume} in {where} on {host.name} is a disk of {name}.")
    if where:
        backings.of(host, disk).remove(where, disk.volume)
