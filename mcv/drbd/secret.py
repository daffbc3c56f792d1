"""The secret by which the replicas of the cluster know each other, and its renewal.

The document holds the secret's id, and each node the secret itself in a file under pki/. A
node is removed with the secret in its files, so a removal makes another one: the removing node
hands it to every online member, then the document gets its id, then each node adjusts its
resources. A node that was offline meanwhile fetches the secret when it is back.
"""

import logging
import secrets
from pathlib import Path

from msgspec import Struct

from mcv.document.disks import DrbdDisk
from mcv.document.model import Cluster
from mcv.document.subject import Subject
from mcv.errors import McvError, NotPermitted, Refused
from mcv.host import Host
from mcv.system import files
from mcv.system.answers import decoded

log = logging.getLogger(__name__)

FIRST = "drbd-secret"  # the file of the cluster's first secret, whose id is ""


class Copy(Struct, frozen=True):
    """A secret for another member."""

    secret: str


def new() -> str:
    """A secret; drbdadm takes at most 63 characters."""
    return secrets.token_urlsafe(24)


def file_name(id: str) -> str:
    """The name of a secret's file under pki/."""
    return f"{FIRST}.{id}" if id else FIRST


def _path(host: Host, id: str) -> Path:
    return files.child(host.settings.pki, file_name(id))


def _files(host: Host) -> list[Path]:
    return sorted(host.settings.pki.glob(f"{FIRST}*"))


def exists(host: Host, id: str) -> bool:
    """Whether this node has a secret."""
    return bool(_read(host, id))


def _read(host: Host, id: str) -> str:
    """A secret by its id; "" where this node does not have it."""
    return (files.read_or_none(_path(host, id)) or "").strip()


def _keep(host: Host, id: str, word: str) -> None:
    files.write_atomically(_path(host, id), word + "\n")


def of(host: Host, cluster: Cluster) -> str:
    """The secret of a document. Raises McvError where this node does not have it."""
    word = _read(host, cluster.drbd.secret_id)
    if not word:
        raise McvError(f"{host.name} does not have the DRBD secret.", "mcv cluster check")
    return word


def forget(host: Host) -> None:
    """Remove every secret of a cluster that this node is no member of any more."""
    for path in _files(host):
        files.remove(path)


# From node to node


def take(host: Host, secret: str, id: str = "") -> None:
    """Keep a secret that another member hands over; refused for a secret that is in use."""
    drbd = host.read().drbd
    if drbd.enabled and drbd.secret_id == id and _read(host, id) not in ("", secret):
        raise Refused(f"{host.name} has a DRBD secret that is in use.")
    _keep(host, id, secret)


def hand(host: Host, node: str) -> None:
    """Give a joining node the secret, where DRBD is enabled."""
    cluster = host.read()
    if cluster.drbd.enabled:
        word = of(host, cluster)
        host.call(node, "drbd.take_secret", secret=word, id=cluster.drbd.secret_id)


def give(host: Host, id: str, sender: str) -> Copy:
    """Answer a member that was offline when the secret was renewed.

    Errors: NotPermitted for a node that is no member, or is being added or removed; Refused
    where this node does not have the secret.
    """
    member = host.read().nodes.get(sender)
    if member is None or member.claim is not None:
        raise NotPermitted(f"{sender} is not given the DRBD secret: it is no settled member.")
    word = _read(host, id)
    if not word:
        raise Refused(f"{host.name} does not have that DRBD secret.")
    return Copy(secret=word)


# A step of a removal, on the node that carries it out


def renew(host: Host, node: str, id: str) -> None:
    """Make a secret and hand it to every online member except `node`, which is being removed.

    Harmless where the secret exists already. Nothing uses it until the document has its id.
    Errors: those of a member that does not answer.
    """
    word = _read(host, id)
    if not word:
        word = new()
        _keep(host, id, word)
    for member in host.read().online:
        if member not in (host.name, node):
            host.call(member, "drbd.take_secret", secret=word, id=id)


# On each node, by its loop


def fetch(host: Host) -> bool:
    """Fetch the document's secret where this node has an earlier secret; whether it is here now.

    A node without any secret has lost it, which the check reports: nothing is fetched then.
    """
    cluster = host.read()
    id = cluster.drbd.secret_id
    if exists(host, id) or not _files(host):
        return True
    for member in cluster.online:
        if member == host.name:
            continue
        try:
            answer = host.call(member, "drbd.give_secret", id=id)
            word = decoded(member, "drbd.give_secret", answer, Copy).secret
        except McvError as error:
            log.info("the DRBD secret is not here yet: %s", error)
            continue
        _keep(host, id, word)
        return True
    return False


def remove_former(host: Host) -> None:
    """Remove the files of former secrets, and of secrets made for removals that were undone.

    While a member is claimed a file may be of a removal under way: its secret is handed out
    before the document has its id.
    """
    claimed = any(node.claim for cluster in host.both() for node in cluster.nodes.values())
    current = _path(host, host.read().drbd.secret_id)
    if claimed or not current.exists():
        return
    for path in _files(host):
        if path != current:
            files.remove(path)


def meet_again(host: Host, disk: DrbdDisk) -> None:
    """Have the peer of a replica whose secret was renewed look for it again.

    A connection that lasts asks for no secret. An attempt with two different secrets leaves
    both sides StandAlone, where nothing but a new attempt of both helps.
    """
    status = host.drbd.status(disk.resource)
    if status is None or status.connected:
        return
    for peer in sorted(set(disk.places) - {host.name}):
        try:
            host.call(peer, "drbd.reconnect", resource=disk.resource)
        except McvError as error:
            log.info("%s on %s: %s", disk.resource, peer, error)


def reconnect(host: Host, resource: str, sender: str) -> None:
    """Look for the peer of a StandAlone resource again, which has the cluster's new secret now.

    Precondition: the sender holds the other replica, and no operation has claimed the VM. Data
    is discarded on neither side: two replicas that differ part again.
    """
    for cluster in reversed(host.both()):
        vm, disk = cluster.by_resource(resource)
        if sender not in disk.places:
            raise NotPermitted(f"{sender} holds no replica of {disk.resource}.")
        if vm.claim is not None:
            raise Refused(f"{vm.name} is busy: {vm.claim.why}.")
    with host.hold(Subject.vm(vm.name), f"connect {resource}", timeout=0):
        status = host.drbd.status(resource)
        if status is not None and status.is_standalone:
            host.drbd.connect(resource)
