"""What mcvd does by itself about a peer that was lost: suspended I/O, and lost connections.

Nothing here decides whether I/O goes on: that is the fence-peer handler's alone. mcvd has the
kernel ask the handler again once the handler can know more than at the loss.
"""

import logging
import time
from enum import StrEnum, auto
from pathlib import Path
from typing import NamedTuple

from mcv.document.arms import waits_for_shot
from mcv.document.model import Cluster
from mcv.document.subject import Subject
from mcv.drbd import handler_lock, pairs
from mcv.drivers.drbd_status import Status
from mcv.errors import Busy, McvError
from mcv.host import Host
from mcv.rules import split_brain
from mcv.rules.replica_state import ReplicaState
from mcv.system import files

log = logging.getLogger(__name__)

VERDICT = 40.0  # s; a handler that asks its peer until the peer's kernel has noticed the loss
LOOK = 0.25  # s
TELL = 3.0  # s that the peer has to tell how its replica is
LOOSE = "loose"  # a mark in the handlers' directory: mcvd has to connect the resource again


class Step(StrEnum):
    """What helps a resource whose I/O is suspended."""

    WAIT = auto()
    CONNECT = auto()
    ASK_HANDLER = auto()


def look_after(host: Host) -> None:
    """One round of the daemon's loop: each resource of this node that has lost its peer."""
    statuses = host.drbd.statuses() if host.read().drbd.enabled else {}
    in_need = {
        name for name, seen in statuses.items() if seen.waits_for_fencing or seen.is_standalone
    }
    host.lost_peers.keep(lambda key: key.partition(" ")[0] in in_need)
    _drop_marks(host, statuses)
    for vm, disk in () if host.is_leaving else host.read().replicated():
        if host.name in vm.nodes and disk.resource in in_need:
            try:
                _look_after(host, vm.name, disk.id)
            except Busy:
                continue
            except (McvError, OSError) as error:
                log.warning("%s: %s", disk.resource, error)


class Loss(NamedTuple):
    """What the documents say of a resource whose peer was lost."""

    documents: list[Cluster]
    resource: str
    peer: str
    is_ours: bool  # whether this node owns the VM
    vm: str
    goes_on: bool  # whether managed guests go on without the peer (on-fence-failure)

    @property
    def is_declared(self) -> bool:
        """Whether every document calls the peer offline."""
        return all(self.peer not in cluster.online for cluster in self.documents)

    @property
    def waits(self) -> bool:
        """Whether the owner waits for its peer: by a document's policy, or for its shot."""
        if any(waits_for_shot(cluster, self.vm) for cluster in self.documents):
            return not self.goes_on
        return any(cluster.drbd.on_peer_loss == "wait" for cluster in self.documents)

    @property
    def key(self) -> str:
        """What the tries are counted by: once more is known of the peer they begin anew."""
        return f"{self.resource} {'declared' if self.is_declared or self.goes_on else 'expected'}"


def _look_after(host: Host, name: str, disk_id: int) -> None:
    """Help one resource, if it is time to and every document gives its VM to this node alone."""
    loss = _loss(host, name, disk_id)
    if loss is None or not host.lost_peers.is_due(loss.key):
        return
    with host.hold(Subject.vm(name), f"look after {loss.resource}", timeout=0):
        loss = _loss(host, name, disk_id)
        if loss is None or handler_lock.is_held(host.settings.handlers, loss.resource):
            return
        status = host.drbd.status(loss.resource)
        if not loss.is_ours:
            _help_old_owner(host, loss, status)
        elif status is not None and status.waits_for_fencing:
            _help_suspended(host, loss, status)
        elif status is not None and status.is_standalone:
            _help_standalone(host, loss, status)


def _loss(host: Host, name: str, disk_id: int) -> Loss | None:
    """The resource; None unless every document names one owner, and the VM is unclaimed."""
    documents = host.both()
    for cluster in documents:
        vm = cluster.vms.get(name)
        is_free = vm is not None and vm.claim is None
        if vm is None or not is_free or all(disk.id != disk_id for disk in vm.replicated):
            return None
    vm = documents[-1].vm(name)
    if any(cluster.vm(name).node != vm.node for cluster in documents):
        return None
    is_ours = vm.node == host.name
    disk = vm.replica(disk_id)
    peer = disk.other(host.name)
    return Loss(documents, disk.resource, peer, is_ours, name, peer in host.managing.alone)


# Suspended I/O


def _help_suspended(host: Host, loss: Loss, status: Status) -> None:
    answers = not loss.is_declared and _peer_state(host, loss) is not None
    is_first = host.lost_peers.is_first(loss.key)
    step = next_step(status, loss.is_declared, answers, is_first, loss.waits)
    if answers or step is not Step.WAIT:
        host.lost_peers.begin(loss.key)
    if step is Step.CONNECT:
        host.drbd.connect(loss.resource)
    elif step is Step.ASK_HANDLER:
        ask_handler(host, status)


def next_step(
    status: Status, is_declared: bool, answers: bool, is_first: bool, waits: bool
) -> Step:
    """What helps a resource whose I/O waits for the fence-peer handler's verdict.

    `is_declared`: every document calls the peer offline; `answers`: its daemon answers;
    `waits`: a document has the policy on-peer-loss = wait. A peer that answers is connected,
    which needs no verdict; where that did not help by the next look, the handler can have the
    peer outdate its replica now. Of a silent peer the handler knows a verdict if it is offline
    in the documents, or if the policy lets the owner go on alone.
    """
    if answers and status.is_standalone:
        return Step.CONNECT
    if answers:
        return Step.WAIT if is_first else Step.ASK_HANDLER
    return Step.ASK_HANDLER if is_declared or not waits else Step.WAIT


def ask_handler(host: Host, status: Status) -> None:
    """Have the kernel ask the handler again, wait for its verdict, and connect in any case.

    The mark comes first: a daemon that is killed in between leaves a resource StandAlone,
    which the next daemon connects.
    """
    resource = status.resource
    log.info("%s: I/O is suspended: the fence-peer handler is asked again", resource)
    mark(host, resource)
    if status.is_standalone:
        host.drbd.connect(resource)
    try:
        host.drbd.ask_handler_again(resource)
        await_verdict(host, resource)
    finally:
        host.drbd.connect(resource)


def await_verdict(host: Host, resource: str) -> None:
    """Wait until I/O goes on, or a handler has begun and ended; at most VERDICT seconds."""
    until = time.monotonic() + VERDICT
    has_begun = False
    while time.monotonic() < until:
        status = host.drbd.status(resource)
        if status is None or not status.waits_for_fencing:
            log.info("%s: I/O goes on", resource)
            return
        is_at_work = handler_lock.is_held(host.settings.handlers, resource)
        if has_begun and not is_at_work:
            log.info("%s: the handler gives no verdict yet", resource)
            return
        has_begun |= is_at_work
        time.sleep(LOOK)


# Lost connections


def _help_standalone(host: Host, loss: Loss, status: Status) -> None:
    """Connect a replica that nobody has disconnected on purpose.

    A survivor is left StandAlone where both sides were Primary when they met again: it connects
    as soon as the old owner is Primary no more. A resource that was disconnected by hand, its
    peer online all the time, stays so; and a split brain is for an operator to end.
    """
    resource = loss.resource
    there = _peer_state(host, loss)
    has_two_primaries = status.is_primary and there is not None and there.is_primary
    if has_two_primaries or loss.is_declared:
        mark(host, resource)
    host.lost_peers.begin(loss.key)
    if has_two_primaries or not _mark_path(host, resource).exists():
        return
    if there is not None and not _may_meet(host, loss, there):
        return
    log.info("%s: connected again", resource)
    host.drbd.connect(resource)


def _help_old_owner(host: Host, loss: Loss, status: Status | None) -> None:
    """Connect the replica of an old owner that was Primary beside the new owner's, and is no more.

    The side that finds first that both are Primary is left StandAlone, be it this one.
    """
    if status is None or not status.is_standalone:
        return
    if status.is_primary:
        mark(host, loss.resource)
        return
    host.lost_peers.begin(loss.key)
    there = _peer_state(host, loss) if _mark_path(host, loss.resource).exists() else None
    if there is not None and _may_meet(host, loss, there):
        log.info("%s: connected again", loss.resource)
        host.drbd.connect(loss.resource)


def _may_meet(host: Host, loss: Loss, there: ReplicaState) -> bool:
    """Whether two replicas that meet lose nothing of what the owner holds, or this node wrote."""
    here = pairs.sides(host, [loss.resource])[loss.resource]
    states = {host.name: here, loss.peer: there}
    owner = host.name if loss.is_ours else loss.peer
    return not split_brain.of(states) and split_brain.newer(states) in (None, owner)


def _peer_state(host: Host, loss: Loss) -> ReplicaState | None:
    """How the peer's daemon sees its replica; None where it does not tell."""
    if not host.observations.heard_lately(loss.peer):
        return None
    states = pairs.ask(host, [loss.peer], [loss.resource], TELL)
    if loss.peer not in states:
        return None
    return states[loss.peer].get(loss.resource, ReplicaState(resource=loss.resource))


# Marks


def mark(host: Host, resource: str) -> None:
    """Remember, until the next boot, that mcvd has to connect the resource again."""
    path = _mark_path(host, resource)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.touch(mode=0o600)


def _mark_path(host: Host, resource: str) -> Path:
    return files.child(host.settings.handlers, f"{resource}.{LOOSE}")


def _drop_marks(host: Host, statuses: dict[str, Status]) -> None:
    """Drop the marks of resources that are connected, look for their peer, or are gone."""
    for path in host.settings.handlers.glob(f"*.{LOOSE}"):
        status = statuses.get(path.name.removesuffix(f".{LOOSE}"))
        if status is None or not status.is_standalone:
            path.unlink(missing_ok=True)
