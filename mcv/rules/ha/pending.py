"""The one action that a service may have under way, from its order to its result."""

from msgspec.structs import replace

from mcv import printable
from mcv.rules.ha.actions import Migrate, Reason, Relocate, ServiceAction, Start, Stop
from mcv.rules.ha.round import Round
from mcv.rules.ha.snapshot import Result, ServiceSeen
from mcv.rules.ha.status import ServiceState, ServiceStatus

AGAIN = 10.0  # s between two tries of what is due in every round
MOST_TROUBLE = 300  # characters

Judged = tuple[ServiceStatus, Reason]


def became(this: Round, was: ServiceStatus, state: ServiceState, **values: object) -> ServiceStatus:
    """The status with another state, since now; it keeps its time where it has that already."""
    if was.state == state and not values:
        return was
    since = was.since if was.state == state else this.clock
    return replace(was, state=state, since=since, **values)


def begun(
    this: Round, was: ServiceStatus, state: ServiceState, action: ServiceAction, **values: object
) -> ServiceStatus:
    """Ask for an action, and wait for it from now on."""
    this.do(action)
    return became(this, was, state, pending=action, **values)


def waiting(this: Round, seen: ServiceSeen, was: ServiceStatus) -> Judged | None:
    """Ask for what is under way once more: it may have been lost, and is done once at most."""
    action = was.pending
    if action is None:
        return None
    if _is_sent(this, action):
        this.do(action)
    return was, Reason(f"{said(action)} goes on")


def _is_sent(this: Round, action: ServiceAction) -> bool:
    """Whether those that carry it out are there; nothing starts on a node that is not online."""
    there = _state(this, action.node)
    if isinstance(action, Start):
        return there == "online"
    if isinstance(action, Stop):
        return there in ("online", "draining")
    return there in ("online", "draining") and _state(this, action.target) == "online"


def _state(this: Round, node: str) -> str:
    return this.nodes[node].state if node in this.nodes else ""


def said(action: ServiceAction) -> str:
    if isinstance(action, Start):
        return f"its start on {action.node}"
    if isinstance(action, Stop):
        return f"its {'stop' if action.force else 'shutdown'} on {action.node}"
    how = "migration" if isinstance(action, Migrate) else "relocation"
    return f"its {how} from {action.node} to {action.target}"


def concluded(this: Round, seen: ServiceSeen, was: ServiceStatus) -> ServiceStatus:
    """The status after the result of what was under way, or without what has become void."""
    action, result = was.pending, seen.result
    if action is None:
        return was
    if action.service != seen.name:
        return replace(was, pending=None)  # nobody has written this
    if result is not None and result.uid == action.uid:
        return _after(this, replace(was, trouble=_trouble(result)), action, result.outcome)
    target = getattr(action, "target", action.node)
    if seen.node not in (action.node, target):
        return became(this, was, "stopped", pending=None)  # moved by hand
    gone = [name for name in (action.node, target) if _is_gone(this, name)]
    if gone and seen.claim is None:
        state = "started" if was.state == "migrating" else was.state
        return became(this, was, state, pending=None)
    return was


def _trouble(result: Result) -> str:
    """What is kept of a failure: one line, since it may go into the document."""
    if result.outcome not in ("failed", "stop-failed"):
        return ""
    return printable.line(result.message.strip().rstrip("."))[:MOST_TROUBLE]


def because(was: ServiceStatus) -> str:
    """What was said of the newest action, in brackets; "" where it did not fail."""
    return f" ({was.trouble})" if was.trouble else ""


def _is_gone(this: Round, node: str) -> bool:
    return node not in this.nodes or this.is_offline(node)


def _after(this: Round, was: ServiceStatus, action: ServiceAction, outcome: str) -> ServiceStatus:
    was = replace(was, pending=None)
    if outcome == "stop-failed":
        return _not_stopped(this, was, action)
    if isinstance(action, Start):
        # A first start that fails may be tried again there, as what ended there is.
        is_restart = bool(was.restarts) and was.restarts[-1] >= was.since
        if outcome == "failed" and is_restart:
            return became(this, was, "started", tried={**was.tried, action.node: this.clock})
        return became(this, was, "started")
    if isinstance(action, Stop):
        if outcome == "failed":
            return _not_stopped(this, was, action)
        return became(this, was, "stopped")
    if outcome == "failed":
        return _not_moved(this, was, action)
    return became(this, was, "started" if isinstance(action, Migrate) else "recovery")


def _not_stopped(this: Round, was: ServiceStatus, action: ServiceAction) -> ServiceStatus:
    """A shutdown that ran past its time is followed by a stop; after that an operator is."""
    if isinstance(action, Stop) and not action.force:
        hard = Stop(uid=this.uid(), service=action.service, node=action.node, force=True)
        return became(this, was, "stopping", pending=hard)
    this.tell(action.service, f"{action.service} does not stop on {action.node}{because(was)}.")
    return became(this, was, "error")


def _not_moved(this: Round, was: ServiceStatus, action: Migrate | Relocate) -> ServiceStatus:
    """After a failure of its own the next node is tried; what left a node in order waits.

    Nothing forces a move to a better place: it waits longer after each failure.
    """
    if action.node in was.tried:
        return became(this, was, "started", tried={**was.tried, action.target: this.clock})
    if _state(this, action.node) == "draining":
        return became(this, was, "started", again=this.clock + AGAIN)
    returns = (*was.returns, this.clock)
    return became(this, was, "started", returns=returns)


def may_return(this: Round, was: ServiceStatus) -> bool:
    """Whether a move to a better place is due, after those that failed."""
    return not was.returns or this.clock >= was.returns[-1] + AGAIN * 2 ** len(was.returns)
