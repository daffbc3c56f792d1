"""Why a service is where it is, what each node lacks, and what would be if nodes died."""

from msgspec.structs import replace

from mcv.document.generation import Value
from mcv.rules.ha.actions import TakeOver
from mcv.rules.ha.decide import Decision, decide
from mcv.rules.ha.domains import Places
from mcv.rules.ha.snapshot import NodeSeen, Snapshot
from mcv.rules.ha.status import Status


class CandidateSeen(Value, frozen=True, kw_only=True):
    """A node for a service, and what it lacks; "" for nothing."""

    node: str
    ok: bool
    lacks: str


class Explained(Value, frozen=True, kw_only=True):
    """A service, why it is as it is, and every node for it, the best first."""

    name: str
    node: str
    reason: str
    candidates: tuple[CandidateSeen, ...]


class WouldMove(Value, frozen=True, kw_only=True, rename={"from_node": "from"}):
    """Where a service of a dead node would run; `to` is "" where it would not."""

    name: str
    from_node: str
    to: str
    why: str


def explain(snapshot: Snapshot, status: Status, name: str) -> Explained:
    """Why the service is there. KeyError for one that high availability does not manage."""
    seen = snapshot.services[name]
    decision = decide(snapshot, status)
    places = Places(snapshot, decision.status.nodes, decision.status.services)
    best_first = sorted(places.candidates(seen), key=lambda each: (not each.ok, each.key))
    found = tuple(
        CandidateSeen(node=each.node, ok=each.ok, lacks=each.lacks) for each in best_first
    )
    reason = decision.reasons.services[name].whole
    return Explained(name=name, node=seen.node, reason=reason, candidates=found)


def what_if(snapshot: Snapshot, status: Status, dead: frozenset[str]) -> list[WouldMove]:
    """What would become of everything on these nodes, by the next decision but one.

    What else goes on now is let be: no claim, no action under way, no silence of others, and no
    sleeptime.
    """
    nodes = {
        name: _dead(seen) if name in dead else replace(seen, fence=None)
        for name, seen in snapshot.nodes.items()
    }
    services = {
        name: replace(
            seen,
            claim=None,
            sleeptime=0.0,
            runs=tuple(node for node in seen.runs if node not in dead),
        )
        for name, seen in snapshot.services.items()
    }
    ha = replace(snapshot.ha, armed=True)
    then = replace(snapshot, nodes=nodes, services=services, ha=ha, writes=True)
    quiet = {name: replace(each, pending=None) for name, each in status.services.items()}
    decision = decide(then, replace(status, services=quiet))
    return [
        _would(decision, name, seen.node)
        for name, seen in sorted(snapshot.services.items())
        if seen.node in dead and seen.entry.wanted == "started" and not seen.entry.failed
    ]


def without_a_place(snapshot: Snapshot, status: Status) -> list[WouldMove]:
    """What would run nowhere if the node that owns it died now, one node at a time."""
    online = (name for name, seen in snapshot.nodes.items() if seen.status == "online")
    owners = {seen.node for seen in snapshot.services.values()}
    return [
        would
        for node in sorted(owners.intersection(online))
        for would in what_if(snapshot, status, frozenset({node}))
        if not would.to
    ]


def _dead(seen: NodeSeen) -> NodeSeen:
    return replace(
        seen, status="offline", evidence="off", maintenance=False, lease=None, asks=False
    )


def _would(decision: Decision, name: str, node: str) -> WouldMove:
    taken = {
        service: taker
        for action in decision.actions
        if isinstance(action, TakeOver)
        for service, taker in action.takers.items()
    }
    why = decision.reasons.services[name].text
    return WouldMove(name=name, from_node=node, to=taken.get(name, ""), why=why)
