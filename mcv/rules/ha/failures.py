"""A service that does not run on its healthy owner: restart, relocate, or failed."""

from msgspec.structs import replace

from mcv.rules.ha.actions import GiveUp, Reason, Relocate, Start
from mcv.rules.ha.domains import rank
from mcv.rules.ha.pending import Judged, became, because, begun
from mcv.rules.ha.round import Round
from mcv.rules.ha.snapshot import ServiceSeen
from mcv.rules.ha.status import ServiceStatus


def judged(this: Round, seen: ServiceSeen, was: ServiceStatus) -> Judged:
    """What is done next, by the entry's recovery and what was done in its window."""
    entry, node = seen.entry, seen.node
    if entry.recovery == "disable":
        return given_up(this, seen, was, f"it ended on {node}, and its recovery is disable")
    may_restart = entry.recovery == "restart" and node not in was.tried
    if may_restart and len(was.restarts) < entry.max_restarts:
        number = f"{len(was.restarts) + 1} of {entry.max_restarts}"
        start = Start(uid=this.uid(), service=seen.name, node=node)
        ended = f"does not run on {node}{because(was)}" if was.trouble else f"ended on {node}"
        this.tell(seen.name, f"{seen.name} {ended} and is started again ({number}).")
        status = begun(this, was, "starting", start, restarts=(*was.restarts, this.clock))
        return status, Reason(f"it {ended}: restart {number}")
    if node not in was.tried:
        was = replace(was, tried={**was.tried, node: this.clock})
    return _relocated(this, seen, was)


def _relocated(this: Round, seen: ServiceSeen, was: ServiceStatus) -> Judged:
    entry = seen.entry
    if len(was.relocates) >= entry.max_relocates:
        tries = f"{_times(was.restarts, 'restart')} and {_times(was.relocates, 'relocation')}"
        after = f"after {tries} in {entry.window} s"
        why = f"it does not run on {seen.node}, {after}{because(was)}"
        return given_up(this, seen, was, why)
    others = [each for each in this.places.candidates(seen) if each.node not in was.tried]
    if not others:
        return given_up(
            this, seen, was, f"it runs on none of {', '.join(sorted(was.tried))}{because(was)}"
        )
    best = rank(others)
    if not best:
        return blocked(this, seen, was, [f"{each.node}: {each.lacks}" for each in others])
    target = best[0].node
    this.places.put(seen, target)
    move = Relocate(uid=this.uid(), service=seen.name, node=seen.node, target=target)
    stays_down = f"does not run on {seen.node}{because(was)}"
    this.tell(seen.name, f"{seen.name} {stays_down} and goes to {target}.")
    status = begun(this, was, "recovery", move, relocates=(*was.relocates, this.clock))
    return status, Reason(f"it {stays_down}: relocated to {target}")


def _times(when: tuple[float, ...], what: str) -> str:
    return f"{len(when)} {what}{'s' * (len(when) != 1)}"


def blocked(
    this: Round, seen: ServiceSeen, was: ServiceStatus, lacks: list[str], older: str = ""
) -> Judged:
    """No node can run it now: looked at again in every round.

    `older` is the way to go on without the newest data.
    """
    newest = f"newest data is on {seen.newest}. " if seen.newest else ""
    why = f"{newest}No node can run it: {'; '.join(lacks) or 'there is no other'}"
    if was.state != "blocked":
        this.tell(seen.name, f"{seen.name} is blocked: {why}.")
    return became(this, was, "blocked"), Reason(why, True, older)


def given_up(this: Round, seen: ServiceSeen, was: ServiceStatus, why: str) -> Judged:
    """Write down that it has failed; asked for until the document says so."""
    this.do(GiveUp(service=seen.name, why=why))
    if was.state != "failed":
        this.tell(seen.name, f"{seen.name} has failed: {why}.")
    return became(this, was, "failed", failed=why), reason(seen, why)


def reason(seen: ServiceSeen, why: str) -> Reason:
    return Reason(f"{why}. When that is mended: mcv ha set {seen.name} --state started", True)
