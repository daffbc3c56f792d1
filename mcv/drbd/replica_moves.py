"""A replica that moves to another node: steps of its plan, on each of the three nodes.

DRBD 8.4 connects two nodes. So the owner parts from the peer that is left, whose replica is
outdated and stays on its volume, and connects to the new peer on another port: a node that
comes back with the old configuration reaches nobody.
"""

from collections.abc import Iterator

from mcv.document.disks import DrbdDisk, group_of
from mcv.document.model import Vm
from mcv.drbd import lost_peers, notes, roles, verify
from mcv.errors import CommandFailed, McvError, Refused
from mcv.host import Host
from mcv.rules import replica
from mcv.rules.replica_pair import disk_of
from mcv.system import files


def why_not_leave(host: Host, vm: Vm, disk: DrbdDisk, source: str) -> Iterator[Refused]:
    """What forbids that a replica leaves `source`: the owner's has to be all that is needed.

    Where `source` is online its replica has to be connected: what it may have written alone is
    for a resync, or for the end of a split brain, to decide about.
    """
    what, is_online = disk_of(vm, disk), source in host.read().online
    status = host.drbd.status(disk.resource)
    if status is None:
        yield Refused(f"{disk.resource} is not up on {host.name}.", f"Try: mcv register {vm.name}")
        return
    is_noted = disk.resource in notes.blocked(host.settings.notes)
    if is_online and (disk.blocked or is_noted):
        yield replica.verify_problem(vm)
    if not (status.up_to_date or (status.disk.is_promotable and not is_online)):
        yield Refused(
            f"The replica of {what} on {host.name} is {status.disk}: it cannot be left alone.",
            f"First: mcv resync {vm.name} --source {source}",
        )
    if status.is_working:
        yield Refused(
            f"{disk.resource} is {status.replication}.", "Wait for its end, see: mcv drbd list"
        )
    if is_online and not status.connected:
        yield Refused(
            f"The replicas of {what} are not connected ({status.connection}).",
            f"Join them: mcv resync {vm.name} --source {host.name}; or, where {source} is down: "
            f"mcv node offline {source} --confirm-dead",
        )


# On the owner


def part(host: Host, name: str, disk: int) -> None:
    """Part from the peer, and begin a generation of data that the peer does not have.

    Precondition: the owner's replica is UpToDate. Effect: the resource is StandAlone; a peer
    that was connected to a Primary is Outdated. Whatever is written from now on is of a
    generation that the former peer never had, so DRBD cannot take both for equal later.
    """
    _, wanted = roles.find(host, name, disk)
    _leave(host, wanted)
    host.drbd.metadata.new_current_uuid(wanted.resource, wanted.minor)


def leave(host: Host, name: str, disk: int) -> None:
    """Part from the peer; harmless where there is none."""
    _, wanted = roles.find(host, name, disk)
    if host.drbd.status(wanted.resource) is not None:
        _leave(host, wanted)


def _leave(host: Host, disk: DrbdDisk) -> None:
    """Effect: the resource is StandAlone. A Primary outdates a peer that is connected.

    A Primary that does not know how its peer's replica is does not disconnect but by force, and
    the kernel then calls the fence-peer handler.
    """
    try:
        host.drbd.disconnect(disk.resource)
    except CommandFailed:
        now = host.drbd.status(disk.resource)
        if now is None or now.connected:
            raise
        host.drbd.ask_handler_again(disk.resource)
    status = host.drbd.status(disk.resource)
    if status is not None and status.waits_for_fencing:
        lost_peers.await_verdict(host, disk.resource)


def join(host: Host, name: str, disk: int) -> None:
    """Look for the peer that the document names; harmless where it is looked for, or found."""
    cluster, wanted = roles.find(host, name, disk)
    is_new = roles.write_file(host, cluster, wanted)
    status = host.drbd.status(wanted.resource)
    if status is None:
        host.volumes.activate(group_of(wanted.places[host.name]), wanted.volume)
        host.drbd.up(wanted.resource)
    elif is_new or status.is_standalone:
        _leave(host, wanted)
        host.drbd.adjust(wanted.resource)


def rejoin(host: Host, name: str, disk: int) -> None:
    """Look for the former peer again; a way back.

    A former peer that is away may come back when blocks have been sent to the new one, and the
    bitmap does not tell any more what the former one lacks: it gets all of them.
    """
    cluster, wanted = roles.find(host, name, disk)
    peer, status = wanted.other(host.name), host.drbd.status(wanted.resource)
    if peer not in cluster.nodes:
        return
    if status is not None and status.is_standalone and peer not in cluster.online:
        _call_peer_inconsistent(host, wanted)
    join(host, name, disk)


def _call_peer_inconsistent(host: Host, disk: DrbdDisk) -> None:
    """Have the peer get all blocks when it is back. The resource is StandAlone, and Primary."""
    status = host.drbd.status(disk.resource)
    was_primary = status is not None and status.is_primary
    if not was_primary:
        host.drbd.promote(disk.resource)
    try:
        host.drbd.invalidate_remote(disk.resource)
    finally:
        if not was_primary:
            host.drbd.demote(disk.resource)


def check(host: Host, name: str, disk: int) -> None:
    """Verify the new replica. Errors: McvError unless the verification ends and is clean."""
    vm = host.both()[-1].vm(name)
    wanted = vm.replica(disk)
    result = verify.verify_disk(host, vm, wanted)
    if result.result != "clean":
        raise McvError(
            f"The new replica of {disk_of(vm, wanted)} is not proved: its verification is "
            f"{result.result}.",
            f"See: mcv drbd list, mcv info {name}",
        )


# On the node that is left


def retire(host: Host, name: str, disk: int) -> None:
    """Outdate the replica here, and look for no peer: it is kept as it is.

    Precondition: the owner has parted from it. Errors: McvError where it is Primary.
    """
    _, wanted = roles.find(host, name, disk)
    outdate(host, wanted.resource)


def outdate(host: Host, resource: str) -> None:
    """Disconnect and outdate a replica that is not to be used any more; harmless when it is.

    Errors: McvError where it is Primary: something may write to it.
    """
    status = host.drbd.status(resource)
    if status is not None and status.is_primary:
        raise McvError(f"{resource} is Primary on {host.name}: it is in use.")
    if status is not None:
        host.drbd.disconnect(resource)
    if status is None or status.disk.is_promotable:
        host.drbd.outdate(resource)


def take_back(host: Host, name: str, disk: int) -> None:
    """Be the owner's peer again; the way back of `retire`.

    With its owner online the replica begins with new metadata, and gets all blocks: what was
    written meanwhile is known to no bitmap. With its owner offline it stays as it is, Outdated.
    """
    cluster, wanted = roles.find(host, name, disk)
    owners = {known.vm(name).node for known in host.both()}
    roles.write_file(host, cluster, wanted)
    status = host.drbd.status(wanted.resource)
    if status is not None and status.connected:
        return
    host.volumes.activate(group_of(wanted.places[host.name]), wanted.volume)
    if all(owners <= set(known.online) for known in host.both()):
        host.drbd.down(wanted.resource)
        host.drbd.metadata.create(wanted.resource)
    host.drbd.up(wanted.resource)


def remove(host: Host, name: str, resource: str) -> None:
    """Take a replica that has moved away out of the kernel, with its file; its volume stays.

    Errors: Refused while document or proposal give the disk to this node; McvError where the
    replica is Primary.
    """
    if _is_a_place(host, resource):
        raise Refused(f"{resource} is a disk of {name} on {host.name}.")
    status = host.drbd.status(resource)
    if status is not None and status.is_primary:
        raise McvError(f"{resource} is Primary on {host.name}: it is in use.")
    host.drbd.down(resource)
    files.remove(files.child(host.settings.drbd_directory, f"{resource}.res"))
    for path in host.settings.notes.glob(f"{resource}.*.json"):
        files.remove(path)


def _is_a_place(host: Host, resource: str) -> bool:
    return any(
        disk.resource == resource and host.name in disk.places
        for cluster in host.both()
        for _, disk in cluster.replicated()
    )
