"""Split brains: told by both sides' generations, which are read only where one stands alone."""

import contextlib
from collections.abc import Mapping
from typing import Any

import msgspec

from mcv.document.model import Disk, Vm, plain
from mcv.drivers.drbd_states import DiskState
from mcv.drivers.drbd_status import Generations, Status, have_split
from mcv.errors import McvError, Refused, ways_out
from mcv.host import Host
from mcv.system.fanout import ANSWER, ask_all
from mcv.system.observations import READ

AT_ONCE = 32  # replicas whose generations one report reads: each takes a command
PATIENCE = 15.0  # seconds that a node which lives has to say it

Side = dict[str, Any]  # a Status as plain values; with its generations, where they were read


def told(host: Host, statuses: dict[str, Status]) -> dict[str, Side]:
    """For a report: the resources as plain values; those that stand alone say which data they
    hold, as far as that is read in no time."""
    alone = sorted(name for name, one in statuses.items() if one.is_standalone)
    read = set(alone[:AT_ONCE])
    return {name: _side(host, one, name in read) for name, one in statuses.items()}


def sides(host: Host, resources: list[str]) -> dict[str, Side]:
    """Answer another node: how resources are here, and which data they hold."""
    found = {name: host.drbd.status(name) for name in resources}
    return {name: _side(host, one, True) for name, one in found.items() if one is not None}


def _side(host: Host, status: Status, with_generations: bool) -> Side:
    side = msgspec.to_builtins(status)
    assert isinstance(side, dict)
    if with_generations and status.minor is not None:
        # Of one whose data cannot be told nothing is said.
        with contextlib.suppress(McvError):
            side["generations"] = plain(host.drbd.generation_uuids(status.resource))
    return side


def complete(host: Host, seen: dict[str, dict[str, Side]]) -> None:
    """Have a node whose replica looks for one that stands alone say which data it holds.

    The side that sees a split brain first parts, and the other may never learn of it.
    """
    alone = {
        name
        for resources in seen.values()
        for name, side in resources.items()
        if side["connection"] == "StandAlone"
    }
    lacking = [node for node, resources in seen.items() if _lacks(resources, alone)]
    for node, answer in _ask(host, lacking, sorted(alone), READ).items():
        seen[node].update(answer)


def _lacks(resources: dict[str, Side], alone: set[str]) -> bool:
    return any(
        side["replication"] == "Off" and "generations" not in side
        for name, side in resources.items()
        if name in alone
    )


def _ask(
    host: Host, nodes: list[str], resources: list[str], timeout: float
) -> dict[str, dict[str, Side]]:
    """How each of these nodes sees resources; without those that do not say it in time."""
    answers = ask_all(host.call, nodes, "drbd.sides", timeout, resources=resources)
    return {node: one for node, one in answers.items() if not isinstance(one, McvError)}


def generations(side: Side | None) -> Generations | None:
    said = side.get("generations") if side else None
    return msgspec.convert(said, Generations) if said else None


def of(both: Mapping[str, Side | None]) -> list[str]:
    """The two nodes of a split brain; none where there is none, or it cannot be told."""
    known = [
        (node, found)
        for node, side in sorted(both.items())
        if side and side["replication"] == "Off" and (found := generations(side))
    ]
    if len(known) != 2 or all(one["connection"] != "StandAlone" for one in both.values() if one):
        return []
    (one, mine), (other, theirs) = known
    return [one, other] if have_split(mine, theirs) else []


def look(host: Host, vm: Vm, disk: Disk) -> dict[str, Side | None]:
    """One disk as each of its nodes sees it now, with its generations; None for who is silent.

    A decision hangs on it: who gives a sign of life has time to look.
    """
    others = [node for node in disk.volume_groups if node != host.name]
    signs = ask_all(host.call, others, "config.look", ANSWER)
    living = [node for node, sign in signs.items() if not isinstance(sign, McvError)]
    seen = _ask(host, living, [disk.resource], PATIENCE)
    seen[host.name] = sides(host, [disk.resource])
    return {node: seen.get(node, {}).get(disk.resource) for node in sorted(disk.volume_groups)}


def why_not(host: Host, vm: Vm, disk: Disk) -> Refused | None:
    """What a connection that is lost forbids: nothing, unless it was parted with on purpose or
    in a split brain.

    A peer that is offline in the document forbids nothing: what it wrote stays on its disk, and
    is told of when it is back.
    """
    status = host.drbd.status(disk.resource)
    if status is None or status.connected:
        return None
    if host.read().node(vm.other(host.name)).status == "offline":
        return None
    both = look(host, vm, disk)
    if split := of(both):
        return Refused(f"There is a {sentence(vm, split)}.", help_(vm))
    if not status.is_standalone:
        return None
    alone = f"The replica of {vm.name} on {host.name} stands alone: it was disconnected"
    if silent := [node for node, side in both.items() if side is None]:
        return Refused(
            f"{alone}, or this is a split brain; {' and '.join(silent)} does not say.",
            ways_out(*silent),
        )
    return Refused(
        f"{alone}.",
        f"See both sides with: mcv drbd list; join them with: mcv resync {vm.name} --source NODE",
    )


def why_not_join(host: Host, vm: Vm, disk: Disk, source: str) -> Refused | None:
    """What keeps two that are apart from being joined so that source's data counts.

    Joined, the kernel copies from the side that was written since: there is nothing to choose.
    """
    both = look(host, vm, disk)
    if split := of(both):
        return Refused(f"There is a {sentence(vm, split)}.", help_(vm))
    if None in both.values() or all(
        one["connection"] != "StandAlone" for one in both.values() if one
    ):
        return Refused(f"The replicas of {vm.name} are not connected.", "See: mcv drbd list")
    newer = _newer(both)
    if newer not in (None, source):
        return Refused(
            f"{newer} holds what was written while the replicas of {vm.name} were apart.",
            f"mcv resync {vm.name} --source {newer}",
        )
    side = both[source]
    if side is None or not DiskState(side["disk"]).is_promotable:
        state = side["disk"] if side else "unknown"
        return Refused(f"The replica on {source} is {state}: it cannot be the source.")
    return None


def _newer(both: Mapping[str, Side | None]) -> str | None:
    """The node whose data grew out of the other's; None where neither did."""
    (one, mine), (other, theirs) = ((node, generations(side)) for node, side in both.items())
    if mine and theirs and mine.data in theirs.past:
        return other
    return one if mine and theirs and theirs.data in mine.past else None


def sentence(vm: Vm, split: list[str]) -> str:
    return f"split brain of {vm.name}: {' and '.join(split)} were both Primary since they parted"


def complaint(vm: Vm, split: list[str]) -> str:
    return f"{sentence(vm, split)}: {_command(vm)}"


def help_(vm: Vm) -> str:
    return f"Say whose data stays: {_command(vm)}"


def _command(vm: Vm) -> str:
    return f"mcv drbd resolve {vm.name} --keep NODE"
