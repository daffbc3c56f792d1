"""Going away: in good order with the host, or for good after having been removed."""

import logging
import threading

from msgspec import Struct

from mcv import storage
from mcv.cluster import joining
from mcv.document.disks import Disk, DrbdDisk
from mcv.document.model import Vm
from mcv.document.subject import Subject
from mcv.errors import McvError, NotPermitted, Refused, RepairNeeded
from mcv.host import DryRun, Host
from mcv.service import endings
from mcv.storage import drbd

log = logging.getLogger(__name__)

PATIENCE = 10.0  # seconds that the others have to agree to this node's leaving


class Left(Struct, frozen=True, kw_only=True):
    """A node that is blank now, and the volumes with data that it keeps."""

    node: str
    kept: list[str]


def leave_in_order(host: Host) -> bool:
    """Go offline in the document as the host shuts down; whether that worked.

    Only after the last domain and the last service have ended, and not while an operation of this
    node is under way. From here on nothing is started, and services are ended. The Secondaries
    are disconnected first, so that those whose peer writes on are known to be outdated. If the
    others do not agree within ten seconds the node goes down as online.
    """
    host.is_leaving = True
    services = endings.end_all(host)
    cluster = host.read()
    if cluster.online == [host.name] or host.name not in cluster.online:
        return False
    try:
        ours = sorted([*_active(host), *services])
    except McvError as error:
        log.warning("leaving: %s", error)
        return False
    if ours or host.jobs.under_way():
        log.warning("going down as online: %s", ", ".join(ours) or "an operation is under way")
        return False
    _disconnect_secondaries(host)
    left = threading.Event()

    def ask() -> None:
        try:
            host.update("node.offline", f"{host.name} shuts down", name=host.name)
            left.set()
        except McvError as error:
            log.warning("going down as online: %s", error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return left.is_set()


def _active(host: Host) -> list[str]:
    """The VMs whose domains are active here; other people's guests are no concern of mcv's."""
    return [name for name in host.domains.states().vms if host.domains.is_active(name)]


def _disconnect_secondaries(host: Host) -> None:
    try:
        drbd.disconnect_secondaries(host)
    except McvError as error:
        log.warning("disconnecting before leaving: %s", error)


# For good: a member that was removed while it was away.


def holdings(host: Host) -> list[str]:
    """What a removed node still holds, a line each, for a human to see before it is let go."""
    cluster = host.read()
    definitions = sorted(host.domains.definitions().items())
    found = [f"domain {name}: {definition.state}" for name, definition in definitions]
    for vm, disk in cluster.disks():
        if host.name in disk.places:
            found.append(f"{_held(vm, disk)}: {storage.volume_path(cluster, disk, host.name)}")
    return found


def _held(vm: Vm, disk: Disk) -> str:
    return f"a replica of {vm.name}" if isinstance(disk, DrbdDisk) else f"a disk of {vm.name}"


def leave(host: Host, dry_run: bool = False) -> Left | DryRun:
    """Make a node blank that was removed while it was away.

    Its domains are undefined and its resources taken down; volumes with data stay where
    they are and are named. Refused while something runs, or while it is a member still.
    """
    held = holdings(host)
    if joining.is_blank(host):
        raise Refused(f"{host.name} is blank already.")
    if not host.consensus.rejected_by:
        raise Refused(
            f"No member says that {host.name} was removed.",
            f"On another node: mcv cluster remove-node --node {host.name}",
        )
    ours = sorted(_active(host))
    if ours:
        vm = host.read().vms.get(ours[0])
        where = "" if vm is not None and vm.node == host.name else f" --on {host.name}"
        raise Refused(f"{', '.join(ours)} still runs here.", f"mcv stop {ours[0]}{where}")
    if dry_run:
        return DryRun(plan=held)
    cluster = host.read()
    paths = [storage.volume_path(cluster, disk, host.name) for _, disk in cluster.disks()]
    try:
        _let_go(host)
    except (McvError, OSError) as error:
        raise RepairNeeded(
            f"{host.name} is not blank yet: {error}", "When that is mended: mcv cluster leave"
        ) from error
    return Left(node=host.name, kept=[path for path in paths if path])


def _let_go(host: Host) -> None:
    """Undefine the domains, take the resources down, then be blank; what is done is kept so.

    Each step is harmless where it was made before: after an error it is all carried out again.
    """
    for name in host.domains.states().vms:
        host.domains.undefine(name)
    for _, disk in host.read().disks():
        if host.name in disk.places:
            storage.of(disk).forget(host)
    joining.blank(host)


def blank_for(host: Host, sender: str) -> joining.OnNode:
    """Make this node blank for the member that removes it, or whose join failed.

    Precondition: the sender's claim on this node is known here, unless there is nothing to
    lose. Errors: NotPermitted.
    """
    is_member = host.name in host.read().nodes
    claims = [cluster.claim_of(Subject.node(host.name)) for cluster in host.both()]
    is_claimed = any(claim is not None and claim.node == sender for claim in claims)
    if is_member and not joining.is_blank(host) and not is_claimed:
        raise NotPermitted(f"{sender} has no claim on {host.name}.")
    return joining.blank(host)
