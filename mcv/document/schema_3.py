"""What a document of before schema 3 becomes in it: each volume group is in a pool."""

from collections.abc import Iterator

from msgspec.structs import replace

from mcv.document.disks import Disk, DrbdDisk
from mcv.document.model import Cluster, Vm
from mcv.document.pools import Pool

POOL = "lvm"  # the first pool of volume groups; the others are lvm-2, lvm-3 …


def with_pools(base: Cluster) -> Cluster:
    """The document with a pool for each disk that has none; volumes keep their names.

    Disks are taken in the order of VMs and ids, so every member computes the same.
    """
    for name in sorted(base.vms):
        base, vm = with_pools_of(base, base.vms[name])
        base = base if vm is base.vms[name] else base.with_vm(vm)
    return base


def with_pools_of(base: Cluster, vm: Vm) -> tuple[Cluster, Vm]:
    """The document and the VM with a pool for each of the VM's disks that has none."""
    for disk in vm.disks:
        if isinstance(disk, DrbdDisk) and not disk.pool:
            name, pool = _pool_of(base, disk)
            base = replace(base, pools={**base.pools, name: pool})
            vm = vm.with_disk(replace(disk, pool=name))
    return base, vm


def _pool_of(base: Cluster, disk: Disk) -> tuple[str, Pool]:
    """The first pool that has, or can have, the disk's volume groups; a new one otherwise."""
    for name in _names():
        pool = base.pools.get(name, Pool(type="lvm", nodes={}))
        is_apart = any(pool.nodes.get(node, at) != at for node, at in disk.places.items())
        if pool.type == "lvm" and not is_apart:
            return name, replace(pool, nodes={**pool.nodes, **disk.places})
    raise AssertionError("the names never end")


def _names() -> Iterator[str]:
    yield POOL
    number = 2
    while True:
        yield f"{POOL}-{number}"
        number += 1
