"""How much room the pools of this node have, and what stands in the way of using them."""

from collections.abc import Iterable

from msgspec import Struct

from mcv.document.disks import Disk
from mcv.document.model import Cluster
from mcv.document.pools import Pool, PoolType
from mcv.drivers.lvm import Volume
from mcv.drivers.volume_groups import Group
from mcv.host import Host

IMPLICIT = "lvm"  # the pool of a cluster that has none of volume groups: mcv.conf's group
KEPT_FREE = 2 * 1024**3  # bytes of the state's file system that no disk takes


class Room(Struct, frozen=True, kw_only=True):
    """A pool on one node, in bytes. `problem` says why it takes no disk now, or is "".

    `free` is what no volume has yet; `spoken_for` is what volumes were promised beyond what
    they take. `extent` is what sizes are rounded up to; `volumes` are the names in use.
    """

    location: str
    type: PoolType
    size: int = 0
    free: int = 0
    spoken_for: int = 0
    extent: int = 1
    volumes: list[str] = []
    problem: str = ""
    hint: str = ""


def rooms(host: Host) -> dict[str, Room]:
    """Every pool of this node by name; raises CommandFailed where LVM does not answer."""
    cluster = host.read()
    groups, volumes = host.volumes.all()
    found = {
        name: _room(host, name, pool, pool.nodes[host.name], groups, volumes)
        for name, pool in cluster.all_pools.items()
        if host.name in pool.nodes
    }
    if IMPLICIT not in found and has_implicit(cluster):
        found[IMPLICIT] = _implicit(host, groups, volumes)
    return found


def has_implicit(cluster: Cluster) -> bool:
    """Whether a node that is in no pool of volume groups gives mcv.conf's group to `lvm`."""
    return {name for name, pool in cluster.pools.items() if pool.type == "lvm"} <= {IMPLICIT} and (
        IMPLICIT not in cluster.pools or cluster.pools[IMPLICIT].type == "lvm"
    )


def _room(
    host: Host,
    name: str,
    pool: Pool,
    location: str,
    groups: dict[str, Group],
    volumes: list[Volume],
) -> Room:
    if pool.type == "lvm":
        return of_group(location, groups, volumes)
    if pool.type == "thin":
        return of_thin_pool(location, groups, volumes)
    return of_directory(host, pool.type, location, _disks_in(host.read(), name, host.name))


def of_directory(host: Host, type: PoolType, location: str, disks: Iterable[Disk]) -> Room:
    """The room of a directory: disks count at full size, whatever they take by now."""
    if not host.directories.is_dir(location):
        return Room(
            location=location,
            type=type,
            problem=f"there is no directory {location}.",
            hint="Is its file system mounted?",
        )
    size, free = host.directories.room(location)
    promised = sum(
        max(0, disk.size - host.directories.allocated(location, disk.volume)) for disk in disks
    )
    kept = KEPT_FREE if host.directories.is_same_file_system(location, host.settings.state) else 0
    return Room(
        location=location,
        type=type,
        size=size,
        free=max(0, free - kept),
        spoken_for=promised,
        volumes=host.directories.names(location),
    )


def of_group(location: str, groups: dict[str, Group], volumes: list[Volume]) -> Room:
    """The room of a volume group."""
    group = groups.get(location)
    if group is None:
        return Room(
            location=location,
            type="lvm",
            problem=f"there is no volume group {location}.",
            hint="See: vgs",
        )
    return Room(
        location=location,
        type="lvm",
        size=group.size,
        free=group.free,
        extent=group.extent_size,
        volumes=[volume.name for volume in volumes if volume.group == location],
        problem=group.problem,
        hint=group.hint,
    )


def of_thin_pool(location: str, groups: dict[str, Group], volumes: list[Volume]) -> Room:
    """The room of a thin pool; what its volumes were promised may be more than it holds."""
    name, _, pool_name = location.partition("/")
    group = groups.get(name)
    found = [volume for volume in volumes if volume.group == name]
    pool = next((volume for volume in found if volume.name == pool_name), None)
    if group is None or pool is None:
        return Room(
            location=location,
            type="thin",
            problem=f"there is no thin pool {location}.",
            hint="See: lvs",
        )
    inside = [volume for volume in found if volume.pool == pool_name]
    used = pool.size * pool.used_percent // 100
    return Room(
        location=location,
        type="thin",
        size=pool.size,
        free=pool.size - int(used),
        spoken_for=max(0, sum(volume.size for volume in inside) - int(used)),
        extent=group.extent_size,
        volumes=[volume.name for volume in found],
        problem=group.problem,
        hint=group.hint,
    )


def _implicit(host: Host, groups: dict[str, Group], volumes: list[Volume]) -> Room:
    """The volume group that mcv.conf names, or the host's only one."""
    named = host.settings.volume_group
    names = [named] if named else sorted(groups)
    if not names:
        return Room(
            location="",
            type="lvm",
            problem="there is no volume group.",
            hint="Make one with: vgcreate vg0 /dev/DISK",
        )
    if len(names) > 1:
        return Room(
            location="",
            type="lvm",
            problem=f"there are several volume groups ({', '.join(names)}).",
            hint="Name one in /etc/mcv/mcv.conf: volume_group = NAME",
        )
    if names[0] not in groups:
        return Room(
            location="",
            type="lvm",
            problem=f"there is no volume group {named}.",
            hint="mcv.conf names it: volume_group",
        )
    return of_group(names[0], groups, volumes)


def _disks_in(cluster: Cluster, pool: str, node: str) -> list[Disk]:
    return [
        disk
        for _, disk in cluster.disks()
        if disk.pool == pool and (node in disk.places or disk.storage == "shared")
    ]
