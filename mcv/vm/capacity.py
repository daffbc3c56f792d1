"""What a node can give to a new VM: room, minors, ports, memory, bridges."""

import os

from msgspec import Struct

from mcv.drivers.volume_groups import Group
from mcv.host import Host
from mcv.storage import drbd


class Capacity(Struct, frozen=True, kw_only=True):
    """What a node can give to a new VM; `problem` says why it has no volume group, or is "".

    `free` is room in its volume group, in bytes; minors and ports are in use already.
    """

    volume_group: str
    problem: str
    hint: str
    free: int
    extent: int
    volumes: list[str]
    minors: list[int]
    ports: list[int]
    memory: int
    bridges: list[str]


def capacity(host: Host) -> Capacity:
    """What this node can give to a new VM. Raises CommandFailed where LVM does not answer."""
    groups, volumes = host.volumes.all()
    group, problem, hint = _volume_group(host, groups)
    return Capacity(
        volume_group=group,
        problem=problem,
        hint=hint,
        free=groups[group].free if group else 0,
        extent=groups[group].extent_size if group else 1,
        volumes=[volume.name for volume in volumes if volume.group == group],
        minors=drbd.minors(host),
        ports=_ports(),
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        bridges=host.bridges.list(),
    )


def _volume_group(host: Host, groups: dict[str, Group]) -> tuple[str, str, str]:
    wanted = host.settings.volume_group
    names = [wanted] if wanted else sorted(groups)
    if not names:
        return "", "there is no volume group.", "Make one with: vgcreate vg0 /dev/DISK"
    if len(names) > 1:
        return (
            "",
            f"there are several volume groups ({', '.join(names)}).",
            "Name one in /etc/mcv/mcv.conf: volume_group = NAME",
        )
    group = groups.get(names[0])
    if group is None:
        return "", f"there is no volume group {wanted}.", "mcv.conf names it: volume_group"
    if group.problem:
        return "", group.problem, group.hint
    return group.name, "", ""


def _ports() -> list[int]:
    """TCP ports that some socket of this host is bound to."""
    found = set()
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(path, encoding="ascii") as file:
                rows = file.read().splitlines()[1:]
        except FileNotFoundError:
            continue
        found |= {int(row.split()[1].rpartition(":")[2], 16) for row in rows}
    return sorted(found)
