"""Nodes that are offline in the document: when they are switched on, and when they come back."""

from msgspec.structs import replace

from mcv.rules.ha.actions import Admit, Reason, SwitchOn
from mcv.rules.ha.round import Round
from mcv.rules.ha.snapshot import NodeSeen
from mcv.rules.ha.status import NodeState, NodeStatus

Judged = tuple[NodeStatus, Reason]


def judged(this: Round, seen: NodeSeen, was: NodeStatus) -> Judged:
    """A node that runs nothing, as the document says, by evidence or in good order."""
    if was.left and seen.evidence is not None:
        was = replace(was, left="")
    if seen.maintenance:
        rests = f"{seen.name} is in maintenance. Its way back: mcv node restore {seen.name}"
        return _away(this, was, seen), Reason(rests)
    if was.state != "offline":
        this.tell(seen.name, f"{seen.name} is offline{_by(seen)}")
        return _away(this, was, seen), Reason(f"{seen.name} is offline{_by(seen)}")
    if seen.asks:
        return was, _asks(this, seen)
    return _switched_on(this, seen, was)


def _away(this: Round, was: NodeStatus, seen: NodeSeen) -> NodeStatus:
    """It has just gone: what this manager has fenced is to be switched on later."""
    state: NodeState = "maintenance" if seen.maintenance else "offline"
    if was.state == state:
        return was
    is_fenced = was.uid and seen.evidence == "off" and not seen.kept_off
    is_due = is_fenced and this.snapshot.ha.after_fence == "on"
    left = was.left if seen.evidence is None else ""  # in good order, and not as dead
    uid = this.uid() if is_due else ""
    return NodeStatus(state=state, since=this.clock, uid=uid, left=left, last_boot=was.last_boot)


def _by(seen: NodeSeen) -> str:
    said = {"off": "it was switched off", "lease": "its lease has ended", "word": "so it was said"}
    return f": {said[seen.evidence]}" if seen.evidence else ""


def _asks(this: Round, seen: NodeSeen) -> Reason:
    """It may come back where it tells what it runs, and that is nothing."""
    fence = seen.fence
    if fence is not None and fence.outcome == "running":
        return Reason(f"{seen.name} wants to come back, while its fencing goes on")
    if seen.is_empty:
        this.do(Admit(node=seen.name))
        return Reason(f"{seen.name} is there again, runs nothing, and comes back")
    if seen.is_empty is None:
        return Reason(f"{seen.name} wants to come back, and does not tell what it runs")
    runs = f"{seen.name} wants to come back, but something of before runs there"
    return Reason(f"{runs}: it has to end first", True)


def _switched_on(this: Round, seen: NodeSeen, was: NodeStatus) -> Judged:
    """What was fenced is switched on, once all that it ran has been recovered."""
    fence = seen.fence
    is_done = fence is not None and fence.uid == was.uid and fence.outcome in ("on", "failed")
    if seen.kept_off:
        stays = f"{seen.name} is offline{_by(seen)}, and stays off: mcv fence on {seen.name}"
        return replace(was, uid=""), Reason(stays)
    if not was.uid or is_done:
        return replace(was, uid=""), Reason(f"{seen.name} is offline{_by(seen)}")
    if _is_recovering(this, seen):
        return was, Reason(f"{seen.name} is offline{_by(seen)}")
    this.do(SwitchOn(uid=was.uid, node=seen.name))
    return was, Reason(f"{seen.name} is switched on again (after-fence)")


def _is_recovering(this: Round, seen: NodeSeen) -> bool:
    return any(
        each.state == "recovery" and each.node == seen.name
        for each in this.before.services.values()
    )
