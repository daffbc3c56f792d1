"""Services whose node is offline: another node takes them over, or they are blocked."""

from mcv.rules.ha import nodes
from mcv.rules.ha.actions import Reason
from mcv.rules.ha.domains import Candidate, rank
from mcv.rules.ha.failures import blocked
from mcv.rules.ha.pending import Judged, became
from mcv.rules.ha.round import Round
from mcv.rules.ha.snapshot import ServiceSeen
from mcv.rules.ha.status import ServiceStatus


def judged(this: Round, seen: ServiceSeen, was: ServiceStatus) -> Judged | None:
    """The best node takes it over, all services of the dead node in one change.

    Nodes where it would not run come last, but they come: there may be no other. After all were
    switched off, a node that left in good order has the start-grace to come back. A service with a
    sleeptime waits for that once its node is seen offline: it has ended by then, at the latest.
    """
    if not this.is_offline(seen.node):
        return None
    if why := nodes.why_waited_for(this, this.snapshot.nodes[seen.node]):
        begun = was.state in ("recovery", "blocked")
        return was if begun else became(this, was, "stopped"), Reason(why)
    others = [each for each in this.places.candidates(seen) if each.node != seen.node]
    best = sorted(rank(others), key=lambda each: each.node in was.tried)
    if seen.entry.wanted == "stopped":
        return _of_stopped(this, seen, was, best)
    if not best:
        lacks = [f"{each.node}: {each.lacks}" for each in others]
        older = f"Once you have looked: mcv register {seen.name} --accept-stale" * bool(seen.newest)
        return blocked(this, seen, was, lacks, older)
    taker = best[0].node
    this.places.put(seen, taker)
    if was.state != "recovery":
        this.tell(seen.name, f"{seen.node} is offline: {seen.name} goes to {taker}.")
    was = became(this, was, "recovery")
    left = this.nodes[seen.node].since + seen.sleeptime - this.clock
    if left > 0:
        return was, Reason(
            f"{seen.node} is offline: {taker} takes it over in {left:.0f} s (its sleeptime)"
        )
    this.takers.setdefault(seen.node, {})[seen.name] = taker
    return was, Reason(f"{seen.node} is offline: {taker} takes it over")


def _of_stopped(
    this: Round, seen: ServiceSeen, was: ServiceStatus, best: list[Candidate]
) -> Judged:
    """It goes along, so that an operator can start it; it may as well stay where it is."""
    if best:
        this.places.put(seen, best[0].node)
        this.takers.setdefault(seen.node, {})[seen.name] = best[0].node
    return became(this, was, "stopped"), Reason(f"it is wanted stopped, and {seen.node} is offline")
