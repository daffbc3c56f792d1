"""Replicas that moved away while their node was away: outdated and let go when it is back.

The document gives the disk to two other nodes by then. What lies here is stale, and nothing
tells that from a replica that is in step but the document; so no kernel keeps it, and its
metadata calls it Outdated. The volume stays until an operator has been shown it.
"""

import logging

from mcv.document.model import Cluster
from mcv.document.subject import Subject
from mcv.drbd import replica_moves
from mcv.drivers import drbd_resource_file
from mcv.errors import Busy, CommandFailed, McvError
from mcv.host import Host
from mcv.system import files

log = logging.getLogger(__name__)


def look_after(host: Host) -> None:
    """One round of the daemon's loop: each resource file here of a disk of other nodes."""
    if not host.consensus.in_contact:
        return
    for path in sorted(host.settings.drbd_directory.glob("*.res")):
        try:
            _look_after(host, path.stem)
        except Busy:
            continue
        except (McvError, OSError) as error:
            log.warning("the replica of %s that moved away: %s", path.stem, error)


def _look_after(host: Host, resource: str) -> None:
    name = _moved_away(host, resource)
    if not name:
        return
    with host.hold(Subject.vm(name), f"let go of {resource}", timeout=0):
        if _moved_away(host, resource) != name or not _is_mcvs(host, resource):
            return
        log.info("%s has moved to other nodes: it is outdated here", resource)
        try:
            replica_moves.outdate(host, resource)
        except CommandFailed as error:
            # The volume may be gone, or was never whole: then there is nothing to outdate.
            log.info("%s: %s", resource, error)
        replica_moves.remove(host, name, resource)


def _moved_away(host: Host, resource: str) -> str:
    """The VM whose disk it is on other nodes, by every document, and unclaimed; "" otherwise."""
    names = {_vm_of(cluster, host.name, resource) for cluster in host.both()}
    return names.pop() if len(names) == 1 else ""


def _vm_of(cluster: Cluster, me: str, resource: str) -> str:
    for vm, disk in cluster.replicated():
        if disk.resource == resource:
            is_elsewhere = me not in {*disk.places, *disk.former}
            return vm.name if is_elsewhere and vm.claim is None else ""
    return ""


def _is_mcvs(host: Host, resource: str) -> bool:
    path = files.child(host.settings.drbd_directory, f"{resource}.res")
    return (files.read_or_none(path) or "").startswith(drbd_resource_file.MARK)
