"""A running VM's disk goes to another volume: mirrored, gone over to, and finished; steps.

The document names the new disk before the domain goes over to it, as `mirror_of` the old one:
whoever finds that knows that the owner alone can tell which of the two is whole. The owner's
note tells it to the byte also where QEMU is gone; where the new disk is not whole, it is filled
from the old one, which nobody has written to since.
"""

import contextlib
import logging
import time
from collections.abc import Callable

from mcv import storage
from mcv.document.disks import Disk
from mcv.document.model import Cluster, Vm
from mcv.document.subject import Subject
from mcv.drivers.libvirt_mirrors import Mirror
from mcv.errors import Busy, HypervisorFailed, LibvirtSilent, McvError, Refused
from mcv.host import Host, Prepared
from mcv.sizes import shown
from mcv.storage import copy_source, paths
from mcv.system import stall
from mcv.vm import disks, mirror_notes, open_disks
from mcv.vm.disk_answers import DiskMoved
from mcv.vm.disk_plans import finish_plan
from mcv.vm.mirror_notes import MirrorNote
from mcv.vm.validation import Problems

log = logging.getLogger(__name__)

POLL = 0.5
AGAIN = 60.0  # s between two tries of this node to end a move that was given up
LOG = "See /var/log/libvirt/qemu/{name}.log on {node}, and the room: mcv pool list"


def begin(host: Host, name: str, disk: int, to: int) -> None:
    """Begin to mirror a disk to another one that was made for it; a step, harmless when done.

    Errors: HypervisorFailed where the VM does not run, or the guest sees another size.
    """
    cluster, vm, old, new = _find(host, name, disk, to)
    _require_active(host, vm, old)
    seen = host.domains.disks.capacity(name, old.target)
    if seen != new.size:
        raise HypervisorFailed(
            f"The guest of {name} sees {shown(seen)} of disk {disk} ({seen} bytes), and the new "
            f"disk has {new.size}.",
            f"Stopped it is copied: mcv shutdown {name} --wait",
        )
    mirror_notes.write(host, name, MirrorNote(volume=new.volume))
    storage.of(new).open(host)
    host.domains.mirrors.begin(name, old.target, paths.source(cluster, new, host.name), new.format)


def follow(host: Host, name: str, disk: int, to: int) -> None:
    """Wait until the mirror holds all but what is on its way; no lock is held meanwhile.

    Errors: HypervisorFailed where the mirror or the domain has ended; Cancelled.
    """
    cluster, vm, old, new = _find(host, name, disk, to)
    with host.job.may_be_cancelled(waits=False):
        _until_ready(host, vm, old, paths.path(cluster, new, host.name), host.job.check_cancelled)


def end(host: Host, name: str, disk: int, to: int) -> None:
    """Give a mirror up: the way back of `begin`. The guest runs on with its old volume."""
    _, vm, old, new = _find(host, name, disk, to)
    host.domains.mirrors.end(name, old.target)
    with contextlib.suppress(McvError):  # the way back of its creation takes it down
        storage.of(new).close(host)
    mirror_notes.remove(host, vm.name)


def go_over(host: Host, name: str, disk: int, old: int) -> None:
    """Have the domain go over to a disk that mirrors another one; a step, harmless when done.

    Precondition: the document has the new disk. Effect: the new disk has every byte that the
    guest wrote, and the guest writes there, or the VM does not run. Errors: McvError; a domain
    that runs goes on with the old disk then.
    """
    cluster, vm, new, from_ = _find(host, name, disk, old)
    path = paths.path(cluster, new, host.name)
    if host.domains.is_active(name):
        if host.domains.mirrors.source(name, new.target) != path:
            _pivot(host, cluster, vm, new)
        _note_whole(host, vm, new)
        _let_go_on(host, vm)
    elif not _is_whole(host, vm, new):
        _fill(host, vm, new, from_)
    mirror_notes.remove(host, name)


def _pivot(host: Host, cluster: Cluster, vm: Vm, new: Disk) -> None:
    """Pause the guest and have the domain go over; with an error it goes on where it was."""
    target, path = new.target, paths.path(cluster, new, host.name)
    mirrors, name = host.domains.mirrors, vm.name
    if mirrors.seen(name, target) is None:
        mirror_notes.write(host, name, MirrorNote(volume=new.volume))
        storage.of(new).open(host)
        mirrors.begin(name, target, paths.source(cluster, new, host.name), new.format)
    _until_ready(host, vm, new, path)
    try:
        _stand_still(host, vm, new)
        mirrors.pivot(name, target, path)
    except LibvirtSilent:
        raise  # the pivot may come yet: until it is known which it is, the guest stands still
    except McvError:
        if mirrors.source(name, target) != path:
            _let_go_on(host, vm)
            raise
    if host.domains.is_active(name) and mirrors.source(name, target) != path:
        _let_go_on(host, vm)
        raise HypervisorFailed(f"{name} has not gone over to {path}.")


def _stand_still(host: Host, vm: Vm, new: Disk) -> None:
    """Pause the guest, noted before; one that stands still already stays so afterwards."""
    note = mirror_notes.read(host, vm.name)
    if host.domains.state(vm.name) == "running":
        note = MirrorNote(volume=new.volume, paused=True)
        mirror_notes.write(host, vm.name, note)
        host.domains.pause(vm.name)


def _let_go_on(host: Host, vm: Vm) -> None:
    """Resume a guest that was paused for its disk; that it was is forgotten afterwards."""
    note = mirror_notes.read(host, vm.name)
    if note is None or not note.paused:
        return
    if host.domains.state(vm.name) == "paused":
        host.domains.resume(vm.name)
    mirror_notes.write(host, vm.name, MirrorNote(volume=note.volume, whole=note.whole))


def _note_whole(host: Host, vm: Vm, new: Disk) -> None:
    """Note that the new disk is whole, before the guest goes on: from then on it alone is."""
    note = mirror_notes.read(host, vm.name)
    if note is not None:
        paused = note.paused
        mirror_notes.write(host, vm.name, MirrorNote(volume=new.volume, whole=True, paused=paused))


def _is_whole(host: Host, vm: Vm, new: Disk) -> bool:
    note = mirror_notes.read(host, vm.name)
    return note is None or (note.whole and note.volume == new.volume)


def _fill(host: Host, vm: Vm, new: Disk, old: Disk) -> None:
    """Copy the old disk over what a mirror has left in the new one, and compare them."""
    with open_disks.opened(host, old, new):
        what = f"disk {new.id} of {vm.name} to {new.storage}"
        copy_source.send_here(host, vm.name, old.id, new.id, what, is_zero=False)


def _find(host: Host, name: str, disk: int, other: int) -> tuple[Cluster, Vm, Disk, Disk]:
    cluster = host.both()[-1]
    vm = cluster.vm(name)
    return cluster, vm, vm.disk(disk), vm.disk(other)


def _require_active(host: Host, vm: Vm, disk: Disk) -> None:
    if not host.domains.is_active(vm.name):
        raise HypervisorFailed(
            f"{vm.name} has ended while its disk was to be moved.",
            f"Stopped it is copied: mcv disk move {vm.name} {disk.id}",
        )


def _until_ready(
    host: Host, vm: Vm, disk: Disk, path: str, look_up: Callable[[], None] = lambda: None
) -> None:
    """Wait until a mirror is ready, and tell how far it is; `look_up` may raise Cancelled.

    Errors: HypervisorFailed where the mirror, or the domain, has ended.
    """
    began = time.monotonic()
    while True:
        look_up()
        try:
            seen = host.domains.mirrors.seen(vm.name, disk.target)
        except LibvirtSilent as silent:
            stall.tell(silent.message)
            time.sleep(POLL)
            continue
        stall.tell("")
        if seen is None:
            _require_active(host, vm, disk)
            raise HypervisorFailed(
                f"QEMU has ended the mirror of disk {disk.id} of {vm.name}: it could not write.",
                LOG.format(name=vm.name, node=host.name),
            )
        _tell(host, f"mirror disk {disk.id} of {vm.name} to {path}", seen, began)
        if seen.ready:
            return
        time.sleep(POLL)


def _tell(host: Host, what: str, mirror: Mirror, began: float) -> None:
    seconds = time.monotonic() - began
    rate = f"{shown(int(mirror.done / seconds))}/s" if seconds > 1 else ""
    host.job.progress(what, mirror.done, mirror.total, "B", rate)


# What an operation that was given up has left


def finish(host: Host, name: str, disk: int) -> None:
    """Finish the move of a disk that is `mirror_of` another one, under a claim of its own.

    Errors: Refused and Busy, nothing was changed; as Host.operate.
    """

    def prepare() -> Prepared[DiskMoved]:
        problems = Problems()
        vm = disks.changeable(host, name, problems, may_be_mirrored=True)
        new = vm.disk(disk)
        if not new.mirror_of:
            raise Refused(f"Disk {disk} of {name} is whole.")
        answer = DiskMoved(
            name=name, disk=disk, storage=new.storage, pool=new.pool, nodes=sorted(vm.nodes)
        )
        return Prepared(finish_plan(vm, new, vm.disk(new.mirror_of)), answer)

    host.operate(Subject.vm(name), f"finish the move of disk {disk} of {name}", prepare)


def reconcile(host: Host) -> None:
    """Finish moves that were given up, and end mirrors of none; a round of the daemon's loop."""
    if not host.consensus.in_contact:
        return
    for vm in list(host.read().vms.values()):
        if vm.node == host.name and vm.claim is None:
            for disk in vm.disks:
                if disk.mirror_of and _is_due(host, vm.name):
                    _by_itself(finish, host, vm.name, disk.id)
    for name in mirror_notes.noted(host):
        _by_itself(_end_left_over, host, name)
    for name in host.mirrors_tried_at.keys() - host.read().vms.keys():
        host.mirrors_tried_at.pop(name, None)


def _is_due(host: Host, name: str) -> bool:
    """Whether the move of a VM's disk was not tried lately; it counts as tried now."""
    now = time.monotonic()
    if now - host.mirrors_tried_at.get(name, -AGAIN) < AGAIN:
        return False
    host.mirrors_tried_at[name] = now
    return True


def _by_itself(function: object, host: Host, name: str, *arguments: int) -> None:
    assert callable(function)
    try:
        function(host, name, *arguments)
    except (Busy, Refused, LibvirtSilent) as error:
        log.debug("the disks of %s: %s", name, error)
    except McvError as error:
        log.warning("the disks of %s: %s", name, error)


def _end_left_over(host: Host, name: str) -> None:
    """End the mirrors of a VM that no operation claims and no disk of which needs them."""
    with host.hold(Subject.vm(name), f"look after {name}", timeout=0):
        known = [cluster.vms[name] for cluster in host.both() if name in cluster.vms]
        if any(vm.claim or any(disk.mirror_of for disk in vm.disks) for vm in known):
            return
        for disk in known[-1].disks if known and host.domains.is_active(name) else ():
            if disk.target:
                host.domains.mirrors.end(name, disk.target)
        mirror_notes.remove(host, name)
