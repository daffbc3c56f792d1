"""What a pool would have, or has, on this node; and the mark of a shared pool there."""

from msgspec import Struct

from mcv.document.pools import PoolType
from mcv.host import Host
from mcv.storage import rooms


class Place(Struct, frozen=True, kw_only=True):
    """A place for a pool on one node. `problems`, with their hints, are why it cannot be one.

    `uuid` is the volume group's; `mark` is the id that the directory of a shared pool bears.
    """

    problems: list[tuple[str, str]] = []
    uuid: str = ""
    mark: str = ""


def place(host: Host, name: str, type: PoolType, location: str, mark: str = "") -> Place:
    """Answer another node: whether a pool can lie there. Changes nothing."""
    groups, volumes = host.volumes.all()
    if type == "lvm":
        room = rooms.of_group(location, groups, volumes)
    elif type == "thin":
        room = rooms.of_thin_pool(location, groups, volumes)
    else:
        room = rooms.of_directory(host, type, location, [])
    group = groups.get(location.partition("/")[0])
    return Place(
        problems=[(room.problem, room.hint)] if room.problem else [],
        uuid=group.uuid if group else "",
    )


def mark(host: Host, name: str) -> None:
    """Write the id of a shared pool into its directory: a step."""


def unmark(host: Host, name: str) -> None:
    """Take the id of a shared pool out of its directory: a step."""


def prove(host: Host, name: str) -> None:
    """See the id that another node wrote: a step."""
