"""The table of nodes: which are there, which are suspect, and when one counts as dead.

A node is declared by evidence alone: its device said off, and off again when it was asked apart,
or its lease stayed unchanged for T under a watchdog that proves something. Either counts for one
revision of the lease: whoever renews it lives.
"""

from msgspec.structs import replace

from mcv import printable
from mcv.rules.ha import away, fencing
from mcv.rules.ha.actions import Ask, Declare, Maintain, Reason
from mcv.rules.ha.round import Round
from mcv.rules.ha.snapshot import NodeSeen
from mcv.rules.ha.status import NodeState, NodeStatus

THERE: tuple[NodeState, ...] = ("online", "draining")


def step(this: Round, seen: NodeSeen) -> None:
    """Judge one node; its state, its reason and what is done about it go into the round."""
    was = this.before.nodes.get(seen.name)
    was = was or NodeStatus(state=_unarmed(seen), since=this.clock)
    status, this.node_reasons[seen.name] = _judged(this, seen, was)
    if seen.boot and status.state in THERE:
        if was.last_boot not in ("", seen.boot):
            this.rebooted.add(seen.name)
        status = replace(status, last_boot=seen.boot)
    this.nodes[seen.name] = status


def _judged(this: Round, seen: NodeSeen, was: NodeStatus) -> tuple[NodeStatus, Reason]:
    if not this.snapshot.ha.armed:
        return became(this, was, _unarmed(seen)), Reason("high availability is not armed")
    if seen.status == "offline":
        return away.judged(this, seen, was)
    if seen.name == this.snapshot.manager:
        return _present(this, seen, was)
    if was.left == "freeze" and seen.lease is None and this.snapshot.leases:
        waits = f"{seen.name} was shut down, and what it runs waits for it (on-shutdown)"
        return became(this, was, "offline"), Reason(waits)
    if seen.switched and not is_there(this, seen, was):
        waits = f"{seen.name} is let be while an operator switches its power: {seen.switched}"
        return suspected(this, seen, was), Reason(waits)
    if fencing.is_wrong_plug(seen, was):
        return fencing.distrusted(this, seen, was)
    if this.snapshot.leases and seen.lease is None:
        return _gave_back(this, seen, was)
    if fencing.is_told_off(seen, was):
        return fencing.after_off(this, seen, was)
    if (doubted := fencing.in_doubt(this, seen, was)) is not None:
        return doubted
    if is_there(this, seen, was):
        return _present(this, seen, was)
    return _silent(this, seen, was)


def _unarmed(seen: NodeSeen) -> NodeState:
    if seen.status == "offline":
        return "maintenance" if seen.maintenance else "offline"
    return "draining" if seen.draining else "online"


def became(this: Round, was: NodeStatus, state: NodeState) -> NodeStatus:
    """The status with another state, since now; unchanged where it has that state already."""
    return was if was.state == state else replace(was, state=state, since=this.clock)


def is_there(this: Round, seen: NodeSeen, was: NodeStatus) -> bool:
    """Whether the node lives: its lease moves, or, where there are none, it answers."""
    if not this.snapshot.leases:
        return seen.silence < this.snapshot.suspicion
    if seen.lease is None or seen.lease.age >= this.snapshot.suspicion:
        return False
    return (
        was.state in THERE
        or was.state in ("offline", "maintenance")
        or (seen.lease.revision != was.lease)
    )


def _present(this: Round, seen: NodeSeen, was: NodeStatus) -> tuple[NodeStatus, Reason]:
    """A node that lives: online, or draining; a fencing that was begun may still come."""
    found = fencing.not_over(seen, was)
    if found is not None:
        return found
    was = fencing.forgotten(this, seen, was)
    if seen.leaving == "freeze":
        return replace(became(this, was, "online"), left="freeze"), Reason(
            f"{seen.name} is shutting down, and what it runs waits for it (on-shutdown)"
        )
    if seen.told:  # a daemon that has ended in a shutdown tells nothing any more
        was = replace(was, left="")
    if fencing.is_demanded(this, seen):
        return fencing.demanded(this, seen, was)
    if seen.draining or seen.leaving == "migrate":
        return became(this, was, "draining"), _drains(this, seen)
    if seen.leaving == "failover":
        return became(this, was, "online"), Reason(f"{seen.name} is shutting down")
    return became(this, was, "online"), Reason(f"{seen.name} is online")


def _gave_back(this: Round, seen: NodeSeen, was: NodeStatus) -> tuple[NodeStatus, Reason]:
    """Its lease is gone: a node gives it back as it shuts down, once it runs nothing."""
    was = became(this, was, "suspect")
    if is_in_grace(this, seen):
        return was, _grace(this, seen)
    if seen.is_empty is False:
        return was, Reason(f"{seen.name} has no lease, and something runs there", True)
    this.do(Declare(node=seen.name, evidence="lease", lease=0))
    why = f"{seen.name} has shut down, and given its lease back: it is declared offline"
    return was, Reason(why)


def _drains(this: Round, seen: NodeSeen) -> Reason:
    """A node that is empty is offline for maintenance next, unless an operation says that."""
    if seen.claim is not None and not seen.claim.mine:
        return Reason(f"{seen.name} is draining: {seen.claim.why or seen.claim.operation}")
    owned = sorted(name for name, each in this.snapshot.services.items() if each.node == seen.name)
    if not seen.draining:
        left = f": {_still(owned)}" if owned else ""
        return Reason(f"{seen.name} is shutting down{left}")
    if not owned and seen.is_empty:
        this.do(Maintain(node=seen.name))
        return Reason(f"{seen.name} is draining, and empty: it goes into maintenance")
    left = _still(owned) if owned else "something still runs there"
    return Reason(f"{seen.name} is draining: {left}")


def _still(owned: list[str]) -> str:
    return f"{printable.names(owned)} {'is' if len(owned) == 1 else 'are'} still there"


def _silent(this: Round, seen: NodeSeen, was: NodeStatus) -> tuple[NodeStatus, Reason]:
    """A node whose lease does not move: suspect, and more where there is reason."""
    was = suspected(this, seen, was)
    if is_in_grace(this, seen):
        return became(this, was, "suspect"), _grace(this, seen)
    this.do(Ask(node=seen.name))
    return fencing.about(this, seen, was)


def suspected(this: Round, seen: NodeSeen, was: NodeStatus) -> NodeStatus:
    """The status of a node whose lease does not move, with the revision that is looked at."""
    if was.state not in ("suspect", "fencing", "fence-failed"):
        return replace(
            became(this, was, "suspect"),
            lease=_revision(seen),
            boot=seen.lease.boot if seen.lease else "",
            uid="",
            tries=0,
            again=0.0,
            doubt="",
        )
    if not was.uid and seen.lease and seen.lease.revision != was.lease:
        # It has moved, and then not again for D: suspect anew. A fencing counts for its own.
        return replace(was, since=this.clock, lease=seen.lease.revision, boot=seen.lease.boot)
    return was


def is_in_grace(this: Round, seen: NodeSeen) -> bool:
    """Whether the node was never seen, and all may be starting after a power cut."""
    was_seen = seen.renewed if this.snapshot.leases else seen.contact
    return not was_seen and this.snapshot.watched < this.snapshot.ha.start_grace


def why_waited_for(this: Round, seen: NodeSeen) -> str:
    """Why a node that is offline is waited for: all may have been switched off; "" for no reason.

    A node that was declared is not, and one in maintenance does not come back by itself.
    """
    is_in_order = seen.evidence is None and not seen.maintenance
    if not (is_in_order and is_in_grace(this, seen)):
        return ""
    left = f"{seen.name} was shut down in good order. {_grace(this, seen).text}"
    return f"{left}. At once: mcv evacuate {seen.name}"


def _grace(this: Round, seen: NodeSeen) -> Reason:
    left = this.snapshot.ha.start_grace - this.snapshot.watched
    never = f"{seen.name} was not seen since {this.snapshot.manager} looks for it"
    return Reason(f"{never}; {left:.0f} s are left to it")


def _revision(seen: NodeSeen) -> int:
    return seen.lease.revision if seen.lease else 0
