"""May a replica here be taken for the whole truth: what this node has seen decides.

Without fencing a link may have been cut, the owner may have written on alone and died, and
this replica calls itself UpToDate all the same. Nothing here tells that from a clean death;
but when it was last in step, when the owner was last heard, and whether this host was itself
away since, are known, and told.
"""

from dataclasses import dataclass

from mcv.document.model import Disk, Vm
from mcv.errors import Refused
from mcv.host import Host
from mcv.sizes import shown
from mcv.system.observations import ago

APART = 20.0  # seconds between two looks at which two times count as the same


@dataclass(frozen=True)
class Problem:
    """Why a replica is not taken, and whether an operator's word may take it all the same."""

    refusal: Refused
    may_be_accepted: bool


def why_not(host: Host, vm: Vm, disk: Disk) -> Problem | None:
    """What speaks against taking this replica for the whole truth; None where nothing does."""
    status = host.drbd.status(disk.resource)
    seen = status.disk if status else "not up"
    hint = f"What {vm.node} wrote since would be lost: mcv register {vm.name} " + (
        f"--node {host.name} --accept-stale"
    )
    heard = host.observations.last_heard(vm.node)
    in_step = host.observations.last_in_step(disk.resource)
    if status is not None and status.disk.is_outdated:
        return _stale(
            f"The replica of {vm.name} on {host.name} is Outdated, last in step {ago(in_step)}.",
            hint,
        )
    if status is None or not status.disk.is_promotable:
        return Problem(
            Refused(
                f"The replica of {vm.name} on {host.name} is {seen}.",
                f"It cannot be taken; bring {vm.node} back.",
            ),
            False,
        )
    if host.observations.was_away_since(vm.node):
        return _stale(
            f"{host.name} was itself down since it last heard {vm.node}, so {vm.node} may have "
            f"written to {vm.name} meanwhile; the replica was last in step {ago(in_step)}.",
            hint,
        )
    if in_step is None or heard is None:
        return _stale(
            f"{host.name} has never seen the replicas of {vm.name} in step with {vm.node}.", hint
        )
    if in_step < heard - APART:
        return _stale(
            f"The replica of {vm.name} on {host.name} was last in step {ago(in_step)}, but "
            f"{vm.node} was heard after that, {ago(heard)}, and may have written on.",
            hint,
        )
    return None


def _stale(message: str, hint: str) -> Problem:
    return Problem(Refused(message, hint), True)


def prospects(host: Host, vm: Vm) -> list[str]:
    """What a takeover rests on, in words and times."""
    said = [
        f"{vm.node}, which owns {vm.name}, was last heard "
        f"{ago(host.observations.last_heard(vm.node))}."
    ]
    for disk in vm.disks:
        status = host.drbd.status(disk.resource)
        in_step = host.observations.last_in_step(disk.resource)
        said.append(
            f"Disk {disk.id} ({shown(disk.size)}) here is {status.disk if status else 'not up'}, "
            f"last in step {ago(in_step)}."
        )
        problem = why_not(host, vm, disk)
        if problem is not None:
            said.append(problem.refusal.message)
    said.append(f"What {vm.node} wrote after that is lost.")
    return said
