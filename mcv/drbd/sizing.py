"""Real sizes: DRBD gave a disk of before schema 3 more than the document says.

Such a disk is not `exact`: its resource file names no size, and DRBD takes what the volumes
leave. The guest may have used all of it, so the size of the device goes into the document
before any file, copy or mirror goes by it.
"""

import logging
import secrets

from mcv.document.disks import DrbdDisk
from mcv.document.model import Vm
from mcv.document.subject import Subject
from mcv.errors import Busy, McvError
from mcv.host import Host
from mcv.system.answers import ask_typed
from mcv.system.observations import READ

log = logging.getLogger(__name__)

Sizes = dict[str, int]  # bytes, by resource


def sizes(host: Host) -> Sizes:
    """How large each DRBD device of this node is; without those that have no disk here."""
    return {name: status.size for name, status in host.drbd.statuses().items() if status.size}


def write_real_sizes(host: Host) -> None:
    """Write the real size of each disk of this node's VMs that is not exact into the document.

    Precondition: both nodes of the disk are online and tell the size of its device. A disk of
    which a node tells nothing, or of a VM that is claimed, waits for a later round.
    """
    waiting = _waiting(host)
    if not waiting:
        return
    nodes = {node for _, disk in waiting for node in disk.places} - {host.name}
    seen: dict[str, Sizes] = {host.name: sizes(host)}
    for node, answer in ask_typed(host.call, sorted(nodes), "drbd.sizes", READ, Sizes).items():
        seen[node] = {} if isinstance(answer, McvError) else answer
    for vm, disk in waiting:
        size = real_size(disk, seen)
        if size is not None:
            _write(host, vm, disk, size)


def _waiting(host: Host) -> list[tuple[Vm, DrbdDisk]]:
    """The disks that this node can have sized, if the other node tells of them."""
    cluster = host.read()
    if cluster.schema < 3 or not cluster.drbd.enabled:
        return []
    return [
        (vm, disk)
        for vm, disk in cluster.replicated()
        if vm.node == host.name
        and vm.claim is None
        and not disk.exact
        and all(node in cluster.online for node in disk.places)
    ]


def real_size(disk: DrbdDisk, seen: dict[str, Sizes]) -> int | None:
    """The size of a disk's device, where both nodes tell the same; None where it is not known.

    Two sizes mean replicas that are apart: whichever is taken, one of them would be cut, or
    could not hold it. A device that is smaller than the document says is the check's to tell.
    """
    found = {seen.get(node, {}).get(disk.resource, 0) for node in disk.places}
    size = found.pop()
    return size if not found and size >= disk.size else None


def _write(host: Host, vm: Vm, disk: DrbdDisk, size: int) -> None:
    try:
        with host.hold(Subject.vm(vm.name), "write down how large its disks are", timeout=0):
            host.consensus.propose(
                "disk.sized",
                {"name": vm.name, "disk": disk.id, "size": size},
                id=secrets.token_hex(4),
                who="mcvd",
                why=f"disk {disk.id} of {vm.name} has {size} bytes",
            )
    except Busy:
        log.debug("%s is busy, its disks are sized later", vm.name)
    except McvError as error:
        log.warning("the size of disk %d of %s: %s", disk.id, vm.name, error)
