"""Moving a replica of a disk from a node to another one, also while its VM runs."""

import contextlib
from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from mcv.document.disks import DrbdDisk
from mcv.document.model import Cluster, Vm
from mcv.document.subject import Subject
from mcv.errors import McvError, Refused, refuse_all
from mcv.host import DryRun, Host, Prepared
from mcv.rules import preconditions
from mcv.storage import replica_moves
from mcv.vm import disks, own_job, placing
from mcv.vm.disk_answers import DiskMoved
from mcv.vm.validation import Problems


class Problem(Struct, frozen=True, kw_only=True):
    """What forbids an operation, and what helps."""

    message: str
    hint: str = ""


def whys(problems: list[Problem]) -> str:
    """What forbids it, in one line."""
    return "; ".join(problem.message.rstrip(".") for problem in problems)


def hints(problems: list[Problem]) -> str:
    """What helps against each, once, in one line; "" where nothing is known to."""
    found = dict.fromkeys(problem.hint.rstrip(".") for problem in problems)
    return "; ".join(filter(None, found))


def move(
    host: Host, name: str, disk: int, source: str, to: str, dry_run: bool = False
) -> DiskMoved | DryRun:
    """Give another node the replica that `source` has; the old one goes when it is checked.

    The VM may run: its guest writes on. `source` may be offline. Until the new replica is whole
    the owner's is the only one. Raises Refused with every reason at once; Failed when it was
    begun, and the old replica is the owner's peer again.
    """

    def prepare() -> Prepared[DiskMoved]:
        problems = Problems()
        vm, old = _judged(host, name, disk, source, to, problems)
        placed = _placed(host, vm, old, to, problems)
        refuse_all(problems.found)
        assert placed is not None
        new = replica_moves.moved(old, source, placed)
        pools = placing.new_pools(host.read(), replace(vm, disks=(placed,)))
        size = replica_moves.device_size(host, old)
        is_away = source not in host.read().online
        answer = DiskMoved(
            name=name, disk=disk, storage=old.storage, pool=old.pool, nodes=sorted(new.places)
        )
        plan = replica_moves.plan(vm, old, new, size, pools, is_away)
        said = risk(vm, old)
        return Prepared(
            plan,
            answer,
            preview=lambda plan: DryRun(plan=[*plan, said]),
            around=_told(host, said),
        )

    return host.operate(Subject.vm(name), title(name, disk, source, to), prepare, dry_run)


@contextlib.contextmanager
def _told(host: Host, said: str) -> Iterator[None]:
    """Tell the operator before the first step: what a job waits for is shown as a line."""
    host.job.progress(f"waiting for the new replica; {said[:1].lower()}{said[1:]}")
    yield


def title(name: str, disk: int, source: str, to: str) -> str:
    return f"move the replica of disk {disk} of {name} from {source} to {to}"


def risk(vm: Vm, disk: DrbdDisk) -> str:
    """What an operator has to know before."""
    return (
        f"Until the new replica is UpToDate and verified, disk {disk.id} of {vm.name} has one "
        f"replica, on {vm.node}."
    )


def require_movable(
    cluster: Cluster, name: str, number: int, source: str | None, to: str | None
) -> tuple[Vm, DrbdDisk]:
    """The VM and its disk. Errors: Refused where that is no replica's move."""
    vm = cluster.vm(name)
    disk = vm.disk(number)
    if source is None or to is None:
        raise Refused("A replica moves from a node to a node.", "--from N --to N")
    if not isinstance(disk, DrbdDisk) or source not in disk.places:
        raise Refused(f"{source} holds no replica of disk {number} of {name}.")
    if to in disk.places:
        raise Refused(f"{to} holds a replica of disk {number} of {name} already.")
    if source == vm.node:
        raise Refused(
            f"{source} owns {name}, whose bytes are copied from there.",
            f"First: mcv migrate {name} (while it runs: mcv migrate --online {name})",
        )
    return vm, disk


def _judged(
    host: Host, name: str, disk: int, source: str, to: str, problems: Problems
) -> tuple[Vm, DrbdDisk]:
    require_movable(host.read(), name, disk, source, to)
    vm = disks.changeable(host, name, problems)
    old = vm.replica(disk)
    if old.leaving:
        problems.add(f"Disk {disk} of {name} is leaving.", f"See: mcv disk list {name}")
    problems.found += replica_moves.why_not_leave(host, vm, old, source)
    return vm, old


def _placed(host: Host, vm: Vm, old: DrbdDisk, to: str, problems: Problems) -> DrbdDisk | None:
    """The new replica with its location and a free port; None with problems."""
    cluster = host.read()
    try:
        preconditions.accepting(cluster, to)
        size = replica_moves.device_size(host, old)
        asked = replace(vm, disks=(replace(old, places={to: ""}, size=size),))
        before = len(problems.found)
        facts = placing.facts_of(host, asked, problems)
    except McvError as error:
        problems.add(error.message, error.hint)
        return None
    if len(problems.found) > before:
        return None
    placing.judge_room(asked, facts, problems)
    if old.minor in facts[to].minors:
        problems.add(
            f"{to} has a DRBD device {old.minor} already, which disk {old.id} of {vm.name} needs.",
            "See: mcv cluster check",
        )
    if len(problems.found) > before:
        return None
    (placed,) = placing.placed(cluster, asked, facts).replicated
    return placed


# For `mcv node replace`, which moves the replicas of many VMs: each by its owner


def why_not_replace(host: Host, name: str, disk: int, source: str, to: str) -> list[Problem]:
    """What forbids to move this replica, if it were the only one; the VM's owner is asked."""
    found = Problems()
    try:
        vm, old = _judged(host, name, disk, source, to, found)
        _placed(host, vm, old, to, found)
    except McvError as error:
        found.found += [Refused(error.message, error.hint)]
    return [Problem(message=problem.message, hint=problem.hint) for problem in found.found]


def replace_here(host: Host, name: str, disk: int, source: str, to: str, who: str) -> None:
    """Move the replica by a job of this node, the VM's owner, and wait for its end.

    Without effect where it has moved. A job that is at work on the VM, maybe this very move of
    an earlier call, is waited for. Errors: those of the move; Busy where the VM is claimed by
    an operation that no job here carries out.
    """
    while not _has_moved(host, name, disk, source, to):
        claim = host.read().vm(name).claim
        if claim is None:
            own_job.carry_out(
                host,
                title(name, disk, source, to),
                who,
                lambda: move(host, name, disk, source, to),
                vm=name,
            )
        else:
            own_job.follow(host, name, claim)


def _has_moved(host: Host, name: str, disk: int, source: str, to: str) -> bool:
    vm = host.read().vms.get(name)
    if vm is None:
        return True
    known = vm.replica(disk)
    return source not in known.places and to in known.places and not known.former
