"""Resync: make the other replica like one's own, just the blocks that are known to differ."""

import time
from collections.abc import Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from mcv import sizes
from mcv.document.disks import DrbdDisk
from mcv.document.model import Cluster, Vm
from mcv.document.subject import Subject
from mcv.drbd import pairs, renewal
from mcv.drivers.drbd_status import Status
from mcv.errors import CommandFailed, McvError, Refused, refuse_all
from mcv.host import DryRun, Host, Prepared
from mcv.printable import names
from mcv.rules import preconditions, saved
from mcv.rules.replica_pair import disk_of
from mcv.transaction.plan import Item, Step, on

POLL = 0.5
PATIENCE = 30.0  # seconds in which a connection that is lost may come back


class Resynced(Struct, frozen=True, kw_only=True):
    """The source of a resync, and how many bytes were out of sync at most."""

    name: str
    source: str
    resynced: int


def resync_plan(
    cluster: Cluster,
    vm: Vm,
    source: str,
    apart: list[int],
    detached: set[int],
    discard_saved: bool = False,
) -> list[Item]:
    """Cut and join the connection on the source: the kernel then sends what differs.

    Disks that are apart, one side standing alone, are joined before. One that was detached
    on the other side is attached there, and the kernel sends by itself what was written
    meanwhile. Nothing is to be taken back, and the first step that sends commits the plan.
    """
    return [
        *renewal.begin(cluster, vm),
        *(
            Step(on(node, "drbd.connect", name=vm.name, disks=apart))
            for node in (vm.nodes if apart else ())
        ),
        *_send(vm, source, detached),
        *renewal.end(cluster, vm, discard_saved),
    ]


def _send(vm: Vm, source: str, detached: set[int]) -> list[Item]:
    target = vm.other(source)
    return [
        Step(
            on(target, "drbd.attach", name=vm.name, disk=disk.id)
            if disk.id in detached
            else on(source, "drbd.resync_from_here", name=vm.name, disk=disk.id),
            commits=index == 0,
        )
        for index, disk in enumerate(vm.replicated)
    ]


def resync(
    host: Host,
    name: str,
    source: str | None = None,
    discard_saved: bool = False,
    dry_run: bool = False,
) -> Resynced | DryRun:
    """Make the other replica like the source's (default: the owner's), and wait for it.

    The mark of a failed verification stays: a clean verification alone lifts it.
    """
    from_ = source or host.name

    def prepare() -> Prepared[Resynced]:
        vm = require_resyncable(host, name, from_, discard_saved)
        answer = Resynced(name=name, source=from_, resynced=_out_of_sync(host, vm))
        return Prepared(plan_now(host, vm, from_, discard_saved), answer)

    answer = host.operate(Subject.vm(name), f"resync {name} from {from_}", prepare, dry_run)
    if isinstance(answer, DryRun):
        return answer
    vm = host.read().vm(name)
    return replace(answer, resynced=wait_in_step(host, vm, vm.replicated, answer.resynced))


def plan_now(host: Host, vm: Vm, source: str, discard_saved: bool = False) -> list[Item]:
    """The plan for how the replicas are now."""
    apart, detached = _apart(host, vm), _detached(host, vm, source)
    return resync_plan(host.read(), vm, source, apart, detached, discard_saved)


def require_resyncable(host: Host, name: str, source: str, discard_saved: bool) -> Vm:
    host.consensus.require_contact()
    vm = preconditions.with_disks(host.both(), host.name, host.job.id, name)
    if source not in vm.nodes:
        raise Refused(f"{source} holds no replica of {name}.", f"--source {' or '.join(vm.nodes)}")
    preconditions.online(host.read(), vm.other(host.name))
    states = {host.name: host.domains.saved.of(name)}
    problems = saved.why_not_change(vm, states, discard_saved)
    refuse_all(
        [*problems, *(p for disk in vm.replicated for p in _why_not(host, vm, disk, source))]
    )
    return vm


def _why_not(host: Host, vm: Vm, disk: DrbdDisk, source: str) -> Iterator[Refused]:
    status = host.drbd.status(disk.resource)
    if status is None:
        yield Refused(f"{disk.resource} is not up on {host.name}.", f"mcv register {vm.name}")
        return
    is_here = source == host.name
    good, other = (status.disk, status.peer_disk) if is_here else (status.peer_disk, status.disk)
    if status.connected and not good.is_promotable:
        yield Refused(
            f"The replica of {disk_of(vm, disk)} on {source} is {good}: it cannot be the source.",
            f"mcv resync {vm.name} --source {vm.other(source)}",
        )
    elif not is_here and not other.is_detached and host.domains.is_active(vm.name):
        yield Refused(
            f"{vm.name} runs on {host.name}, so {source} cannot be the source.",
            f"First: mcv shutdown {vm.name} --wait",
        )
    elif not status.connected:
        problem = pairs.why_not_join(host, vm, disk, source)
        if problem is not None:
            yield problem


def _detached(host: Host, vm: Vm, source: str) -> set[int]:
    """The disks whose replica has no volume on the side that is to be made like the source."""
    found: set[int] = set()
    for disk in vm.replicated:
        status = host.drbd.status(disk.resource)
        if status is not None:
            other = status.peer_disk if source == host.name else status.disk
            found.update({disk.id} if other.is_detached else ())
    return found


def _apart(host: Host, vm: Vm) -> list[int]:
    found = ((disk.id, host.drbd.status(disk.resource)) for disk in vm.replicated)
    return [disk for disk, status in found if status is not None and not status.connected]


def _out_of_sync(host: Host, vm: Vm) -> int:
    found = (host.drbd.status(disk.resource) for disk in vm.replicated)
    return sum(one.out_of_sync for one in found if one is not None)


def wait_in_step(host: Host, vm: Vm, disks: Sequence[DrbdDisk], total: int = 0) -> int:
    """Wait until the disks are in step; answer how many bytes were out of sync at most.

    Raises McvError where that does not come by itself: a connection stays away, or a disk
    is detached.
    """
    seen_last = time.monotonic()
    while True:
        statuses = [host.drbd.status(disk.resource) for disk in disks]
        known = [status for status in statuses if status is not None]
        left = sum(status.out_of_sync for status in known)
        total = max(total, left)
        if len(known) == len(statuses) and all(is_alike(status) for status in known):
            host.job.progress(f"resync {vm.name}", total, total, "B")
            return total
        _require_disks(vm, disks, known)
        if len(known) == len(statuses) and all(status.connected for status in known):
            seen_last = time.monotonic()
        elif time.monotonic() - seen_last > PATIENCE:
            raise McvError(
                f"The replicas of {_in_words(vm, disks, known)} lost their connection with "
                f"{sizes.shown(left)} out of sync.",
                "DRBD goes on by itself when they find each other again: mcv drbd list",
            )
        host.job.progress(f"resync {vm.name}", total - left, total, "B")
        time.sleep(POLL)


def _in_words(vm: Vm, disks: Sequence[DrbdDisk], known: list[Status]) -> str:
    """The disks that are not connected; the VM where all of them are, or it has one."""
    connected = {status.resource for status in known if status.connected}
    apart = [disk for disk in disks if disk.resource not in connected]
    return vm.name if len(apart) == len(vm.disks) else names(disk_of(vm, d) for d in apart)


def is_alike(status: Status) -> bool:
    return status.out_of_sync == 0 and status.both_up_to_date and not status.is_working


def _require_disks(vm: Vm, disks: Sequence[DrbdDisk], known: list[Status]) -> None:
    """Raise McvError where a replica is detached: no waiting helps."""
    other = vm.other(vm.node)
    names = {disk.resource: disk_of(vm, disk) for disk in disks}
    for status in known:
        for node, disk in ((vm.node, status.disk), (other, status.peer_disk)):
            if disk.is_detached and status.connected:
                raise McvError(
                    f"The replica of {names[status.resource]} on {node} is {disk}: "
                    "DRBD has let go of its disk.",
                    f"See dmesg on {node}; when the disk is well again: "
                    f"mcv resync {vm.name} --source {vm.other(node)}",
                )


def resync_from_here(host: Host, name: str, disk: int) -> None:
    """The step: with the resource primary here, disconnect and connect.

    With both sides secondary DRBD keeps the difference in its bitmap and sends nothing, so
    a stopped VM's source is primary for the moment in which the new connection is made.
    """
    wanted = host.both()[-1].vm(name).replica(disk)
    status = host.drbd.status(wanted.resource)
    if status is None:
        raise McvError(f"{wanted.resource} is not up on {host.name}.")
    _wait_connected(host, wanted.resource)
    promoted = not status.is_primary
    if promoted:
        host.drbd.promote(wanted.resource)
    try:
        host.drbd.disconnect(wanted.resource)
        host.drbd.connect(wanted.resource)
        _wait_connected(host, wanted.resource)
    finally:
        if promoted:
            host.drbd.demote(wanted.resource)


def attach(host: Host, name: str, disk: int) -> None:
    """The step: take a detached volume back; what was written meanwhile comes from the peer.

    A volume without metadata is a new one: it gets some, and the whole of it comes. The
    peer must be there, so that nothing but its data is taken for good.
    """
    vm = host.both()[-1].vm(name)
    wanted = vm.replica(disk)
    status = host.drbd.status(wanted.resource)
    if status is None:
        raise McvError(f"{wanted.resource} is not up on {host.name}.")
    if not status.is_detached:
        return
    if not status.connected or not status.peer_disk.is_up_to_date:
        raise McvError(
            f"The other replica of {disk_of(vm, wanted)} is {status.peer_disk}, so {host.name} has "
            "nothing to make its own from.",
            "See: mcv drbd list",
        )
    try:
        host.drbd.metadata.generations(wanted.resource)
    except CommandFailed:
        host.drbd.metadata.create(wanted.resource)
    host.drbd.attach(wanted.resource)


def _wait_connected(host: Host, resource: str) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        status = host.drbd.status(resource)
        if status is not None and status.connected:
            return
        time.sleep(0.2)
    raise McvError(f"{resource} does not connect again.", "See: mcv drbd list")


def write_alone(host: Host, name: str, disk: int) -> None:
    """The step: become Primary and part from the peer, so that this replica is written to alone.

    A Primary that disconnects outdates its peer, durably: no kernel promotes that one meanwhile.
    """
    resource = host.both()[-1].vm(name).replica(disk).resource
    host.drbd.promote(resource)
    host.drbd.disconnect(resource)


def rejoin(host: Host, name: str, disk: int) -> None:
    """The step: look for the peer again; harmless where it is looked for, or found."""
    host.drbd.connect(host.both()[-1].vm(name).replica(disk).resource)


def await_in_step(host: Host, name: str, disk: int) -> None:
    """Wait until the peer's replica has all that this one has; no lock is held meanwhile."""
    vm = host.both()[-1].vm(name)
    wait_in_step(host, vm, [vm.replica(disk)])


def await_peer(host: Host, name: str, disk: int) -> None:
    """The same, unless the document calls the peer offline."""
    if host.read().vm(name).replica(disk).other(host.name) in host.read().online:
        await_in_step(host, name, disk)
