"""Another disk for a VM: of any kind, filled from an image or from a volume that was kept."""

from dataclasses import dataclass
from typing import Any, cast

from msgspec.structs import replace

from mcv import sizes
from mcv.document.disks import Bus, Cache, Disk, DrbdDisk, SharedDisk
from mcv.document.model import Cluster, Vm
from mcv.document.subject import Subject
from mcv.document.vm_nodes import nodes_of
from mcv.errors import McvError, refuse_all
from mcv.host import DryRun, Host, Prepared
from mcv.rules import disk_bus
from mcv.storage.volumes import KeptVolume
from mcv.system.answers import ask_typed
from mcv.vm import disk_choice, disks, image_use, placing
from mcv.vm.create import image_until_the_end
from mcv.vm.disk_answers import DiskAdded
from mcv.vm.disk_plans import add_plan
from mcv.vm.validation import LEAST_DISK, MOST_DISK, MOST_DISKS, Problems

LOOK = 10.0  # s that a node has to look at a volume


@dataclass(frozen=True)
class DiskRequest:
    """A disk as an operator asks for it, in the words that were typed."""

    size: str | None
    storage: str | None
    pool: str | None
    bus: str | None
    image: dict[str, Any] | None
    volume: str | None
    cache: str | None
    nodes: list[str] | None


def add(
    host: Host,
    name: str,
    size: str | None = None,
    storage: str | None = None,
    pool: str | None = None,
    bus: str | None = None,
    image: dict[str, Any] | None = None,
    volume: str | None = None,
    cache: str | None = None,
    nodes: list[str] | None = None,
    dry_run: bool = False,
) -> DiskAdded | DryRun:
    """Give a VM of this node another disk; its guest, where it runs, has it at once.

    `image` says where its bytes are: {"node", "token", "size"}, or {"name"} of an
    image. Raises Refused with every reason at once; Failed when it was begun and everything was
    undone.
    """
    image = image_use.named(host, image)
    request = DiskRequest(size, storage, pool, bus, image, volume, cache, nodes)
    source, token = (image["node"], image["token"]) if image else (host.name, None)

    def prepare() -> Prepared[DiskAdded]:
        vm, disk = _judged(host, request, name)
        pools = placing.new_pools(host.read(), replace(vm, disks=(disk,)))
        plan = add_plan(vm, disk, pools, source, token, adopt=volume is not None)
        return Prepared(plan, _answer(host, vm, disk))

    with image_until_the_end(host, source, token):
        return host.operate(Subject.vm(name), f"add a disk to {name}", prepare, dry_run)


def _answer(host: Host, vm: Vm, disk: Disk) -> DiskAdded:
    there = set(vm.nodes) if vm.disks else set(host.read().nodes)
    return DiskAdded(
        name=vm.name,
        disk=disk.id,
        target=disk.target,
        size=disk.size,
        storage=disk.storage,
        pool=disk.pool,
        nodes=sorted(there & nodes_of(host.read(), disk)),
        attached=host.domains.is_active(vm.name),
    )


def _judged(host: Host, request: DiskRequest, name: str) -> tuple[Vm, Disk]:
    """The VM, and the disk as it will be made; Refused with every problem at once."""
    problems = Problems()
    vm = disks.changeable(host, name, problems)
    if len(vm.disks) >= MOST_DISKS:
        problems.add(f"{name} has {len(vm.disks)} disks already, and can have {MOST_DISKS}.")
    disk = _asked(host, vm, request, problems)
    if disk is not None:
        problems.found += disk_bus.why_not_on(vm, disk)
        active = host.domains.is_active(name)
        problems.found += disk_bus.why_not_plugged(vm, disk, active, "added")
        disk = _placed(host, vm, disk, request, problems)
    refuse_all(problems.found)
    assert disk is not None
    return vm, disk


def _asked(host: Host, vm: Vm, request: DiskRequest, problems: Problems) -> Disk | None:
    """The disk as asked for, not placed yet; None with problems."""
    if request.volume is not None and request.image is not None:
        problems.add("--volume keeps its bytes: it goes without --image.")
    size = _size(request, problems)
    bus = _one_of(request.bus, "bus", disk_bus.BUSES, problems)
    cache = _one_of(request.cache, "cache", disk_bus.CACHES, problems)
    cluster = host.read()
    choice = disk_choice.choose(
        cluster,
        host.name,
        _kind(cluster, vm, request),
        request.pool,
        _nodes(cluster, vm, request),
        problems.found,
    )
    if choice is None or problems.found:
        return None
    disk = disk_choice.new_disk(cluster, vm.name, vm.uuid, vm.next_disk, size, choice)
    disk = replace(disk, bus=cast(Bus, bus or "virtio"), cache=cast(Cache, cache or "none"))
    return disk if request.volume is None else replace(disk, volume=request.volume, size=size)


def _size(request: DiskRequest, problems: Problems) -> int:
    """The bytes that are asked for: named, or the image's; 0 where the volume tells."""
    if request.size is not None:
        size = problems.size(request.size, "disk", LEAST_DISK, MOST_DISK)
        if request.image is not None and 0 < size < request.image["size"]:
            problems.add(
                f"The image has {sizes.shown(request.image['size'])}, "
                f"more than the disk of {sizes.shown(size)}."
            )
        return size
    if request.image is not None:
        return int(request.image["size"])
    if request.volume is None:
        problems.add("How large is the disk to be?", "mcv disk add VM SIZE")
    return 0


def _one_of(text: str | None, what: str, values: tuple[str, ...], problems: Problems) -> str | None:
    if text is not None and text not in values:
        problems.add(f"There is no {what} {text}.", f"It can be: {', '.join(values)}.")
    return text


def _kind(cluster: Cluster, vm: Vm, request: DiskRequest) -> str | None:
    """The kind that was asked for; where none was, drbd only for a VM that has two nodes."""
    if request.storage is not None or request.nodes is not None or request.volume is not None:
        return request.storage
    pool = cluster.all_pools.get(request.pool or "")
    if vm.disks and len(vm.nodes) < 2:
        return disk_choice.OF_POOL[pool.type] if pool else "file"
    return None


def _nodes(cluster: Cluster, vm: Vm, request: DiskRequest) -> list[str] | None:
    """The nodes that were asked for, or those of the VM's replicas."""
    if request.nodes is not None:
        return request.nodes
    pool = cluster.all_pools.get(request.pool or "")
    is_local = request.storage not in (None, "drbd") or (pool and pool.type in ("dir", "shared"))
    if is_local or not vm.replicated or not cluster.drbd.enabled:
        return None
    return [vm.node, vm.other(vm.node)]


def _placed(
    host: Host, vm: Vm, disk: Disk, request: DiskRequest, problems: Problems
) -> Disk | None:
    """The disk with its locations, where there is room, or where the kept volume is."""
    there = nodes_of(host.read(), disk)
    if vm.node not in there:
        problems.add(f"{vm.node}, which owns {vm.name}, is not among {', '.join(sorted(there))}.")
    if request.volume is not None:
        return _adopted(host, vm, disk, request, problems)
    with_it = replace(vm, disks=(disk,), nics=(), memory=0)
    facts = placing.facts_of(host, with_it, problems)
    placing.judge_room(with_it, facts, problems)
    if problems.found:
        return None
    return placing.placed(host.read(), with_it, facts).disks[0]


def _adopted(
    host: Host, vm: Vm, disk: Disk, request: DiskRequest, problems: Problems
) -> Disk | None:
    """The disk on a volume that was kept: there, whole, in use nowhere."""
    if isinstance(disk, DrbdDisk):
        problems.add(
            "A kept volume is taken back by one node, not as two replicas.",
            f"mcv disk add {vm.name} --storage lvm --volume {disk.volume}",
        )
        return None
    for other, known in host.read().disks():
        if known.volume == disk.volume and known.pool == disk.pool:
            problems.add(f"{disk.volume} is disk {known.id} of {other.name}.")
    answer = ask_typed(
        host.call, [host.name], "volume.look", LOOK, KeptVolume, pool=disk.pool, volume=disk.volume
    )[host.name]
    if isinstance(answer, McvError):
        problems.add(answer.message, answer.hint)
        return None
    if answer.holders:
        problems.add(f"{disk.volume} is open: {', '.join(answer.holders)}.")
    if request.size is not None and disk.size != answer.size:
        problems.add(
            f"{disk.volume} has {sizes.shown(answer.size)}, not {sizes.shown(disk.size)}.",
            "Leave SIZE out; grow it afterwards with: mcv disk grow",
        )
    disk = replace(disk, size=answer.size)
    return (
        disk if isinstance(disk, SharedDisk) else replace(disk, places={host.name: answer.location})
    )
