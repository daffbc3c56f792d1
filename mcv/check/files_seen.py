"""The files of disks on this node: each directory of a pool is listed once, now."""

from msgspec import Struct

from mcv.document.model import Cluster
from mcv.errors import McvError
from mcv.host import Host
from mcv.storage import paths
from mcv.system.fanout import ask_all

PATIENCE = 3.0  # s that all directories have, side by side


class FileSeen(Struct, frozen=True, kw_only=True):
    """A file in a pool's directory; of a VM's disk with its format, and as large as guests see it.

    `problem` says why the file of a disk could not be read.
    """

    format: str = ""
    size: int = 0
    problem: str = ""


class DirectorySeen(Struct, frozen=True, kw_only=True):
    """A pool's directory: mcv's files by name; `problem` is why it cannot be listed."""

    files: dict[str, FileSeen] = {}
    problem: str = ""


def look(host: Host) -> dict[str, DirectorySeen]:
    """Every directory that is a pool of this node; a directory that hangs delays no other."""
    disks = _disks_here(host)
    locations = {where for cluster in host.both() for where in _directories(cluster, host.name)}

    def ask(location: str, _: str, timeout: float) -> DirectorySeen:
        return _directory(host, location, disks.get(location, set()))

    return {
        location: DirectorySeen(problem=answer.message) if isinstance(answer, McvError) else answer
        for location, answer in ask_all(ask, sorted(locations), "", PATIENCE).items()
    }


def _directories(cluster: Cluster, node: str) -> list[str]:
    return [
        pool.nodes[node]
        for pool in cluster.all_pools.values()
        if node in pool.nodes and pool.type in ("dir", "shared")
    ]


def _disks_here(host: Host) -> dict[str, set[str]]:
    """The names of the files that are disks, by directory."""
    names: dict[str, set[str]] = {}
    for cluster in host.both():
        for _, disk in cluster.disks():
            if paths.is_file(disk):
                where = paths.location(cluster, disk, host.name)
                names.setdefault(where, set()).add(disk.volume)
    return names


def _directory(host: Host, location: str, disks: set[str]) -> DirectorySeen:
    names = [name for name in host.directories.volumes(location) if is_mcvs(name) or name in disks]
    files = {name: _file(host, location, name) if name in disks else FileSeen() for name in names}
    return DirectorySeen(files=files)


def is_mcvs(name: str) -> bool:
    """Whether a file has a name that mcv gives."""
    return name.startswith("mcv-")


def _file(host: Host, location: str, name: str) -> FileSeen:
    try:
        shape = host.directories.shape(location, name)
    except McvError as error:
        return FileSeen(problem=error.message)
    return FileSeen(format=shape.format, size=shape.size)
