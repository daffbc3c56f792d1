"""Moving a disk to another pool, or to another kind of storage; the VM may run."""

from typing import cast

from msgspec.structs import replace

from mcv import storage
from mcv.document.disks import Disk, DrbdDisk
from mcv.document.model import Cluster, Vm
from mcv.document.subject import Subject
from mcv.document.vm_nodes import nodes_of
from mcv.errors import Refused, refuse_all
from mcv.host import DryRun, Host, Prepared
from mcv.storage import copy_source, paths
from mcv.vm import copies, disk_choice, disks, open_disks, placing, power, replica_move
from mcv.vm.disk_answers import DiskMoved
from mcv.vm.disk_plans import mirror_plan, move_plan
from mcv.vm.validation import Problems


def move(
    host: Host,
    name: str,
    disk: int,
    storage: str | None = None,
    pool: str | None = None,
    nodes: list[str] | None = None,
    source: str | None = None,
    to: str | None = None,
    dry_run: bool = False,
) -> DiskMoved | DryRun:
    """Copy a disk of a VM of this node elsewhere, compare, and take the old one away.

    While the VM runs QEMU mirrors the disk, and its domain goes over to the new one. With
    `source` and `to` a replica goes from one node to another; into another pool it goes with the
    whole disk. The node that is left may be offline, and what it has of the disk stays there
    then. Raises Refused with every reason at once; Failed when it was begun and everything was
    undone.
    """
    if source is not None or to is not None:
        _, known = replica_move.require_movable(host.read(), name, disk, source, to)
        assert source is not None and to is not None
        if pool in (None, known.pool):
            return replica_move.move(host, name, disk, source, to, dry_run)

    def prepare() -> Prepared[DiskMoved]:
        kind, where, there = storage, pool, nodes
        if source is not None or to is not None:
            vm, _ = replica_move.require_movable(host.read(), name, disk, source, to)
            kind, there = "drbd", [vm.node, str(to)]
        vm, old, new = _judged(host, name, disk, kind, where, there)
        pools = placing.new_pools(host.read(), replace(vm, disks=(new,)))
        answer = DiskMoved(
            name=name,
            disk=disk,
            storage=new.storage,
            pool=new.pool,
            nodes=sorted(nodes_of(host.read(), new)),
        )
        away = sorted(set(old.places) - set(host.read().online))
        plan = mirror_plan if host.domains.is_active(name) else move_plan
        return Prepared(plan(vm, old, new, pools, away), answer)

    return host.operate(Subject.vm(name), f"move disk {disk} of {name}", prepare, dry_run)


def _judged(
    host: Host,
    name: str,
    disk: int,
    kind: str | None,
    pool: str | None,
    nodes: list[str] | None,
) -> tuple[Vm, Disk, Disk]:
    """The VM, its disk, and the disk as it will be made; Refused with every problem at once."""
    problems = Problems()
    vm = disks.changeable(host, name, problems)
    old = vm.disk(disk)
    if kind is None and pool is None:
        raise Refused("Where to?", f"mcv disk move {name} {disk} --pool P, or: --storage KIND")
    problems.found += _active(host, vm, old)
    if old.leaving:
        problems.add(f"Disk {disk} of {name} is leaving.", f"See: mcv disk list {name}")
    problems.found += _unusable(host, vm, old)
    cluster = host.read()
    choice = disk_choice.choose(
        cluster,
        host.name,
        kind or _kind_in(cluster, old, pool),
        pool,
        nodes if nodes or kind else _nodes_of(cluster, old, pool),
        problems.found,
    )
    refuse_all(problems.found)
    assert choice is not None
    new = _beside(cluster, vm, old, choice)
    (placed,) = copies.placed_by(host, vm, [new])
    if _same(cluster, old, placed):
        raise Refused(f"Disk {disk} of {name} is there already ({old.storage}, {old.pool}).")
    return vm, old, placed


def _active(host: Host, vm: Vm, disk: Disk) -> list[Refused]:
    """What of a domain that runs forbids the move, or what has a stopped VM's disks open."""
    targets = host.domains.disks.targets(vm.name)
    if targets or host.domains.is_active(vm.name):
        is_mirrored = disk.target in targets and disk.role == "data"
        return [] if is_mirrored else [_no_mirror(vm, disk)]
    try:
        power.require_stopped(host, vm.name)
    except Refused as problem:
        return [problem]
    return []


def _no_mirror(vm: Vm, disk: Disk) -> Refused:
    return Refused(
        f"Disk {disk.id} of {vm.name} is no disk that QEMU can mirror ({disk.role}).",
        f"First: mcv shutdown {vm.name} --wait",
    )


def _unusable(host: Host, vm: Vm, old: Disk) -> list[Refused]:
    """What forbids to read the disk here."""
    problem = storage.of(old).why_not_start(host, vm, False)
    return [problem] if problem else []


def _kind_in(cluster: Cluster, old: Disk, pool: str | None) -> str | None:
    """The kind in another pool where none is named: as it is, where it can lie there."""
    known = cluster.all_pools.get(pool or "")
    if known is None:
        return None
    stays = known.type in disk_choice.ON[cast(disk_choice.Storage, old.storage)]
    return old.storage if stays else disk_choice.OF_POOL[known.type]


def _nodes_of(cluster: Cluster, old: Disk, pool: str | None) -> list[str] | None:
    """The nodes of a replicated disk that stays one; else what is usual."""
    is_drbd = isinstance(old, DrbdDisk) and _kind_in(cluster, old, pool) == "drbd"
    return sorted(old.places) if is_drbd else None


def _beside(cluster: Cluster, vm: Vm, old: Disk, choice: disk_choice.Choice) -> Disk:
    """The new disk: all that a guest sees of it is as it was."""
    new = disk_choice.new_disk(cluster, vm.name, vm.uuid, vm.next_disk, old.size, choice, old.role)
    return replace(
        new,
        size=old.size,
        role=old.role,
        bus=old.bus,
        cache=old.cache,
        discard=old.discard,
        iops=old.iops,
        bandwidth=old.bandwidth,
    )


def _same(cluster: Cluster, old: Disk, new: Disk) -> bool:
    where = [
        (disk.storage, {node: paths.location(cluster, disk, node) for node in cluster.nodes})
        for disk in (old, new)
    ]
    return where[0] == where[1]


def copy(host: Host, name: str, disk: int, to: int) -> None:
    """Copy a disk to the other one that was made for it; a step.

    Both are open for as long as it lasts. Errors: McvError where the copy fails or differs.
    """
    vm = host.both()[-1].vm(name)
    with open_disks.opened(host, vm.disk(disk), vm.disk(to)):
        what = f"disk {disk} of {name} to {vm.disk(to).storage}"
        copy_source.send_here(host, name, disk, to, what)
