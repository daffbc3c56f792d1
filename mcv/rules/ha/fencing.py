"""When a silent node is switched off, and what that proves."""

from msgspec.structs import replace

from mcv.document.availability import EvidenceKind
from mcv.rules.ha.actions import Declare, Distrust, Fence, GoOn, Reason
from mcv.rules.ha.round import Round
from mcv.rules.ha.snapshot import NodeSeen
from mcv.rules.ha.status import NodeState, NodeStatus

FIRST_PAUSE = 5.0  # s until a fencing that failed is tried again, doubled each time
LONGEST_PAUSE = 60.0  # s
NO_LEASE = 3  # times D: T where there are no leases
LINGERS = 7.0  # s; for so long DRBD may call a node connected whose power is off

Judged = tuple[NodeStatus, Reason]


def is_told_off(seen: NodeSeen, was: NodeStatus) -> bool:
    """Whether the node's own fencing has ended in off, and is not judged yet."""
    fence = seen.fence
    return bool(was.uid) and fence is not None and fence.uid == was.uid and fence.outcome == "off"


def after_off(this: Round, seen: NodeSeen, was: NodeStatus) -> Judged:
    """It is said to be off: it counts if its lease has not moved since the fencing began.

    A lease that moved before is doubt: it may have been renewed for a last time before the power
    went. One that moves afterwards is of a node that lives: the plug is another one's. Without
    leases it counts if the node has been silent for D: one that was heard since is in doubt.
    """
    if not this.snapshot.leases:
        return _after_off_in_silence(this, seen, was)
    if seen.lease is not None and seen.lease.boot != was.boot:
        back = _to(this, was, "online", lease=0, uid="", tries=0, doubt="")
        return back, Reason(f"{seen.name} was switched off, and has started again")
    now = seen.lease.revision if seen.lease else 0
    if now == was.lease:
        if this.snapshot.ha.fence_trust == "after-lease" and not is_over(this, seen, was):
            return was, Reason(f"{seen.name} is off, and its lease is waited for (fence-trust)")
        return declared(this, seen, was, "off", f"{seen.name} is off, and was asked again")
    doubted = _to(this, was, "suspect", lease=now, uid="", doubt=was.uid)
    return doubted, Reason(f"{seen.name} is said to be off, but its lease had moved meanwhile")


def _after_off_in_silence(this: Round, seen: NodeSeen, was: NodeStatus) -> Judged:
    if _has_booted(seen, was):
        back = _to(this, was, "online", uid="", tries=0, doubt="")
        return back, Reason(f"{seen.name} was switched off, and has started again")
    if seen.silence < this.snapshot.suspicion:
        doubted = _to(this, was, "suspect", uid="", doubt=was.uid)
        return doubted, Reason(f"{seen.name} is said to be off, and was heard meanwhile")
    if this.snapshot.ha.fence_trust == "after-lease" and not is_over(this, seen, was):
        return was, Reason(f"{seen.name} is off, and is to be silent for longer (fence-trust)")
    return declared(this, seen, was, "off", f"{seen.name} is off, and was asked again")


def in_doubt(this: Round, seen: NodeSeen, was: NodeStatus) -> Judged | None:
    """Without leases: it was said to be off, and was heard; None where it has not been so since.

    A node that is heard, in the same boot, for longer than DRBD takes to notice a loss, lives.
    """
    is_quiet = seen.silence >= this.snapshot.suspicion
    if this.snapshot.leases or not was.doubt or is_quiet:
        return None
    if _has_booted(seen, was):
        back = _to(this, was, "online", uid="", tries=0, doubt="")
        return back, Reason(f"{seen.name} was switched off, and has started again")
    if this.clock - was.since - seen.silence > LINGERS:
        return distrusted(this, seen, was)
    return was, Reason(f"{seen.name} is said to be off, and was heard meanwhile")


def _has_booted(seen: NodeSeen, was: NodeStatus) -> bool:
    return bool(seen.boot) and bool(was.boot) and seen.boot != was.boot


def is_wrong_plug(seen: NodeSeen, was: NodeStatus) -> bool:
    """Whether it was said to be off, and has renewed its lease after that, without a boot."""
    lease = seen.lease
    return (
        bool(was.doubt)
        and lease is not None
        and (lease.boot == was.boot and lease.revision != was.lease)
    )


def distrusted(this: Round, seen: NodeSeen, was: NodeStatus) -> Judged:
    """Its plug is another node's: nothing moves."""
    lives = "renews its lease" if this.snapshot.leases else "answers"
    wrong = f"{seen.name} is said to be off, and {lives}: is the plug another node's?"
    this.do(Distrust(node=seen.name, uid=was.doubt))
    this.tell(seen.name, wrong)
    online = _to(this, was, "online", uid="", tries=0, doubt="")
    return online, Reason(f"{wrong} See: mcv fence test {seen.name} --off", True)


def not_over(seen: NodeSeen, was: NodeStatus) -> Judged | None:
    """What is left of a fencing whose node lives: it may still come. None where nothing is."""
    fence = seen.fence
    is_running = fence is not None and fence.uid == was.uid and fence.outcome == "running"
    if was.uid and was.state == "fencing" and is_running:
        return was, Reason(f"{seen.name} lives again, while its fencing goes on")
    return None


def forgotten(this: Round, seen: NodeSeen, was: NodeStatus) -> NodeStatus:
    """The status of a node that lives: of its fencing nothing is left."""
    if was.state == "fencing" and is_demanded(this, seen):
        return was
    return replace(was, uid="", tries=0, again=0.0, doubt="")


def is_demanded(this: Round, seen: NodeSeen) -> bool:
    """Whether something there does not stop, and the settings say that the node is fenced."""
    if this.snapshot.ha.on_stop_failure != "fence" or not seen.can_fence:
        return False
    if seen.name == this.snapshot.manager or seen.switched:
        return False
    return any(
        each.state == "error" and each.node == seen.name and seen.name in service.runs
        for name, each in this.before.services.items()
        if (service := this.snapshot.services.get(name)) is not None
    )


def demanded(this: Round, seen: NodeSeen, was: NodeStatus) -> Judged:
    """Fence a node that lives, for what does not stop there."""
    was = _failure_counted(this, seen, was)
    why = f"{seen.name} is fenced: something does not stop there (on-stop-failure)"
    if this.clock < was.again:
        return _to(this, was, "fencing"), Reason(
            f"{why}; its power could not be switched off", True
        )
    return _shoot(this, seen, was, why)


def about(this: Round, seen: NodeSeen, was: NodeStatus) -> Judged:
    """What is done about a node whose lease does not move."""
    was = _failure_counted(this, seen, was)
    over = is_over(this, seen, was)
    if over and _proves(this, seen):
        return declared(this, seen, was, "lease", f"{seen.name}'s lease has ended")
    if _may_shoot(this, seen, was, over):
        return _shoot(this, seen, was, f"{seen.name} is silent: its power is switched off")
    if (holds_back := _holds_back(this, seen)) is not None:
        return was, holds_back
    if was.tries and not _proves(this, seen):
        return _failed(this, seen, was, over)
    if was.tries:
        waits = f"{seen.name} could not be switched off; its lease ends by itself"
        return _to(this, was, "fencing"), Reason(waits)
    if over and not seen.can_fence:
        return _failed(this, seen, was, over)
    return was, Reason(_suspicion(this, seen))


def is_over(this: Round, seen: NodeSeen, was: NodeStatus) -> bool:
    """Whether T is over: the lease was seen unchanged for as long as its periods say."""
    if not this.snapshot.leases:
        return seen.silence >= NO_LEASE * this.snapshot.suspicion
    lease = seen.lease
    return lease is not None and lease.revision == was.lease and lease.age >= lease.wait


def declared(
    this: Round, seen: NodeSeen, was: NodeStatus, evidence: EvidenceKind, why: str
) -> Judged:
    """Call it offline, for as long as the document does not."""
    this.do(Declare(node=seen.name, evidence=evidence, lease=was.lease))
    return was, Reason(f"{why}: it is declared offline")


def _proves(this: Round, seen: NodeSeen) -> bool:
    return this.snapshot.leases and seen.lease is not None and seen.lease.proves


def _failure_counted(this: Round, seen: NodeSeen, was: NodeStatus) -> NodeStatus:
    fence = seen.fence
    if fence is None or not was.uid or fence.uid != was.uid or fence.outcome != "failed":
        return was
    pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(was.tries, 10))
    return replace(was, uid="", tries=was.tries + 1, again=this.clock + pause)


def _may_shoot(this: Round, seen: NodeSeen, was: NodeStatus, over: bool) -> bool:
    """A tested device, nobody answers, or T is over; and, of two that may shoot, its turn."""
    if not seen.can_fence or this.clock < was.again:
        return False
    if not this.snapshot.leases and not seen.contact:
        return False
    if seen.void:
        return False
    if was.uid:
        return True  # it was begun, maybe by another manager
    if this.clock - was.since < seen.turn:
        return False
    return over or seen.answers == ()


def _holds_back(this: Round, seen: NodeSeen) -> Reason | None:
    """Why this node, which could shoot, lets it be; None where that is not so."""
    if this.snapshot.leases:
        return None
    if not seen.contact:
        me, hint = this.snapshot.manager, f"If it is dead: mcv fence confirm {seen.name}"
        why = f"{me} has not been in contact with {seen.name} since it started, and shoots nobody"
        return Reason(f"{why}. {hint}", True)
    if seen.void:
        return Reason(f"{seen.name} is silent, and not switched off now: {seen.void}", True)
    return None


def _shoot(this: Round, seen: NodeSeen, was: NodeStatus, why: str) -> Judged:
    """Ask for a fencing; once more for the same one while nothing is known of it."""
    if not was.uid:
        revision, boot = (seen.lease.revision, seen.lease.boot) if seen.lease else (0, seen.boot)
        was = replace(was, uid=this.uid(), lease=revision, boot=boot)
        this.tell(seen.name, why)
    this.do(Fence(uid=was.uid, node=seen.name))
    state: NodeState = "fence-failed" if was.tries and not _proves(this, seen) else "fencing"
    return _to(this, was, state), Reason(why, state == "fence-failed")


def _failed(this: Round, seen: NodeSeen, was: NodeStatus, over: bool) -> Judged:
    """Nothing proves that it is dead: an operator has to say so, or the settings have."""
    goes_on = this.snapshot.ha.on_fence_failure == "continue"
    if goes_on and over and seen.answers == () and this.snapshot.leases:
        return declared(this, seen, was, "word", f"{seen.name} is silent (on-fence-failure)")
    how = "could not be switched off" if was.tries else "has no tested fence device"
    message = seen.fence.message if seen.fence is not None else ""
    why = f"{seen.name} is silent and {how}{f' ({message})' if message and was.tries else ''}"
    if was.state != "fence-failed":
        this.tell(seen.name, f"{why}. What it ran waits.")
    hint = f"If it is dead: mcv fence confirm {seen.name}"
    if goes_on and _goes_on_alone(this, seen):
        this.do(GoOn(node=seen.name))
        why = f"{why}; guests of {this.snapshot.manager} go on (on-fence-failure)"
    return _to(this, was, "fence-failed"), Reason(f"{why}. {hint}", True)


def _goes_on_alone(this: Round, seen: NodeSeen) -> bool:
    """Two nodes: own guests go on without the other, once its shot would have come.

    It is not called dead: what it ran waits.
    """
    patience = NO_LEASE * this.snapshot.suspicion + seen.shot
    return not this.snapshot.leases and seen.answers == () and seen.silence >= patience


def _suspicion(this: Round, seen: NodeSeen) -> str:
    by = f", but {' and '.join(seen.answers)} answers" if seen.answers else ""
    if seen.lease is None:
        return f"{seen.name} has been silent for {seen.silence:.0f} s"
    then = f"; after {seen.lease.wait:.0f} s it counts as dead" if _proves(this, seen) else ""
    return f"{seen.name}'s lease has not moved for {seen.lease.age:.0f} s{by}{then}"


def _to(this: Round, was: NodeStatus, state: NodeState, **values: object) -> NodeStatus:
    since = was.since if was.state == state else this.clock
    return replace(was, state=state, since=since, **values)
