"""May a replica be promoted without its owner: what this node has observed decides.

Without fencing a link may have been cut, the owner may have written on alone and died, and
the replica here calls itself UpToDate all the same. Nothing here tells that from a clean death;
but when it was last in step, when the owner was last heard, and whether this host was itself
away since, are known.
"""

from dataclasses import dataclass

from mcv.document.disks import DrbdDisk
from mcv.document.model import Vm
from mcv.drivers.drbd_states import DiskState
from mcv.errors import Refused
from mcv.sizes import shown
from mcv.system.observations import ago

APART = 20.0  # seconds between two looks at which two times count as the same


@dataclass(frozen=True)
class Evidence:
    """What a node knows of its replica, and of the owner that is gone; times are its own."""

    node: str
    replica_of: str  # the VM, or one of its disks, in words
    disk: DiskState | None  # None where the resource is not up
    owner_heard: float | None
    in_step: float | None
    was_away: bool  # this host was down since it last heard the owner


@dataclass(frozen=True)
class Problem:
    """Why a replica is not promoted, and whether an operator's word may override that."""

    refusal: Refused
    may_be_accepted: bool


def why_not_promote(vm: Vm, seen: Evidence) -> Problem | None:
    """What forbids to take this replica for the whole truth; None where nothing does."""
    problem = _by_its_state(vm, seen)
    if problem is not None:
        return problem
    if seen.was_away:
        return _stale(
            f"{seen.node} was itself down since it last heard {vm.node}, so {vm.node} may have "
            f"written to {vm.name} meanwhile; the replica was last in step {ago(seen.in_step)}.",
            _hint(vm, seen),
        )
    return _out_of_step(vm, seen, _hint(vm, seen))


def _hint(vm: Vm, seen: Evidence) -> str:
    command = f"mcv register {vm.name} --node {seen.node} --accept-stale"
    return f"What {vm.node} wrote since would be lost: {command}"


def _by_its_state(vm: Vm, seen: Evidence) -> Problem | None:
    """What the replica itself says: one that is Outdated is old, others cannot be promoted."""
    if seen.disk is not None and seen.disk.is_outdated:
        stale = f"The replica of {seen.replica_of} on {seen.node} is Outdated, last in step "
        return _stale(f"{stale}{ago(seen.in_step)}.", _hint(vm, seen))
    if seen.disk is None or not seen.disk.is_promotable:
        refusal = Refused(
            f"The replica of {seen.replica_of} on {seen.node} is {seen.disk or 'not up'}.",
            f"It cannot be taken; bring {vm.node} back.",
        )
        return Problem(refusal, False)
    return None


def _out_of_step(vm: Vm, seen: Evidence, hint: str) -> Problem | None:
    if seen.in_step is None or seen.owner_heard is None:
        return _stale(
            f"{seen.node} has never seen the replicas of {seen.replica_of} in step with {vm.node}.",
            hint,
        )
    if seen.in_step < seen.owner_heard - APART:
        return _stale(
            f"The replica of {seen.replica_of} on {seen.node} was last in step "
            f"{ago(seen.in_step)}, but {vm.node} was heard after that, "
            f"{ago(seen.owner_heard)}, and may have written on.",
            hint,
        )
    return None


def why_not_by_mark(vm: Vm, seen: Evidence, marked: str, mark: str) -> Problem | None:
    """What forbids it where the owner was armed: it has marked whichever replica may be behind.

    `marked` is the node of the mark, `mark` what it says, "" where there is none. A mark that
    names no node may be about this one.
    """
    problem = _by_its_state(vm, seen)
    if problem is not None or not mark or marked not in ("", seen.node):
        return problem
    newest = f"The newest data of {seen.replica_of} is on {vm.node}: {mark}."
    return _stale(newest, _hint(vm, seen))


def why_not_by_note(vm: Vm, seen: Evidence, since: str) -> Problem:
    """This node noted that its replica was behind while it was in contact with its peer."""
    behind = f"The replica of {seen.replica_of} on {seen.node} has been behind since {since}."
    return _stale(behind, _hint(vm, seen))


def _stale(message: str, hint: str) -> Problem:
    return Problem(Refused(message, hint), True)


def prospects_of(disk: DrbdDisk, seen: Evidence, problem: Problem | None) -> list[str]:
    """What a takeover rests on for one replicated disk, in words and times."""
    return [
        f"Disk {disk.id} ({shown(disk.size)}) here is {seen.disk or 'not up'}, "
        f"last in step {ago(seen.in_step)}.",
        *([problem.refusal.message] if problem is not None else []),
    ]


def prospects(vm: Vm, of_disks: list[str], owner_heard: float | None) -> list[str]:
    """What a takeover rests on, in words and times."""
    lines = [f"{vm.node}, which owns {vm.name}, was last heard {ago(owner_heard)}.", *of_disks]
    lines.append(f"What {vm.node} wrote after that is lost.")
    return lines
