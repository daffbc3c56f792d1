"""Resync: make the other replica like one's own, just the blocks that are known to differ."""

import time
from typing import Any

from mcv.drbd import split
from mcv.errors import McvError, Refused
from mcv.host import Host, shown
from mcv.model import Vm
from mcv.plan import Item, Step, on
from mcv.vm import require

POLL = 0.5


def resync_plan(vm: Vm, source: str, apart: list[int] | None = None) -> list[Item]:
    """Cut and join the connection on the source: the kernel then sends what differs.

    Nothing is to be taken back, and the first step of that settles it. Disks that are apart,
    one side standing alone, are joined before.
    """
    return [
        *(
            Step(on(node, "drbd.join", name=vm.name, disks=apart))
            for node in (vm.nodes if apart else ())
        ),
        *_cut_and_join(vm, source),
    ]


def _cut_and_join(vm: Vm, source: str) -> list[Item]:
    return [
        Step(on(source, "drbd.resync_from_here", name=vm.name, disk=disk.id), settles=index == 0)
        for index, disk in enumerate(vm.disks)
    ]


def resync(
    host: Host, name: str, source: str | None = None, dry_run: bool = False
) -> dict[str, Any]:
    """Make the other replica like the source's (default: the owner's), and wait for it.

    The mark of a failed verification stays: a clean verification alone lifts it.
    """
    source = source or host.name
    vm = require_resyncable(host, name, source)
    plan = resync_plan(vm, source, _apart(host, vm))
    if dry_run:
        return shown(plan)
    before = _out_of_sync(host, vm)
    with host.claim(f"vm:{name}", f"resync {name} from {source}"):
        vm = require_resyncable(host, name, source)
        plan = resync_plan(vm, source, _apart(host, vm))
        host.carry_out(f"resync {name} from {source}", plan, f"vm:{name}")
    _wait(host, vm, before)
    return {"name": name, "source": source, "resynced": before}


def require_resyncable(host: Host, name: str, source: str) -> Vm:
    host.agreed.touch.require()
    vm = require.owned(host, name)
    require.unclaimed(host, vm)
    if not vm.disks:
        raise Refused(f"{name} has no disk.")
    if source not in vm.nodes:
        raise Refused(f"{source} holds no replica of {name}.", f"--source {' or '.join(vm.nodes)}")
    if source != host.name and host.domains.is_active(name):
        raise Refused(
            f"{name} runs on {host.name}, so {source} cannot be the source.",
            f"First: mcv stop {name}",
        )
    require.online(host.read(), vm.other(host.name))
    for disk in vm.disks:
        status = host.drbd.status(disk.resource)
        if status is None:
            raise Refused(f"{disk.resource} is not up on {host.name}.", f"mcv register {name}")
        if not status.connected:
            problem = split.why_not_join(host, vm, disk, source)
            if problem is not None:
                raise problem
            continue
        mine = status.disk if source == host.name else status.peer_disk
        if mine not in ("UpToDate", "Consistent"):
            raise Refused(f"The replica on {source} is {mine}: it cannot be the source.")
    return vm


def _apart(host: Host, vm: Vm) -> list[int]:
    found = ((disk.id, host.drbd.status(disk.resource)) for disk in vm.disks)
    return [disk for disk, status in found if status is not None and not status.connected]


def _out_of_sync(host: Host, vm: Vm) -> int:
    found = (host.drbd.status(disk.resource) for disk in vm.disks)
    return sum(one.out_of_sync for one in found if one is not None)


def _wait(host: Host, vm: Vm, total: int) -> None:
    """Wait until nothing is out of sync; raise McvError if a connection is lost meanwhile."""
    lost = 0
    for disk in vm.disks:
        while True:
            status = host.drbd.status(disk.resource)
            if status and status.out_of_sync == 0 and status.peer_disk == "UpToDate":
                break
            lost = lost + 1 if status is None or not status.connected else 0
            if lost * POLL > 30:
                raise McvError(
                    f"The resync of {vm.name} lost its connection.", "See: mcv drbd list"
                )
            if status:
                left = status.out_of_sync
                host.job.progress(f"resync {vm.name}", max(0, total - left), max(total, left), "B")
            time.sleep(POLL)


def from_here(host: Host, name: str, disk: int) -> None:
    """The step: with the resource primary here, disconnect and connect.

    With both sides secondary DRBD keeps the difference in its bitmap and sends nothing, so
    a stopped VM's source is primary for the moment in which the new connection is made.
    """
    wanted = host.both()[-1].vm(name).disk(disk)
    status = host.drbd.status(wanted.resource)
    if status is None:
        raise McvError(f"{wanted.resource} is not up on {host.name}.")
    _wait_connected(host, wanted.resource)
    promoted = status.role != "Primary"
    if promoted:
        host.drbd.promote(wanted.resource)
    try:
        host.drbd.disconnect(wanted.resource)
        host.drbd.connect(wanted.resource)
        _wait_connected(host, wanted.resource)
    finally:
        if promoted:
            host.drbd.demote(wanted.resource)


def _wait_connected(host: Host, resource: str) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        status = host.drbd.status(resource)
        if status is not None and status.connected:
            return
        time.sleep(0.2)
    raise McvError(f"{resource} does not connect again.", "See: mcv drbd list")
