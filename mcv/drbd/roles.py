"""Resources on this node: made, brought up, given and taken; steps of plans, and the boot."""

import contextlib
import logging
import time
from pathlib import Path

from mcv.document.disks import DrbdDisk, group_of
from mcv.document.model import Cluster
from mcv.document.subject import Subject
from mcv.drbd import secret
from mcv.drivers import drbd_resource_file
from mcv.drivers.drbd_resource_file import THIS_HOST
from mcv.drivers.drbd_states import DiskState
from mcv.drivers.drbd_status import Status
from mcv.errors import McvError, NotPermitted, Unreadable
from mcv.host import Host
from mcv.rules import preconditions
from mcv.system import files

log = logging.getLogger(__name__)

BIRTH = 60.0  # seconds that two new replicas have to find each other


def find(host: Host, name: str, disk: int) -> tuple[Cluster, DrbdDisk]:
    cluster = host.both()[-1]
    return cluster, cluster.vm(name).replica(disk)


def create(host: Host, name: str, disk: int) -> None:
    """Write the resource file, make metadata, bring the resource up; harmless when it is."""
    cluster, wanted = find(host, name, disk)
    write_file(host, cluster, wanted)
    status = host.drbd.status(wanted.resource)
    if status is not None and status.disk is DiskState.DISKLESS:
        # What a crash left on the way up, or a start of the daemon before there was metadata.
        host.drbd.down(wanted.resource)
        status = None
    if status is None:
        host.drbd.metadata.create(wanted.resource)
    if status is None or not status.connected:
        host.drbd.up(wanted.resource)


def write_file(host: Host, cluster: Cluster, disk: DrbdDisk) -> bool:
    """Write a resource's file as the document says; whether it said something else.

    A file that cannot be read, or that mcv did not write, is put aside. Raises McvError where
    the document gives the device less than it has here: a file would have DRBD cut it.
    """
    text, where = file_text(host, cluster, disk), _path(host, disk)
    try:
        present, why = files.read_or_none(where), ""
    except Unreadable as error:
        present, why = None, error.message
    if present is not None and not present.startswith(drbd_resource_file.MARK):
        why = f"{where} was not written by mcv."
    if why:
        files.set_aside(where, why)
    if present == text:
        return False
    _require_no_shrinking(host, disk)
    files.write_atomically(where, text)
    return True


def _require_no_shrinking(host: Host, disk: DrbdDisk) -> None:
    status = host.drbd.status(disk.resource) if disk.exact else None
    if status is not None and status.size > disk.size:
        raise McvError(
            f"{disk.resource} has {status.size} bytes on {host.name}, more than the document "
            f"says ({disk.size}): it is left as it is.",
            "See: mcv cluster check",
        )


def has_file(host: Host, cluster: Cluster, disk: DrbdDisk) -> bool:
    """Whether a resource's file says what the document does."""
    with contextlib.suppress(Unreadable):
        return files.read_or_none(_path(host, disk)) == file_text(host, cluster, disk)
    return False


def file_text(host: Host, cluster: Cluster, disk: DrbdDisk) -> str:
    """What a resource's file has to say on this node; it holds the secret."""
    sides = [
        drbd_resource_file.Side(
            hostname=THIS_HOST if node.name == host.name else node.hostname,
            node=node.name,
            address=node.drbd_address,
            disk=disk.backing(node.name),
        )
        for node in (cluster.nodes[name] for name in sorted(disk.places))
    ]
    return drbd_resource_file.resource_text(
        cluster.drbd,
        resource=disk.resource,
        minor=disk.minor,
        port=disk.port,
        sides=sides,
        generation=host.drbd.module.generation(),
        secret=secret.of(host, cluster),
        handler=str(host.settings.drbd_handler),
        state=str(host.settings.state),
        size=disk.size if disk.exact else None,
        armed=cluster.ha.armed,
    )


def is_renewed(host: Host, cluster: Cluster, disk: DrbdDisk) -> bool:
    """Whether a resource's file was written with another secret than the document's."""
    word, text = secret.of(host, cluster), files.read_or_none(_path(host, disk))
    return text is not None and f'shared-secret "{word}";' not in text


def _path(host: Host, disk: DrbdDisk) -> Path:
    return files.child(host.settings.drbd_directory, f"{disk.resource}.res")


def remove(host: Host, name: str, disk: int) -> None:
    """Take the resource down and its file away; harmless when they are gone."""
    _, wanted = find(host, name, disk)
    host.drbd.down(wanted.resource)
    files.remove(_path(host, wanted))
    for path in host.settings.notes.glob(f"{wanted.resource}.*.json"):
        files.remove(path)


def skip_initial_sync(host: Host, name: str, disk: int) -> None:
    """Call two new replicas, both zeroed, equal: no initial sync.

    Raises McvError if they do not find each other, or are not new.
    """
    _, wanted = find(host, name, disk)
    status = _wait_connected(host, wanted.resource)
    if status.both_up_to_date:
        return
    if not (status.disk.is_inconsistent and status.peer_disk.is_inconsistent):
        raise McvError(
            f"{wanted.resource} is no new resource: it is {status.disk} here, "
            f"{status.peer_disk} on the other side."
        )
    host.drbd.metadata.new_current_uuid_clear_bitmap(wanted.resource, wanted.minor)
    until = time.monotonic() + BIRTH
    while time.monotonic() < until:
        seen = host.drbd.status(wanted.resource)
        if seen and seen.both_up_to_date:
            return
        time.sleep(0.2)
    raise McvError(f"{wanted.resource} did not become UpToDate on both sides.")


def _wait_connected(host: Host, resource: str) -> Status:
    until = time.monotonic() + BIRTH
    while time.monotonic() < until:
        status = host.drbd.status(resource)
        if status is not None and status.connected and status.peer_disk is not DiskState.UNKNOWN:
            return status
        time.sleep(0.2)
    raise McvError(
        f"The two replicas of {resource} do not find each other.",
        "Are the DRBD addresses right, and the ports open? See: mcv info",
    )


def require_inactive(host: Host, name: str) -> None:
    """Raises Refused where a domain here, the VM's own or a copy, may hold its disks."""
    active = host.domains.is_active(name)
    preconditions.inactive(name, host.name, active, host.domains.state(name))


def two_primaries(host: Host, name: str) -> None:
    """Let both sides be primary, for the length of a live migration."""
    for disk in host.both()[-1].vm(name).replicated:
        host.drbd.allow_two_primaries(disk.resource)


def one_primary(host: Host, name: str) -> None:
    """Forbid two primaries again, as the files do, and connect what was disconnected over it.

    Raises McvError where two primaries are still allowed afterwards.
    """
    for disk in host.both()[-1].vm(name).replicated:
        host.drbd.adjust(disk.resource)
        if host.drbd.allows_two_primaries(disk.resource):
            raise McvError(f"{disk.resource} still allows two primaries on {host.name}.")


def promote(host: Host, name: str) -> None:
    """Promote all of a VM's disks here; harmless when they are primary."""
    for disk in host.both()[-1].vm(name).replicated:
        host.drbd.promote(disk.resource)


def step_down(host: Host, name: str) -> None:
    """Demote all of a VM's disks here, where no domain has them open; harmless when they are.

    A resource whose I/O is suspended, because its peer went away, cannot be demoted: it is
    taken down and up. Nothing waits for it, since no domain is active here.
    """
    require_inactive(host, name)
    for disk in host.both()[-1].vm(name).replicated:
        status = host.drbd.status(disk.resource)
        if status is not None and status.is_primary and status.is_suspended:
            host.drbd.down(disk.resource)
            host.drbd.up(disk.resource)
        host.drbd.demote(disk.resource)


def accept_stale(host: Host, name: str) -> None:
    """On an operator's word, let an Outdated replica count; one that a crash left down too.

    What its owner wrote meanwhile is not discarded here: if it wrote, and this side is written
    now, that is a split brain when it is back.
    """
    for disk in host.both()[-1].vm(name).replicated:
        status = host.drbd.status(disk.resource)
        if status is None or status.disk.is_outdated:
            host.drbd.clear_outdated(disk.resource, disk.minor, disk.backing(host.name))


def outdate(host: Host, resource: str, sender: str) -> dict[str, str]:
    """For the owner's fence-peer handler: outdate the replica here, unless it is in use.

    Precondition: document and proposal call the sender the owner of the resource's VM. Answers
    the state that the replica is in then; the owner judges it. Errors: NotPermitted.
    """
    for cluster in host.both():
        vm, _ = cluster.by_resource(resource)
        if vm.node != sender:
            raise NotPermitted(f"{resource} is {vm.node}'s to speak for, and not {sender}'s.")
    status = host.drbd.status(resource)
    if status is None:
        return {"disk": "Unconfigured", "role": "Unknown"}
    if not status.is_primary and not status.connected:
        host.drbd.outdate(resource)
        status = host.drbd.status(resource) or status
    return {"disk": status.disk, "role": status.role}


def bring_up(host: Host) -> None:
    """At the daemon's start: load the module, activate the volumes, bring resources up.

    Steps are served meanwhile, so each VM is looked at under its lock.
    """
    cluster = host.read()
    if not cluster.drbd.enabled:
        return
    host.drbd.module.load()
    for name in cluster.vms:
        try:
            with host.hold(Subject.vm(name), "bring its disks up"):
                _bring_up(host, name)
        except McvError as error:
            log.error("bringing up the disks of %s: %s", name, error)


def _renewed_file(host: Host, cluster: Cluster, disk: DrbdDisk) -> bool:
    """Write a resource's file where it says something else; whether it did.

    Without the document's secret, which was renewed while this node was away, the file stays
    as it is until the secret is fetched.
    """
    if _path(host, disk).exists() and not secret.exists(host, cluster.drbd.secret_id):
        return False
    return write_file(host, cluster, disk)


def _bring_up(host: Host, name: str) -> None:
    """Bring the disks of one VM up, as the document has them now.

    What an operation under way has not made yet, or has taken away, is that operation's:
    where a claimed VM's resource has no file here, nothing is made.
    """
    cluster = host.read()
    vm = cluster.vms.get(name)
    for disk in vm.replicated if vm else ():
        if host.name not in disk.places:
            continue
        if vm and vm.claim is not None and not _path(host, disk).exists():
            continue
        try:
            is_new = _renewed_file(host, cluster, disk)
            if host.drbd.status(disk.resource) is None:
                host.volumes.activate(group_of(disk.places[host.name]), disk.volume)
                host.drbd.up(disk.resource)
            elif is_new:
                host.unadjusted.add(disk.resource)
            elif vm and vm.claim is None and host.drbd.allows_two_primaries(disk.resource):
                # What a live migration left open that nobody remembers.
                host.drbd.adjust(disk.resource)
        except McvError as error:
            log.error("bringing up %s of %s: %s", disk.resource, name, error)
