"""Which replicas are behind, as marks in etcd say it: `stale/<resource>`, kept by the VM's owner.

The fence-peer handler marks a peer that is lost. A replica that is detached calls no handler, and
its metadata say afterwards that it is UpToDate: so the owner's daemon marks it as soon as it sees
that. A mark goes at the end of the resync, unless it was written anew since it was read.
"""

import logging
import threading
import time

from mcv.document.model import Cluster
from mcv.drbd import handler_file, notes
from mcv.drivers.drbd_status import Status
from mcv.errors import McvError
from mcv.ha import peer_loss, values
from mcv.ha.at_once import at_once
from mcv.ha.env import Txn, Unknown
from mcv.ha.start_env import NodeEnv
from mcv.ha.values import Mark
from mcv.host import Host
from mcv.timestamps import timestamp

log = logging.getLogger(__name__)

FOLLOW = 60  # s for which one stream of events is followed
LOOK = 2.0  # s between two looks where nothing happens
PAUSE = 0.1  # s in which several events come together
TRIES = 5  # of a mark that a renewal of the lease crosses

Marks = dict[str, tuple[Mark, int]]  # by resource: the mark, and the revision that it has

_looking = threading.Lock()


def follow(host: Host) -> None:
    """One round of the daemon's loop: look whenever something happens to a resource."""
    if not host.read().drbd.enabled:
        return
    if not is_armed(host):
        host.observations.behind = {}
        if notes.noted(host.settings.notes, notes.BEHIND):
            look(host)
        return
    until = time.monotonic() + FOLLOW
    with host.drbd.changes.followed(FOLLOW + 5) as watch:
        while time.monotonic() < until and is_armed(host):
            look(host)
            watch.wait(LOOK)
            time.sleep(PAUSE)


def is_armed(host: Host) -> bool:
    """Whether this node's replicas are marked: as soon as mcv-lease is told to begin."""
    return handler_file.is_armed(host, host.read())


def look(host: Host) -> None:
    """Mark what is behind, and take away what is in step; this node's own replicas are noted.

    The marks are read before DRBD is looked at: what is marked anew after that stays.
    """
    with _looking:
        cluster, hash_ = host.consensus.committed()
        env = _env(host, cluster) if handler_file.is_armed(host, cluster) else None
        try:
            marks = {} if env is None else _read(env)[0]
        except Unknown as error:
            log.debug("the marks of stale replicas: %s", error)
            return
        host.observations.behind = {name: in_words(mark) for name, (mark, _) in marks.items()}
        statuses = host.drbd.statuses()
        for vm, disk in cluster.replicated():
            status = statuses.get(disk.resource)
            if host.name not in disk.places or status is None:
                continue
            _note(host, status, behind(status, host.name, disk.other(host.name)), env is not None)
            if env is not None and vm.node == host.name:
                _keep(env, status, disk.other(host.name), marks, hash_)


def read(host: Host) -> Marks:
    """All marks, as a majority has them. Raises Unknown."""
    return read_at(host)[0]


def read_at(host: Host) -> tuple[Marks, int]:
    """All marks, and etcd's revision at which they are all. Raises Unknown."""
    return _read(_env(host, host.read()))


def _read(env: NodeEnv) -> tuple[Marks, int]:
    """A mark that makes no sense is of a node that has no name."""
    answer = at_once(env.txn(Txn(reads=(values.STALE,))))
    found: Marks = {}
    for key, entry in answer.entries.items():
        try:
            mark = values.decode_mark(entry.value)
        except ValueError:
            mark = Mark(node="", by="", why="it cannot be read")
        found[key.removeprefix(values.STALE)] = mark, entry.revision
    return found, answer.revision


def behind(status: Status, me: str, peer: str) -> str:
    """The node whose replica is known to be behind while both are in contact; "" for none.

    Where neither replica is UpToDate nothing tells which of them has more.
    """
    if not status.connected or status.disk.is_up_to_date == status.peer_disk.is_up_to_date:
        return ""
    return peer if status.disk.is_up_to_date else me


def is_in_step(status: Status) -> bool:
    """Whether both replicas hold the same, and no resync is under way or about to begin."""
    is_at_rest = status.replication.is_established or status.is_verifying
    return status.connected and status.both_up_to_date and is_at_rest


def in_words(mark: Mark) -> str:
    since = f" since {mark.since}" if mark.since else ""
    return f"the replica on {mark.node or 'a node'} is behind{since}, {mark.by} says: {mark.why}"


def _env(host: Host, cluster: Cluster) -> NodeEnv:
    assert cluster.store is not None
    return NodeEnv(host.name, host.settings.run, host.keyspace, cluster.store.id)


def _keep(env: NodeEnv, status: Status, peer: str, marks: Marks, head: str) -> None:
    """Mark one resource of this owner, or take its mark away."""
    resource = status.resource
    node = behind(status, env.node, peer)
    known = marks.get(resource)
    try:
        if node and (known is None or known[0].node != node):
            state = status.disk if node == env.node else status.peer_disk
            _mark(env, resource, Mark(node, env.node, timestamp(), f"it is {state}"), head)
        elif known is not None and is_in_step(status):
            outcome = "taken away" if at_once(peer_loss.clear(env, resource, known[1])) else "newer"
            log.info("%s: both replicas are in step, its mark is %s", resource, outcome)
    except Unknown as error:
        log.warning("the mark of %s: %s", resource, error)


def _mark(env: NodeEnv, resource: str, mark: Mark, head: str) -> None:
    for _ in range(TRIES):
        if at_once(peer_loss.mark_behind(env, resource, mark, head)):
            log.warning("%s: %s", resource, in_words(mark))
            return


def _note(host: Host, status: Status, node: str, is_armed: bool) -> None:
    """Note that the replica here is behind, for the time without etcd; until it is in step."""
    directory, resource = host.settings.notes, status.resource
    is_noted = notes.path(directory, resource, notes.BEHIND).exists()
    try:
        if node == host.name and is_armed and not is_noted:
            why = f"it was {status.disk} here, and UpToDate on its peer"
            notes.write(directory, resource, notes.BEHIND, since=timestamp(), why=why)
        elif is_noted and is_in_step(status):
            notes.remove(directory, resource, notes.BEHIND)
    except McvError as error:
        log.warning("the note about %s: %s", resource, error)
