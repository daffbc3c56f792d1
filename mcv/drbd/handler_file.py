"""The small file that the fence-peer handler decides by, kept as the document is."""

import logging
import threading

from mcv.document import etcd_voters
from mcv.document.arms import is_pair, waits_for_shot
from mcv.document.model import Cluster, Vm
from mcv.errors import Unreadable
from mcv.etcd.keys import ClusterKeys
from mcv.ha import armed, handler_facts
from mcv.ha.handler_facts import HandlerFacts, Resource
from mcv.ha.plain_etcd import Voter
from mcv.host import Host
from mcv.system import files

log = logging.getLogger(__name__)

_writing = threading.Lock()


def write(host: Host) -> None:
    """Bring the file in line with the committed document; gone where that arms nothing.

    It is there as long as the document lies in etcd, and on two nodes that are armed.

    Raises SystemFailed. Until it is written the handler waits: it sees that the file is old.
    """
    with _writing:  # the last one that writes has read the newest document
        _write(host)


def _write(host: Host) -> None:
    cluster, hash_ = host.consensus.committed()
    path = files.child(host.settings.state, handler_facts.FILE)
    if cluster.store is None and not is_pair(cluster):
        files.remove(path)
        return
    text = handler_facts.text_of(of(host, cluster, hash_))
    try:
        present = files.read_or_none(path)
    except Unreadable:
        present = None
    if present != text:
        files.write_atomically(path, text)


def is_armed(host: Host, cluster: Cluster) -> bool:
    """Whether what stands alone is marked on this node.

    It is from the moment on at which mcv-lease is told to begin: arming inherits nothing unmarked.
    """
    is_told = cluster.ha.armed or (host.settings.run / armed.FILE).exists()
    return cluster.store is not None and is_told


def of(host: Host, cluster: Cluster, hash_: str) -> HandlerFacts:
    """What the handler has to know of a document that lies in etcd, or arms two nodes."""
    settings, me, store = host.settings, host.name, cluster.store
    return HandlerFacts(
        node=me,
        is_armed=is_armed(host, cluster) or is_pair(cluster),
        is_online=me in cluster.online,
        waits=cluster.drbd.on_peer_loss == "wait",
        head=hash_,
        prefix=ClusterKeys(store.id).prefix.decode() if store is not None else "",
        certificate=str(host.lease.certificate),
        key=str(host.lease.key),
        run=str(settings.run),
        port=settings.port,
        voters=_voters(host, cluster) if store is not None else (),
        addresses={name: node.ip_address for name, node in cluster.nodes.items()},
        resources={
            disk.resource: _resource(cluster, vm, disk.other(me))
            for vm, disk in cluster.replicated()
            if me in disk.places
        },
        is_pair=is_pair(cluster),
        alone=tuple(sorted(host.managing.alone)),
    )


def _voters(host: Host, cluster: Cluster) -> tuple[Voter, ...]:
    """This node's own first."""
    voters = etcd_voters.voters(cluster)
    voters.sort(key=lambda voter: voter.name != host.name)
    port = host.settings.etcd_port
    return tuple(Voter(each.name, each.address, port, each.certificate) for each in voters)


def _resource(cluster: Cluster, vm: Vm, peer: str) -> Resource:
    return Resource(
        owner=vm.node,
        peer=peer,
        peer_is_offline=peer not in cluster.online,
        is_managed=waits_for_shot(cluster, vm.name),
    )
