"""How much room the pools of this node have, and what stands in the way of using them."""

from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field

from msgspec import Struct
from msgspec.structs import replace

from mcv.document.disks import Disk
from mcv.document.model import Cluster
from mcv.document.pools import Pool, PoolType
from mcv.drivers.directories import HANGS, View
from mcv.drivers.lvm import Volume
from mcv.drivers.volume_groups import Group
from mcv.errors import McvError, PeerUnreachable
from mcv.host import Host
from mcv.storage import marks
from mcv.system.fanout import ask_all
from mcv.system.looks import StillLooking

IMPLICIT = "lvm"  # the pool of a cluster that has none of volume groups: mcv.conf's group
KEPT_FREE = 2 * 1024**3  # bytes of the state's file system that no disk takes
SHORT = 0.8  # s that a report waits for a directory, or for LVM
BRIEF = 0.3  # s that a report waits for them where it knows how they were before
LONG = 8.0  # s that a creation waits for them, and takes nothing that was seen before
MARGIN = 0.4  # s that they have to be waited for at once
OLDEST = 60.0  # s after which a report tells no more what LVM told before
BUSY = 10.0  # s that a directory, or LVM, may be slow before that is its problem
FRESH = 5.0  # s for which a report looks no second time
LVM = "LVM"
LVM_TYPES = ("lvm", "thin")


class Room(Struct, frozen=True, kw_only=True):
    """A pool on one node, in bytes. `problem` says why it takes no disk now, or is "".

    `free` is what no volume has yet; `spoken_for` is what volumes were promised beyond what
    they take. `extent` is what sizes are rounded up to; `volumes` are the names in use.
    `used_percent` is how full the place is, `metadata_percent` the same of a thin pool's
    metadata. `with_state` is whether the node's state is on the same file system,
    `replicated` whether a replica lies in the thin pool.
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
    used_percent: float = 0.0
    metadata_percent: float = 0.0
    with_state: bool = False
    replicated: bool = False
    is_unread: bool = False  # nothing is known yet


@dataclass(frozen=True)
class LvmView:
    """The volume groups and logical volumes of this host; `error` where LVM does not tell."""

    groups: dict[str, Group] = field(default_factory=dict)
    volumes: list[Volume] = field(default_factory=list)
    error: McvError | None = None


class Scan:
    """One scan of LVM for several readers, each of which waits no longer than `patience`."""

    def __init__(self, host: Host, patience: float) -> None:
        self.patience = patience
        self._host = host
        self._answer: Future[LvmView] = Future()

    def carry_out(self) -> LvmView:
        """Scan, tell those who wait, and raise McvError where LVM does not tell."""
        view = lvm_view(self._host)
        self._answer.set_result(view)
        if view.error is not None:
            raise view.error
        return view

    def view(self) -> LvmView:
        try:
            return self._answer.result(self.patience)
        except TimeoutError:
            return LvmView(error=StillLooking("LVM has not answered yet."))


def rooms(host: Host) -> dict[str, Room]:
    """Every pool of this node by name. What cannot be read is the problem of its pool."""
    cluster = host.read()
    lvm, found = _look(host, _pools_here(host, cluster), in_a_report=False, needs_lvm=True)
    if IMPLICIT not in found and has_implicit(cluster):
        found[IMPLICIT] = _implicit(host, lvm)
    return found


def for_report(host: Host, scan: Scan | None = None) -> dict[str, Room]:
    """The same for a report, of the document's pools alone and without the names in use.

    A directory that hangs, or LVM, costs its own pool; LVM is asked where a pool needs it, or
    tells what the scan that is under way for the caller comes to. What a busy host has not read
    yet is left out.
    """
    pools = _pools_here(host, host.read())
    needs_lvm = any(pool.type in LVM_TYPES for pool in pools.values())
    _, found = _look(host, pools, True, needs_lvm, scan)
    return {name: replace(room, volumes=[]) for name, room in found.items() if not room.is_unread}


def lvm_view(host: Host, in_a_report: bool = False) -> LvmView:
    """What LVM tells. A scan that takes its time is no reason to tell a report nothing."""
    try:
        if in_a_report:
            groups, volumes = host.looks.at(
                LVM, host.volumes.all, SHORT, OLDEST, brief=BRIEF, fresh=FRESH, grace=BUSY
            )
        else:
            groups, volumes = host.volumes.all()
    except McvError as error:
        return LvmView(error=error)
    return LvmView(groups, volumes)


def _pools_here(host: Host, cluster: Cluster) -> dict[str, Pool]:
    return {name: pool for name, pool in cluster.all_pools.items() if host.name in pool.nodes}


def _look(
    host: Host,
    pools: dict[str, Pool],
    in_a_report: bool,
    needs_lvm: bool,
    scan: Scan | None = None,
) -> tuple[LvmView, dict[str, Room]]:
    """What LVM tells, and the room of each pool; LVM and all directories are read at once."""
    directories = [name for name, pool in pools.items() if pool.type not in LVM_TYPES]

    def look(what: str, _: str, timeout: float) -> LvmView | Room:
        if what == LVM:
            return scan.view() if scan else lvm_view(host, in_a_report)
        return _directory(host, what, pools[what], in_a_report)

    asked = [*directories, *([LVM] if needs_lvm else [])]
    patience = scan.patience if scan else SHORT if in_a_report else LONG - MARGIN
    answers = ask_all(look, asked, "", patience + MARGIN)
    told = answers.pop(LVM, None)
    lvm = told if isinstance(told, LvmView) else LvmView(error=StillLooking("LVM is slow."))
    found = {}
    for name, pool in pools.items():
        location, answer = pool.nodes[host.name], answers.get(name)
        if pool.type == "lvm":
            found[name] = of_group(location, lvm)
        elif pool.type == "thin":
            found[name] = replace(
                of_thin_pool(location, lvm), replicated=_replicated(host, location)
            )
        elif isinstance(answer, Room):
            found[name] = answer
        else:
            found[name] = _unread(location, pool.type, answer)
    return lvm, found


def _replicated(host: Host, location: str) -> bool:
    """Whether a replica lies at a location of this node, by document or proposal."""
    replicas = (disk for cluster in host.both() for _, disk in cluster.replicated())
    return any(disk.places.get(host.name) == location for disk in replicas)


def _unread(location: str, type: PoolType, error: object) -> Room:
    """The room of a directory that could not be read, or not in time."""
    if not isinstance(error, McvError) or isinstance(error, PeerUnreachable):
        error = StillLooking(f"{location} does not answer.", HANGS)
    return Room(
        location=location,
        type=type,
        problem=error.message,
        hint=error.hint,
        is_unread=isinstance(error, StillLooking),
    )


def has_implicit(cluster: Cluster) -> bool:
    """Whether a node that is in no pool of volume groups gives mcv.conf's group to `lvm`."""
    return {name for name, pool in cluster.pools.items() if pool.type == "lvm"} <= {IMPLICIT} and (
        IMPLICIT not in cluster.pools or cluster.pools[IMPLICIT].type == "lvm"
    )


def _directory(host: Host, name: str, pool: Pool, in_a_report: bool) -> Room:
    """The room of a pool of files. Raises McvError where its directory cannot be read."""
    disks = _disks_in(host.read(), name, host.name)
    room = of_directory(host, pool.type, pool.nodes[host.name], disks, in_a_report)
    if pool.type != "shared":
        return room
    patience = (SHORT, BUSY) if in_a_report else (LONG, 0.0)
    foreign = marks.why_foreign(host, name, pool, *patience)
    return replace(room, problem=foreign.message, hint=foreign.hint) if foreign else room


def of_directory(
    host: Host, type: PoolType, location: str, disks: Iterable[Disk], in_a_report: bool = False
) -> Room:
    """The room of a directory: disks count at full size, whatever they take by now.

    A report of a busy host takes what was seen some seconds ago. Raises McvError where the
    directory is not there, or does not answer.
    """

    def look() -> View:
        return host.directories.view(location)

    if in_a_report:
        view = host.looks.at(location, look, SHORT, BUSY, brief=BRIEF, fresh=FRESH, grace=BUSY)
    else:
        view = look()
    promised = sum(max(0, disk.size - view.volumes.get(disk.volume, 0)) for disk in disks)
    with_state = view.device == host.directories.device_of(host.settings.state)
    kept = KEPT_FREE if with_state else 0
    return Room(
        location=location,
        type=type,
        size=view.size,
        free=max(0, view.free - kept),
        spoken_for=promised,
        volumes=sorted(view.volumes),
        used_percent=round(100 * (1 - view.free / view.size), 1) if view.size else 100.0,
        with_state=with_state,
    )


def _lacking(location: str, type: PoolType, what: str, hint: str, lvm: LvmView) -> Room:
    """The room of a group or thin pool that LVM does not tell of."""
    if lvm.error is not None:
        what, hint = f"LVM does not tell: {lvm.error.message}", lvm.error.hint
    is_unread = isinstance(lvm.error, StillLooking)
    return Room(location=location, type=type, problem=what, hint=hint, is_unread=is_unread)


def of_group(location: str, lvm: LvmView) -> Room:
    """The room of a volume group."""
    group = lvm.groups.get(location)
    if group is None:
        return _lacking(location, "lvm", f"there is no volume group {location}.", "See: vgs", lvm)
    return Room(
        location=location,
        type="lvm",
        size=group.size,
        free=group.free,
        extent=group.extent_size,
        volumes=[volume.name for volume in lvm.volumes if volume.group == location],
        problem=group.problem,
        hint=group.hint,
        used_percent=round(100 * (1 - group.free / group.size), 1) if group.size else 100.0,
    )


def of_thin_pool(location: str, lvm: LvmView) -> Room:
    """The room of a thin pool; what its volumes were promised may be more than it holds."""
    name, _, pool_name = location.partition("/")
    group = lvm.groups.get(name)
    found = [volume for volume in lvm.volumes if volume.group == name]
    pool = next((volume for volume in found if volume.name == pool_name), None)
    if group is None or pool is None:
        return _lacking(location, "thin", f"there is no thin pool {location}.", "See: lvs", lvm)
    if not pool.is_pool:
        return _lacking(location, "thin", f"{location} is no thin pool.", "See: lvs", lvm)
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
        used_percent=pool.used_percent,
        metadata_percent=pool.metadata_percent,
    )


def _implicit(host: Host, lvm: LvmView) -> Room:
    """The volume group that mcv.conf names, or the host's only one."""
    named = host.settings.volume_group
    names = [named] if named else sorted(lvm.groups)
    if not names:
        hint = "Make one with: vgcreate vg0 /dev/DISK"
        return _lacking("", "lvm", "there is no volume group.", hint, lvm)
    if len(names) > 1:
        hint = "Name one in /etc/mcv/mcv.conf: volume_group = NAME"
        several = f"there are several volume groups ({', '.join(names)})."
        return _lacking("", "lvm", several, hint, lvm)
    if names[0] not in lvm.groups:
        missing = f"there is no volume group {named}."
        return _lacking("", "lvm", missing, "mcv.conf names it: volume_group", lvm)
    return of_group(names[0], lvm)


def _disks_in(cluster: Cluster, pool: str, node: str) -> list[Disk]:
    return [
        disk
        for _, disk in cluster.disks()
        if disk.pool == pool and (node in disk.places or disk.storage == "shared")
    ]
