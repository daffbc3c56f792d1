"""A running service that moves: away from a node that drains, and back to a better one."""

from msgspec.structs import replace

from mcv.rules.ha.actions import Migrate, Reason, Relocate
from mcv.rules.ha.domains import Candidate, rank
from mcv.rules.ha.pending import Judged, because, begun, may_return
from mcv.rules.ha.round import Round
from mcv.rules.ha.snapshot import ServiceSeen
from mcv.rules.ha.status import ServiceStatus

STABLE = 60.0  # s for which a better node has to be online


def away(this: Round, seen: ServiceSeen, was: ServiceStatus) -> Judged | None:
    """Leave a node that drains: live, and only where that is allowed with a stop."""
    node = this.snapshot.nodes[seen.node]
    if this.nodes[seen.node].state != "draining":
        return None
    if node.claim is not None and not node.claim.mine:
        return was, Reason(f"{seen.node} is drained: {node.claim.why or node.claim.operation}")
    if this.clock < was.again:
        return was, Reason(f"it could not leave {seen.node}{because(was)}, and tries again", True)
    if not (seen.live or seen.kind == "service" or node.shuts_down or node.leaving):
        way = f"mcv node drain {seen.node} --shutdown"
        return was, Reason(f"it cannot leave {seen.node} live. With a stop: {way}", True)
    return _leaves(this, seen, was)


def of_stopped(this: Round, seen: ServiceSeen, was: ServiceStatus) -> Judged:
    """It ended, or never ran, on a node that is left: it goes elsewhere and starts there."""
    node = this.snapshot.nodes[seen.node]
    if node.leaving == "failover":
        return was, Reason(f"{seen.node} is shutting down: it is recovered once that is offline")
    if node.claim is not None and not node.claim.mine:
        return was, Reason(f"{seen.node} is drained: {node.claim.why or node.claim.operation}")
    if this.clock < was.again:
        return was, Reason(f"it could not leave {seen.node}{because(was)}, and tries again", True)
    return _leaves(this, seen, was)


def _leaves(this: Round, seen: ServiceSeen, was: ServiceStatus) -> Judged:
    others = [each for each in this.places.candidates(seen) if each.node != seen.node]
    best = rank(others)
    if not best:
        lacks = "; ".join(f"{each.node}: {each.lacks}" for each in others) or "there is no other"
        return was, Reason(f"{seen.node} is draining, but no node can run it: {lacks}", True)
    was = replace(was, drained_from=was.drained_from or seen.node)
    return _to(this, seen, was, best[0], f"{seen.node} is draining")


def back(this: Round, seen: ServiceSeen, was: ServiceStatus) -> Judged | None:
    """Go to a better place: the node that a drain moved it from, or a better one of its domain."""
    drained = was.drained_from
    is_settled = drained == seen.node or seen.home not in ("", drained)
    if drained and (is_settled or drained not in this.snapshot.nodes):
        return _settled(this, seen, was)
    is_movable = seen.live or seen.kind == "service"
    if not is_movable or not (drained or this.places.has_choice(seen)):
        return None
    if not may_return(this, was):
        return None
    if drained and drained not in was.tried and this.places.is_ok(seen, drained):
        key = this.places.key(seen, drained)
        if key.place <= this.places.key(seen, seen.node).place:
            return _to(this, seen, was, Candidate(drained, "", key), f"{drained} is back")
    return _better(this, seen, was)


def _settled(this: Round, seen: ServiceSeen, was: ServiceStatus) -> Judged | None:
    was = replace(was, drained_from="")
    return back(this, seen, was) or (was, Reason(f"it runs on {seen.node}"))


def _better(this: Round, seen: ServiceSeen, was: ServiceStatus) -> Judged | None:
    """A node of a better class, or one where its ties hold, that has been online for a while."""
    is_outside = this.places.is_outside(seen, seen.node)
    allowed = seen.entry.failback and this.places.domain(seen).failback
    if not (allowed or is_outside):
        return None
    place = this.places.key(seen, seen.node).place
    better = [
        each
        for each in rank(this.places.candidates(seen))
        if (is_outside or each.key.place < place) and _is_stable(this, was, seen, each.node)
    ]
    if not better:
        return None
    return _to(this, seen, was, better[0], f"{better[0].node} is a better place")


def _is_stable(this: Round, was: ServiceStatus, seen: ServiceSeen, node: str) -> bool:
    is_other = node != seen.node and node not in was.tried
    return is_other and this.clock - this.nodes[node].since >= STABLE


def _to(this: Round, seen: ServiceSeen, was: ServiceStatus, best: Candidate, why: str) -> Judged:
    """Live where that is possible, else by a stop."""
    target = best.node
    this.places.put(seen, target)
    uid = this.uid()
    is_live = seen.live and seen.node in seen.runs
    if is_live:
        live = Migrate(uid=uid, service=seen.name, node=seen.node, target=target)
        return begun(this, was, "migrating", live), Reason(f"{why}: it migrates to {target}")
    move = Relocate(uid=uid, service=seen.name, node=seen.node, target=target)
    return begun(this, was, "migrating", move), Reason(f"{why}: it goes to {target}")
