"""The change of which nodes hold the replicas of a disk."""

from typing import Any

import msgspec
from msgspec.structs import replace

from mcv.document.generation import ChangeMade
from mcv.document.model import Cluster
from mcv.document.pool_changes import with_pool_on
from mcv.document.pools import Pool
from mcv.document.registry import change, require_claim
from mcv.document.vm_nodes import placed
from mcv.errors import Busy


@change("disk.replicas")
def disk_replicas(
    base: Cluster,
    made: ChangeMade,
    /,
    name: str,
    disk: int,
    places: dict[str, str],
    port: int,
    former: dict[str, str] | None = None,
    former_port: int = 0,
    pools: dict[str, Any] | None = None,
) -> Cluster:
    """Say where the two replicas of a disk are, and which one is being replaced (`former`).

    Precondition: the operation claims the VM. `pools` are those that the document lacks, or
    lacks nodes of. Effect: the VM may run where all its disks are. Errors: Refused where the
    owner would hold no replica, or where a node that gets one is no member; Busy where the port
    was taken meanwhile.
    """
    vm = require_claim(base, made, name)
    known = vm.replica(disk)
    for node in places.keys() - {*known.places, *known.former}:
        base.node(node)
    for pool, entry in (pools or {}).items():
        base = with_pool_on(base, pool, msgspec.convert(entry, Pool))
    new = replace(
        known, places=places, port=port, former=dict(former or {}), former_port=former_port
    )
    for other, present in base.disks():
        is_itself = other.name == name and present.id == disk
        if not is_itself and (clash := new.clash(present)):
            raise Busy(f"{clash} has been taken meanwhile.")
    return base.with_vm(placed(base, vm.with_disk(new)))
