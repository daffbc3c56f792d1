"""The table of services: what runs, what is started again, moved, or given up.

One service has one action at most. What an operator does, or has claimed, is waited for; where
it is not known what runs, nothing is done.
"""

from collections.abc import Callable

from msgspec.structs import replace

from mcv.rules.ha import failures, moves, pending, recovery
from mcv.rules.ha.actions import Reason, Resume, Start, Stop
from mcv.rules.ha.pending import Judged, became
from mcv.rules.ha.round import Round
from mcv.rules.ha.snapshot import ServiceSeen
from mcv.rules.ha.status import ServiceStatus

Rule = Callable[[Round, ServiceSeen, ServiceStatus], Judged | None]


def step(this: Round, seen: ServiceSeen) -> None:
    """Judge one service by the first rule that knows what is to be said of it."""
    was = _carried_over(this, seen)
    judged: Judged | None = None
    for rule in RULES:
        if (judged := rule(this, seen, was)) is not None:
            break
    status, reason = judged or _running(this, seen, was)
    this.services[seen.name] = replace(status, node=seen.node)
    this.service_reasons[seen.name] = reason


def _carried_over(this: Round, seen: ServiceSeen) -> ServiceStatus:
    """The status of before: without what an operator's word, or time, has made void."""
    was = this.before.services.get(seen.name)
    if was is None:
        state = "started" if seen.node in seen.runs else "stopped"
        return ServiceStatus(
            state="started" if state == "started" else "stopped",
            node=seen.node,
            since=this.clock,
            asked=seen.entry.asked,
        )
    if seen.entry.asked > was.asked:
        was = replace(
            was,
            asked=seen.entry.asked,
            restarts=(),
            relocates=(),
            returns=(),
            tried={},
            again=0.0,
            failed="",
            trouble="",
        )
        if was.state in ("error", "failed"):
            was = became(this, was, "started" if seen.runs else "stopped")
    if seen.node in this.rebooted and was.state == "started":
        was = became(this, was, "stopped")  # with its host, and not by itself
    oldest = this.clock - seen.entry.window
    counted = (*was.restarts, *was.relocates, *was.returns, *was.tried.values())
    if any(when <= oldest for when in counted):
        was = replace(
            was,
            restarts=tuple(when for when in was.restarts if when > oldest),
            relocates=tuple(when for when in was.relocates if when > oldest),
            returns=tuple(when for when in was.returns if when > oldest),
            tried={name: when for name, when in was.tried.items() if when > oldest},
        )
    return pending.concluded(this, seen, was)


def _frozen(this: Round, seen: ServiceSeen, was: ServiceStatus) -> Judged | None:
    node = this.nodes.get(seen.node)
    if not this.snapshot.ha.armed:
        why = "high availability is not armed: mcv ha arm"
    elif seen.entry.wanted == "ignored":
        why = "it is let be (--state ignored)"
    elif node is not None and node.left == "freeze":
        why = f"{seen.node} was shut down, and what it runs waits for it (on-shutdown)"
    else:
        return None
    return became(this, was, "frozen", pending=None), Reason(why)


def _unchangeable(this: Round, seen: ServiceSeen, was: ServiceStatus) -> Judged | None:
    """Nothing is begun that could not be written down."""
    if this.snapshot.changes:
        return None
    return was, Reason("nothing is begun while the other node is silent, and not declared offline")


def _failed(this: Round, seen: ServiceSeen, was: ServiceStatus) -> Judged | None:
    """It is left alone until an operator says what is wanted."""
    if seen.entry.failed:
        return became(this, was, "failed", pending=None), failures.reason(seen, seen.entry.failed)
    return failures.given_up(this, seen, was, was.failed) if was.failed else None


def _claimed(this: Round, seen: ServiceSeen, was: ServiceStatus) -> Judged | None:
    """Whose claim it is goes on, unless its node is dead: then it is brought to its end."""
    claim = seen.claim
    if claim is None:
        return None
    if this.is_offline(claim.node) or claim.node not in this.snapshot.nodes:
        this.do(Resume(service=seen.name, operation=claim.operation, node=claim.node))
        return was, Reason(
            f"{claim.why or claim.operation}: {claim.node} died in it, it is resumed"
        )
    if claim.mine and was.pending is not None:
        return None
    return was, Reason(f"{claim.why or claim.operation} goes on, on {claim.node}")


def _unknown(this: Round, seen: ServiceSeen, was: ServiceStatus) -> Judged | None:
    """Nothing is done where the owner lives or not, or does not tell what runs there."""
    node, there = this.nodes.get(seen.node), this.snapshot.nodes.get(seen.node)
    if node is None or there is None:
        return became(this, was, "blocked"), Reason(f"its node {seen.node} is no member", True)
    if node.state not in ("online", "draining"):
        why = this.node_reasons[seen.node]
        return was, why._replace(text=f"{seen.node} is {node.state}: {why.text}")
    if not there.told:
        return was, Reason(f"{seen.node} does not tell what runs there")
    return None


def _elsewhere(this: Round, seen: ServiceSeen, was: ServiceStatus) -> Judged | None:
    """It runs where it does not belong: a second copy would be worse than any wait."""
    others = sorted(set(seen.runs) - {seen.node})
    if not others:
        return None
    also = "also " if seen.node in seen.runs else ""
    return was, Reason(f"it {also}runs on {' and '.join(others)}, and {seen.node} owns it", True)


def _in_error(this: Round, seen: ServiceSeen, was: ServiceStatus) -> Judged | None:
    """What does not stop is left to an operator, until it has ended after all."""
    if was.state != "error" or seen.node not in seen.runs:
        return None
    way = f"mcv stop {seen.name}" if seen.kind == "vm" else f"mcv ha service stop {seen.name}"
    return was, Reason(
        f"it does not stop on {seen.node}{pending.because(was)}. By hand: {way}", True
    )


def _unwanted(this: Round, seen: ServiceSeen, was: ServiceStatus) -> Judged | None:
    if seen.entry.wanted != "stopped":
        return None
    if seen.node not in seen.runs:
        return became(this, was, "stopped"), Reason("it is wanted stopped")
    stop = Stop(uid=this.uid(), service=seen.name, node=seen.node)
    return pending.begun(this, was, "stopping", stop), Reason("it is wanted stopped, and shut down")


def _not_running(this: Round, seen: ServiceSeen, was: ServiceStatus) -> Judged | None:
    if seen.node in seen.runs:
        return None
    if this.nodes[seen.node].state == "draining" or this.snapshot.nodes[seen.node].leaving:
        return moves.of_stopped(this, seen, was)
    if was.state == "started" or seen.node in was.tried:
        return failures.judged(this, seen, was)
    start = Start(uid=this.uid(), service=seen.name, node=seen.node)
    return pending.begun(this, was, "starting", start), Reason(f"it is started on {seen.node}")


def _running(this: Round, seen: ServiceSeen, was: ServiceStatus) -> Judged:
    """It runs where it belongs; a better place may be there."""
    was = became(this, was, "started")
    return (
        moves.away(this, seen, was)
        or moves.back(this, seen, was)
        or (
            was,
            Reason(f"it runs on {seen.node}"),
        )
    )


RULES: tuple[Rule, ...] = (
    _frozen,
    _unchangeable,
    _failed,
    _claimed,
    pending.waiting,
    recovery.judged,
    _unknown,
    _elsewhere,
    _in_error,
    _unwanted,
    _not_running,
)
