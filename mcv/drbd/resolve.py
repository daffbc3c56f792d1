"""Resolving a split brain: one side's data stays, by an operator's word, and the other's goes."""

import time
from dataclasses import dataclass
from functools import partial
from typing import Any

from msgspec import Struct

from mcv.document.disks import DrbdDisk
from mcv.document.model import Cluster, Vm
from mcv.document.subject import Subject
from mcv.drbd import pairs, renewal, resync
from mcv.drbd.roles import require_inactive
from mcv.errors import McvError, Refused, refuse_all
from mcv.host import DryRun, Host, Prepared
from mcv.rules import preconditions, saved, split_brain
from mcv.rules.replica_pair import disk_of
from mcv.rules.replica_state import ReplicaState
from mcv.sizes import shown as size
from mcv.system.answers import decoded
from mcv.transaction.plan import Item, Step, on

MEETING = 60.0  # seconds that two sides have to find each other


class Resolved(Struct, frozen=True, kw_only=True):
    """A split brain that was ended: whose data was kept, and what each side wrote alone."""

    name: str
    kept: str
    discarded: str
    wrote: list[dict[str, Any]]


class ResolvePreview(DryRun, frozen=True, kw_only=True):
    """The plan that ends a split brain, and what each side wrote alone."""

    wrote: list[dict[str, Any]]


class Loss(Struct, frozen=True, kw_only=True):
    """The node whose data would be discarded, and what each side wrote, in words."""

    lose: str
    lines: list[str]


class Running(Struct, frozen=True):
    """The part of a node's report that tells which domains are there; None: not known."""

    domains: dict[str, str] | None


@dataclass(frozen=True)
class Split:
    """One disk whose sides were both written, and how each sees it."""

    disk: DrbdDisk
    sides: dict[str, ReplicaState]

    def wrote(self, node: str) -> int:
        """The bytes that differ from what both had, by that side's own counter."""
        return self.sides[node].out_of_sync

    def is_exact(self, node: str) -> bool:
        """Whether that side wrote just so much: after a crash it may be less."""
        seen = self.sides[node].generations
        return seen is not None and not seen.crashed

    def data(self, node: str) -> str:
        """Which data a side has, as a step carries it."""
        seen = self.sides[node].generations
        return f"{seen.data:016x}" if seen else ""


def resolve(
    host: Host, name: str, keep: str, discard_saved: bool = False, dry_run: bool = False
) -> Resolved | DryRun:
    """End a split brain: what the other side wrote alone is discarded for keep's data.

    Waits until both are alike again; the VM may run on the kept side meanwhile. Refused
    unless both sides are there to say what they wrote.
    """

    def prepare() -> Prepared[Resolved]:
        vm, found = require_resolvable(host, name, keep)
        states = {host.name: host.domains.saved.of(name)}
        refuse_all(saved.why_not_change(vm, states, discard_saved))
        bytes_ = wrote(found)
        lose = vm.other(keep)
        return Prepared(
            resolve_plan(host.read(), vm, keep, found, discard_saved),
            Resolved(name=name, kept=keep, discarded=lose, wrote=bytes_),
            preview=partial(ResolvePreview, wrote=bytes_),
        )

    title = f"resolve the split brain of {name}, keep {keep}"
    answer = host.operate(Subject.vm(name), title, prepare, dry_run)
    if isinstance(answer, Resolved):
        _wait(host, name, [row["disk"] for row in answer.wrote])
    return answer


def resolve_plan(
    cluster: Cluster, vm: Vm, keep: str, found: list[Split], discard_saved: bool = False
) -> list[Item]:
    """Disconnect the losing side, have the kept one look for it, reconnect without its data.

    Discarding commits the plan. Until then nothing is lost: the way back joins them as they
    are, and DRBD disconnects them again. It names the data that was shown, and discards no other.
    """
    lose, disks = vm.other(keep), [one.disk.id for one in found]
    data = {str(one.disk.id): one.data(lose) for one in found}
    return [
        *renewal.begin(cluster, vm),
        Step(
            on(lose, "drbd.disconnect", name=vm.name, disks=disks),
            undo=on(lose, "drbd.connect", name=vm.name, disks=disks),
        ),
        Step(on(keep, "drbd.connect", name=vm.name, disks=disks)),
        Step(
            on(lose, "drbd.discard_and_reconnect", name=vm.name, data=data),
            undo=on(lose, "drbd.disconnect", name=vm.name, disks=disks),
            commits=True,
        ),
        *renewal.end(cluster, vm, discard_saved),
    ]


def prospects(host: Host, name: str, keep: str) -> Loss:
    """What each side wrote and what would be lost, in words: shown before it is asked for."""
    vm, found = require_resolvable(host, name, keep)
    lose = vm.other(keep)
    lines = [
        f"Disk {one.disk.id} of {name} ({size(one.disk.size)}): since they parted {keep} wrote "
        f"{_amount(one, keep)}, {lose} {_amount(one, lose)}."
        for one in found
    ]
    lines.append(f"What {lose} wrote is lost; the data of {keep} stays.")
    return Loss(lose=lose, lines=lines)


def _amount(one: Split, node: str) -> str:
    return ("" if one.is_exact(node) else "at most ") + size(one.wrote(node))


def wrote(found: list[Split]) -> list[dict[str, Any]]:
    return [
        {
            "disk": one.disk.id,
            "node": {
                node: {"bytes": one.wrote(node), "exact": one.is_exact(node)}
                for node in sorted(one.sides)
            },
        }
        for one in found
    ]


# What must be so


def require_resolvable(host: Host, name: str, keep: str) -> tuple[Vm, list[Split]]:
    """The VM and its disks that have split; else Refused with every reason at once."""
    host.consensus.require_contact()
    vm = preconditions.with_disks(host.both(), host.name, host.job.id, name)
    if keep not in vm.nodes:
        raise Refused(f"{keep} holds no replica of {name}.", f"--keep {' or '.join(vm.nodes)}")
    for node in vm.nodes:
        preconditions.online(host.read(), node)
    found: list[Split] = []
    well: list[Refused] = []
    for disk in vm.replicated:
        both = pairs.look(host, disk)
        if split_brain.of(both):
            found.append(Split(disk, {node: side for node, side in both.items() if side}))
        else:
            well.append(_no_split(vm, disk, both))
    if not found:
        refuse_all(well)
    refuse_all([problem for one in found for problem in _problems(vm, one, keep)])
    _require_not_running(host, vm, vm.other(keep))
    return vm, found


def _no_split(vm: Vm, disk: DrbdDisk, both: dict[str, ReplicaState | None]) -> Refused:
    """What there is instead of a split brain, and what helps then."""
    silent = [node for node, side in both.items() if side is None]
    if silent:
        return Refused(
            f"What {disk_of(vm, disk)} is on {' and '.join(silent)} is not known: no answer.",
            "Both sides have to be there. See: mcv info",
        )
    seen = {node: side.connection for node, side in both.items() if side}
    said = ", ".join(f"{state} on {node}" for node, state in seen.items())
    alone = any(connection.is_standalone for connection in seen.values())
    return Refused(
        f"There is no split brain of {disk_of(vm, disk)}: {disk.resource} is {said}"
        + (", and not both sides were written." if alone else "."),
        f"Join them with: mcv resync {vm.name} --source NODE" if alone else "See: mcv drbd list",
    )


def _problems(vm: Vm, one: Split, keep: str) -> list[Refused]:
    """What keeps one disk from being resolved in favour of keep."""
    found = []
    state = one.sides[keep].disk
    if not state.has_consistent_data:
        found.append(
            Refused(
                f"The replica of {disk_of(vm, one.disk)} on {keep} is {state}: it cannot be kept.",
                f"mcv drbd resolve {vm.name} --keep {vm.other(keep)}",
            )
        )
    return found


def _require_not_running(host: Host, vm: Vm, lose: str) -> None:
    """Refused while the VM, or a copy of it, has its disks open on the side that is to lose."""
    try:
        answer = host.call(lose, "node.report", timeout=pairs.PATIENCE)
        report = decoded(lose, "node.report", answer, Running)
    except McvError as error:
        said = f"{lose} does not say whether {vm.name} runs there: {error.message}"
        raise Refused(said, error.hint) from error
    if report.domains is None:
        raise Refused(f"{lose} does not say whether {vm.name} runs there: libvirt is silent.")
    state = report.domains.get(vm.name, "absent")
    if state in ("running", "paused"):
        stop = f"mcv stop {vm.name}" + ("" if lose == vm.node else f" --on {lose}")
        raise Refused(f"{vm.name} is {state} on {lose}, whose data would go.", f"First: {stop}")


# Steps: the dispatcher holds the lock and has checked the claim.


def disconnect(host: Host, name: str, disks: list[int]) -> None:
    """Let go of the peer, as Secondary; harmless where they have found each other."""
    require_inactive(host, name)
    for resource in _resources(host, name, disks):
        status = host.drbd.status(resource)
        if status is not None and not status.connected:
            host.drbd.demote(resource)
            host.drbd.disconnect(resource)


def connect(host: Host, name: str, disks: list[int]) -> None:
    """Look for the peer; harmless where it is looked for, or found."""
    for resource in _resources(host, name, disks):
        host.drbd.connect(resource)


def discard_and_reconnect(host: Host, name: str, data: dict[str, str]) -> None:
    """Come back without what only this side has, and wait until they have found each other.

    Harmless where they have. Raises McvError where this side holds other data than what was
    shown to whoever said that it may go.
    """
    require_inactive(host, name)
    vm = host.both()[-1].vm(name)
    for number, wanted in data.items():
        disk = vm.replica(int(number))
        resource, shown = disk.resource, disk_of(vm, disk)
        status = host.drbd.status(resource)
        if status is not None and status.connected:
            continue
        if f"{host.drbd.metadata.generations(resource).data:016x}" != wanted:
            raise McvError(
                f"The replica of {shown} on {host.name} is not the one that was to go.",
                f"See: mcv info {name}",
            )
        host.drbd.demote(resource)
        host.drbd.disconnect(resource)
        host.drbd.connect_discarding(resource)
        _wait_met(host, shown, resource)


def _resources(host: Host, name: str, disks: list[int]) -> list[str]:
    vm = host.both()[-1].vm(name)
    return [vm.replica(disk).resource for disk in disks]


def _wait_met(host: Host, disk: str, resource: str) -> None:
    until = time.monotonic() + MEETING
    while time.monotonic() < until:
        status = host.drbd.status(resource)
        if status is not None and status.connected:
            return
        if status is not None and status.is_standalone:
            break
        time.sleep(0.2)
    raise McvError(
        f"The replicas of {disk} do not find each other ({resource}); nothing was discarded.",
        "See: mcv drbd list",
    )


# Afterwards


def _wait(host: Host, name: str, disks: list[int]) -> None:
    """Wait until both sides are in step. Raises McvError where that does not come by itself."""
    vm = host.read().vm(name)
    try:
        resync.wait_in_step(host, vm, [vm.replica(disk) for disk in disks])
    except McvError as error:
        resolved = f"The split brain of {name} is resolved, but not all data is copied yet: "
        raise McvError(resolved + error.message, error.hint) from error
