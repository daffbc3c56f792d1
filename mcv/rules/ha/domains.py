"""Where a service can run, and which of those nodes is best: failover domains, ties and room.

A better node has a better priority class in the service's domain; a node outside the domain has
the worst. Of one class it is the node that keeps the service's ties, then the one with the fewest
services, then the first by name.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from mcv.document.ha_entries import FailoverDomain, TieKind
from mcv.rules.ha.snapshot import NodeSeen, ServiceSeen, Snapshot
from mcv.rules.ha.status import NodeStatus, ServiceStatus
from mcv.sizes import shown

STRANGER = 1 << 30  # the class of a node outside the domain
NO_DOMAIN = FailoverDomain()


class Key(NamedTuple):
    """How good a node is for a service; less is better."""

    priority: int
    broken_ties: int
    services: int
    name: str

    @property
    def place(self) -> tuple[int, int]:
        """What is worth a move by itself."""
        return self.priority, self.broken_ties


class Candidate(NamedTuple):
    """A node for a service: what it lacks, "" for nothing, and how good it is."""

    node: str
    lacks: str
    key: Key

    @property
    def ok(self) -> bool:
        return not self.lacks


def rank(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Those that lack nothing, the best first."""
    return sorted((each for each in candidates if each.ok), key=lambda each: each.key)


class Places:
    """Where everything is, or is about to be, as one round goes on."""

    def __init__(
        self,
        snapshot: Snapshot,
        nodes: Mapping[str, NodeStatus],
        services: Mapping[str, ServiceStatus],
    ) -> None:
        self._snapshot = snapshot
        self._lacks = {
            name: _lacks(seen, nodes.get(name, NodeStatus()))
            for name, seen in snapshot.nodes.items()
        }
        self._free = {name: seen.memory for name, seen in snapshot.nodes.items()}
        self._at: dict[str, str] = {}
        self._count: Counter[str] = Counter()
        self._tried = {name: each.tried for name, each in services.items() if each.tried}
        self._apart, self._together = _partners(snapshot)
        for name, seen in snapshot.services.items():
            if seen.runs or (seen.entry.wanted == "started" and not seen.entry.failed):
                pending = services[name].pending if name in services else None
                self.put(seen, getattr(pending, "target", "") or seen.node)

    def put(self, seen: ServiceSeen, node: str) -> None:
        """The service is on the node, or will be."""
        before = self._at.get(seen.name)
        if before == node:
            return
        if before is not None:
            self._count[before] -= 1
            self._reserve(before, -seen.memory if before not in seen.runs else 0)
        self._at[seen.name] = node
        self._count[node] += 1
        self._reserve(node, seen.memory if node not in seen.runs else 0)

    def _reserve(self, node: str, memory: int) -> None:
        if node in self._free:
            self._free[node] -= memory

    def candidates(self, seen: ServiceSeen, *, besides: bool = True) -> list[Candidate]:
        """Every node, with what it lacks to run the service; `besides`: its owner as well."""
        domain = self.domain(seen)
        return [
            Candidate(name, self._what_lacks(seen, domain, name), self.key(seen, name))
            for name in sorted(self._lacks)
            if besides or name != seen.node
        ]

    def is_ok(self, seen: ServiceSeen, node: str) -> bool:
        return node in self._lacks and not self._what_lacks(seen, self.domain(seen), node)

    def domain(self, seen: ServiceSeen) -> FailoverDomain:
        """The service's domain; one without nodes where it has none."""
        return self._snapshot.domains.get(seen.entry.domain, NO_DOMAIN)

    def priority(self, domain: FailoverDomain, node: str) -> int:
        """The class of a node in a domain."""
        if not domain.nodes:
            return 0
        own = domain.nodes.get(node, STRANGER)
        return own if domain.ordered or own == STRANGER else 0

    def is_outside(self, seen: ServiceSeen, node: str) -> bool:
        """Whether the service's domain forbids the node."""
        domain = self.domain(seen)
        return domain.restricted and node not in domain.nodes

    def key(self, seen: ServiceSeen, node: str) -> Key:
        priority = self.priority(self.domain(seen), node)
        return Key(priority, self._broken(seen.name, node), self._others(seen.name, node), node)

    def has_choice(self, seen: ServiceSeen) -> bool:
        """Whether one node can be a better place than another by itself."""
        has_ties = seen.name in self._apart or seen.name in self._together
        return bool(self.domain(seen).nodes) or has_ties

    def _others(self, name: str, node: str) -> int:
        return self._count[node] - (self._at.get(name) == node)

    def _broken(self, name: str, node: str) -> int:
        """How many ties of the service do not hold on a node."""
        apart = self._apart_at(name, node)
        together = self._together.get(name)
        if not together:
            return apart
        anchor = self._anchor(name, together)
        return apart + (anchor not in ("", node))

    def _anchor(self, name: str, others: Iterable[str]) -> str:
        """The node of the rest of a set: of who had to leave a node, else of the most.

        Where the set is to be apart from what is there, another one of them is better.
        """
        votes: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        for other in others:
            node = self._at.get(other, "")
            if self._lacks.get(node) == "":
                votes[node][0] += other in self._tried
                votes[node][1] += 1

        def better(node: str) -> tuple[int, int, int, str]:
            return -votes[node][0], self._apart_at(name, node), -votes[node][1], node

        return min(votes, key=better, default="")

    def _apart_at(self, name: str, node: str) -> int:
        return sum(self._at.get(other) == node for other in self._apart.get(name, ()))

    def _what_lacks(self, seen: ServiceSeen, domain: FailoverDomain, node: str) -> str:
        if domain.restricted and node not in domain.nodes:
            return f"it is not in the domain {seen.entry.domain}, which is restricted"
        if seen.places is not None:
            lacks = seen.places.get(node)
            if lacks is None:
                return f"{seen.name} has no disk there"
            if lacks:
                return lacks
        if self._lacks[node]:
            return self._lacks[node]
        is_there = node in seen.runs or self._at.get(seen.name) == node
        if not is_there and seen.memory > self._free[node]:
            free = shown(max(self._free[node], 0))
            return f"{shown(seen.memory)} of memory are needed, {free} are free"
        return ""


def _lacks(seen: NodeSeen, status: NodeStatus) -> str:
    """What a node lacks to run anything at all."""
    if seen.status == "offline" or status.state != "online":
        return f"it is {'offline' if status.state == 'online' else status.state}"
    if seen.switched:
        return f"an operator switches its power: {seen.switched}"
    if seen.draining or seen.leaving:
        return "it is draining" if seen.draining else "it is shutting down"
    return "" if seen.told else "it does not tell what runs there"


def _partners(snapshot: Snapshot) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """By service: who is kept apart from it, and who is kept together with it.

    What is kept together with a service is kept apart from all that the service is.
    """
    together = _sets(snapshot, "together")
    apart: dict[str, set[str]] = {}
    for name, others in _sets(snapshot, "apart").items():
        for one in {name} | together.get(name, set()):
            for other in others:
                apart.setdefault(one, set()).update({other} | together.get(other, set()))
    return apart, together


def _sets(snapshot: Snapshot, kind: TieKind) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for tie in snapshot.ties:
        if tie.kind == kind:
            for name in tie.names:
                found.setdefault(name, set()).update(set(tie.names) - {name})
    return found
