"""What a pool would find on this node; and the steps that mark a shared pool's directory."""

from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from mcv.document.pools import PoolType
from mcv.errors import McvError, Refused
from mcv.host import Host
from mcv.storage import fullness, marks, rooms
from mcv.storage.rooms import Room

LEAST = 4 * 1024**2  # bytes that a pool has free when it is made: room for the least disk
OF_THE_HOST = ("/boot", "/dev", "/etc", "/proc", "/run", "/sys")

Problems = Iterator[tuple[str, str]]  # messages with their hints


class Place(Struct, frozen=True, kw_only=True):
    """A place for a pool on one node. `problems`, with their hints, are why it cannot be one.

    `uuid` is the volume group's; `mark` is the id that the directory of a shared pool bears.
    """

    problems: list[tuple[str, str]] = []
    uuid: str = ""
    mark: str = ""


def place(host: Host, pool: str, type: PoolType, location: str, mark: str = "") -> Place:
    """Answer another node: whether a pool can lie there; with `mark`, whether that pool does.

    Precondition: the location has the form of its type. `pool` is a name that an operator
    typed, and may be none. Leaves nothing.
    """
    taken = list(_taken(host, pool, location))
    if type in rooms.LVM_TYPES:
        return _of_lvm(host, type, location, taken)
    return _of_directory(host, pool, type, location, mark, taken)


def _taken(host: Host, name: str, location: str) -> Problems:
    """Another pool that has the same location here."""
    for other, pool in host.read().all_pools.items():
        if other != name and pool.nodes.get(host.name) == location:
            yield f"{location} is the pool {other} already.", "See: mcv pool list"


def _of_lvm(host: Host, type: PoolType, location: str, taken: list[tuple[str, str]]) -> Place:
    lvm = rooms.lvm_view(host)
    group = lvm.groups.get(location.partition("/")[0])
    is_group = type == "lvm"
    room = rooms.of_group(location, lvm) if is_group else rooms.of_thin_pool(location, lvm)
    return Place(problems=[*taken, *_of_room(room)], uuid=group.uuid if group else "")


def _of_room(room: Room) -> Problems:
    """What speaks against a place by its room."""
    if room.problem:
        yield room.problem, room.hint
    elif full := fullness.why_full(room):
        yield f"{room.location} is full: {full}.", fullness.HINTS[room.type]
    elif room.free < LEAST:
        yield f"{room.location} has no room.", fullness.HINTS[room.type]


def _of_directory(
    host: Host, name: str, type: PoolType, location: str, mark: str, taken: list[tuple[str, str]]
) -> Place:
    try:
        room = rooms.of_directory(host, type, location, [])
        seen = host.directories.mark(location)
        problems = [*taken, *_of_room(room), *_of_path(host, name, location)]
        problems += _of_mark(location, seen, mark)
    except McvError as error:
        return Place(problems=[*taken, (error.message, error.hint)])
    return Place(problems=problems, mark=seen)


def _of_mark(location: str, seen: str, mark: str) -> Problems:
    """A directory that bears the id of another pool, or not the id of its own."""
    if mark and seen != mark:
        said = f"it bears the id {seen}." if seen else "it does not bear the pool's id."
        hint = "Is the same file system mounted on every node? See: mount"
        yield f"{location} is not the directory of the pool: {said}", hint
    elif seen and not mark:
        hint = f"If no cluster uses that pool any more: rm {location}/.mcv-pool"
        yield f"{location} bears the id of a shared pool ({seen}).", hint


def _of_path(host: Host, name: str, location: str) -> Problems:
    """Where the directory really is, and whether QEMU gets there and can work there."""
    real = host.directories.real(location)
    where = location if real == location else f"{location} ({real})"
    var, run = host.settings.var, host.settings.run
    own = [str(var), str(host.settings.state), str(run)]
    for other, there in _others(host, name).items():
        if there != location and _nested(real, host.directories.real(there)):
            yield f"{where} and the pool {other} ({there}) lie in each other.", ""
    if real == "/" or any(_nested(real, path) for path in own):
        yield (
            f"{where} holds what mcv itself needs, or all of the host.",
            "Make a directory of its own.",
        )
    elif any(_is_in(real, path) for path in OF_THE_HOST):
        yield f"{where} is no place for disks: it is the host's.", "Make a directory of its own."
    elif why := host.directories.why_no_disks(location):
        yield why, "Take another file system."
    for path in host.directories.closed(location):
        yield f"QEMU's user cannot pass through {path}.", f"chmod o+x {path}"


def _others(host: Host, name: str) -> dict[str, str]:
    """Where the other pools of files that can be read now are on this node."""
    found = {}
    for other, pool in host.read().all_pools.items():
        there = pool.nodes.get(host.name)
        if other == name or pool.type in rooms.LVM_TYPES or there is None:
            continue
        try:
            host.directories.real(there)
        except McvError:
            continue
        found[other] = there
    return found


def _is_in(path: str, directory: str) -> bool:
    return Path(path).is_relative_to(directory)


def _nested(one: str, other: str) -> bool:
    return _is_in(one, other) or _is_in(other, one)


# Steps


def mark(host: Host, name: str) -> None:
    """Write the id of a shared pool into its directory; harmless where it is there.

    Errors: Refused where the directory bears another id.
    """
    pool = host.both()[-1].pool(name)
    location = pool.nodes[host.name]
    seen = host.directories.mark(location)
    if seen and seen != pool.id:
        raise Refused(f"{location} on {host.name} bears the id of another pool ({seen}).")
    if not seen:
        host.directories.write_mark(location, pool.id)


def unmark(host: Host, name: str) -> None:
    """Take the id of a shared pool out of its directory; another id stays."""
    pool = host.both()[-1].pool(name)
    location = pool.nodes[host.name]
    if host.directories.mark(location) == pool.id:
        host.directories.remove_mark(location)


def prove(host: Host, name: str) -> None:
    """See the id that another node wrote. Errors: Refused where this node does not see it."""
    marks.require(host, name)
