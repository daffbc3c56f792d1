"""A small cluster that is true: what decide orders is carried out there, late, or not at all.

Nodes die, are cut off, and come back; a cut-off node runs on until its lease and its watchdog are
over. The document is one, so that an owner is one; what runs is looked at after each round.
"""

import random
from dataclasses import dataclass, field

from msgspec.structs import replace

from mcv.document.availability import Ha
from mcv.document.ha_entries import FailoverDomain, HaEntry, Tie
from mcv.rules.ha.actions import (
    Admit,
    AnyAction,
    Declare,
    Fence,
    GiveUp,
    Maintain,
    Migrate,
    Relocate,
    Start,
    Stop,
    SwitchOn,
    TakeOver,
)
from mcv.rules.ha.decide import decide
from mcv.rules.ha.snapshot import FenceSeen, LeaseSeen, NodeSeen, Result, ServiceSeen, Snapshot
from mcv.rules.ha.status import Status, decode, encode

ROUND = 2.0  # s
ENDS = 20.0  # s after the last renewal, when nothing of a cut-off node runs any more
T = 22.0
MANAGER = "n1"


@dataclass
class Host:
    """A node in truth: its power, its contact, when it renewed its lease last."""

    name: str
    is_up: bool = True
    is_cut: bool = False
    renewed: float = 0.0
    revision: int = 1
    boots: int = 0
    fence: FenceSeen | None = None
    seen: NodeSeen = field(init=False)

    def __post_init__(self) -> None:
        self.seen = NodeSeen(name=self.name)

    @property
    def is_there(self) -> bool:
        return self.is_up and not self.is_cut


class Play:
    """Rounds of a cluster of four nodes with some services, chosen by chance."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.now = 100.0
        self.term = 1
        self.status = Status()
        self.hosts = {name: Host(name, renewed=self.now) for name in ("n1", "n2", "n3", "n4")}
        self.device_fails = self.chance.choice((0.0, 0.5, 1.0))
        self.proves = self.chance.random() < 0.7
        self.domains = {
            "d": FailoverDomain(
                nodes={"n2": 1, "n3": 2},
                ordered=self.chance.random() < 0.5,
                restricted=self.chance.random() < 0.5,
            )
        }
        self.services = {name: self._service(name) for name in ("a", "b", "c", "d", "e")}
        self.runs: dict[str, set[str]] = {name: set() for name in self.services}
        self.done: set[str] = set()  # uids
        self.worst: list[str] = []  # what must never be
        self.wakes = 0

    def _service(self, name: str) -> ServiceSeen:
        entry = HaEntry(
            wanted=self.chance.choice(("started", "started", "started", "stopped")),
            domain=self.chance.choice(("", "d")),
            recovery=self.chance.choice(("restart", "restart", "relocate", "disable")),
            priority=self.chance.randrange(3),
        )
        node = self.chance.choice(("n1", "n2", "n3", "n4"))
        places = {node: "", self.chance.choice(("n1", "n2", "n3")): ""}
        is_live = self.chance.random() < 0.7
        shared = self.chance.random() < 0.5
        return ServiceSeen(
            name=name, node=node, entry=entry, live=is_live, places=None if shared else places
        )

    def run(self, rounds: int) -> None:
        """Rounds in which things happen."""
        for _ in range(rounds):
            self._happens()
            self.rest(1)

    def rest(self, rounds: int) -> None:
        """Rounds in which nothing else happens."""
        for _ in range(rounds):
            self.now += ROUND
            self._lives()
            look = self.look()
            decision = decide(look, decode(encode(self.status)))
            self.status = decision.status
            for action in decision.actions:
                self._judge(action, look)
                if self.chance.random() < 0.8:
                    self.carry_out(action)
            self._look_at_copies()

    def _happens(self) -> None:
        """A fault, or its end."""
        name = self.chance.choice(("n2", "n3", "n4"))
        host, what = self.hosts[name], self.chance.random()
        if what < 0.02:
            self._power_off(host)
        elif what < 0.04:
            host.is_cut = True
        elif what < 0.12:
            host.is_cut = False
            host.is_up = True
        elif what < 0.14:
            host.seen = replace(host.seen, draining=not host.seen.draining)
        elif what < 0.17:
            for copies in self.runs.values():
                if host.is_there:
                    copies.discard(name)
        elif what < 0.18:
            self.term += 1
        elif what < 0.20:
            self._said(self.chance.choice(sorted(self.services)))

    def _said(self, name: str) -> None:
        seen = self.services[name]
        wanted = self.chance.choice(("started", "stopped", "ignored", "started"))
        asked = seen.entry.asked + 1
        entry = replace(seen.entry, wanted=wanted, failed="", asked=asked)
        self.services[name] = replace(seen, entry=entry)

    def _power_off(self, host: Host) -> None:
        host.is_up = False
        host.boots += 1
        for copies in self.runs.values():
            copies.discard(host.name)

    def _lives(self) -> None:
        """Leases are renewed, and what has lost its lease ends."""
        for host in self.hosts.values():
            if host.is_there and host.seen.status == "online":
                host.renewed = self.now
                host.revision += 1
            elif self.now - host.renewed >= ENDS:
                for copies in self.runs.values():
                    copies.discard(host.name)

    def look(self) -> Snapshot:
        nodes = {}
        for name, host in self.hosts.items():
            lease = LeaseSeen(
                revision=host.revision,
                boot=str(host.boots),
                age=self.now - host.renewed,
                wait=T,
                proves=self.proves,
            )
            is_offline = host.seen.status == "offline"
            nodes[name] = replace(
                host.seen,
                lease=None if is_offline else lease,
                answers=("mcvd",) if host.is_there else (),
                told=host.is_there,
                is_empty=self._is_empty(name) if host.is_there else None,
                asks=is_offline and host.is_there and not host.seen.maintenance,
                can_fence=self.device_fails < 1.0,
                fence=host.fence,
            )
        services = {
            name: replace(
                seen,
                runs=tuple(sorted(on for on in self.runs[name] if self.hosts[on].is_there)),
            )
            for name, seen in self.services.items()
        }
        return Snapshot(
            now=self.now,
            term=self.term,
            manager=MANAGER,
            ha=Ha(armed=True),
            watched=self.now,
            nodes=nodes,
            services=services,
            domains=self.domains,
            ties=(Tie(kind="apart", names=("a", "b")), Tie(kind="together", names=("c", "d"))),
        )

    def _is_empty(self, node: str) -> bool:
        return not any(node in copies for copies in self.runs.values())

    def _judge(self, action: AnyAction, look: Snapshot) -> None:
        """What no decision may ask for, whatever is seen."""
        if isinstance(action, Start):
            seen = look.services[action.service]
            there = look.nodes[action.node]
            state = self.status.nodes[action.node].state
            if (seen.node, there.status, state) != (action.node, "online", "online"):
                self.worst.append(f"{action} on {state}, {there.status}, owner {seen.node}")
        if isinstance(action, TakeOver):
            for name, taker in action.takers.items():
                states = self.status.nodes[action.node].state, self.status.nodes[taker].state
                if look.nodes[action.node].status != "offline" or states[1] != "online":
                    self.worst.append(f"{name} is taken from {action.node}: {states}")
        if isinstance(action, Declare):
            lease = look.nodes[action.node].lease
            if lease is None or lease.revision != action.lease:
                self.worst.append(f"{action} without its lease")
            if action.evidence == "lease" and (lease is None or lease.age < T):
                self.worst.append(f"{action} before T")

    def carry_out(self, action: AnyAction) -> None:
        match action:
            case Declare(node=node, lease=lease):
                host = self.hosts[node]
                if lease == host.revision:
                    evidence = action.evidence
                    host.seen = replace(host.seen, status="offline", evidence=evidence)
            case Fence(uid=uid, node=node):
                self._fence(uid, self.hosts[node])
            case SwitchOn(uid=uid, node=node):
                self.hosts[node].is_up = True
                self.hosts[node].fence = FenceSeen(uid=uid, outcome="on")
                self.wakes += 1
            case Admit(node=node):
                host = self.hosts[node]
                if host.is_there and self._is_empty(node):
                    host.seen = replace(host.seen, status="online", evidence=None)
                    host.renewed, host.revision = self.now, host.revision + 1
            case Maintain(node=node):
                there = self.hosts[node].seen
                self.hosts[node].seen = replace(
                    there, status="offline", maintenance=True, draining=False
                )
            case TakeOver(node=node, takers=takers):
                for name, taker in takers.items():
                    seen = self.services[name]
                    if seen.node == node and self.hosts[node].seen.status == "offline":
                        self.services[name] = replace(seen, node=taker)
            case GiveUp(service=name, why=why):
                seen = self.services[name]
                self.services[name] = replace(seen, entry=replace(seen.entry, failed=why))
            case Start() | Stop() | Migrate() | Relocate():
                self._work(action)

    def _fence(self, uid: str, host: Host) -> None:
        if host.fence is not None and host.fence.uid == uid:
            return
        if self.chance.random() < self.device_fails:
            host.fence = FenceSeen(uid=uid, outcome="failed")
            return
        self._power_off(host)
        host.fence = FenceSeen(uid=uid, outcome="off")

    def _work(self, action: Start | Stop | Migrate | Relocate) -> None:
        """A worker does what it is told once, if it is there."""
        name, node = action.service, action.node
        if action.uid in self.done or not self.hosts[node].is_there:
            return
        self.done.add(action.uid)
        seen, copies = self.services[name], self.runs[name]
        outcome = "done" if self.chance.random() < 0.85 else "failed"
        if seen.node != node:
            outcome = "failed"
        if outcome == "done":
            if isinstance(action, Start):
                copies.add(node)
            else:
                copies.discard(node)
        if outcome == "done" and isinstance(action, Migrate | Relocate):
            if isinstance(action, Migrate):
                copies.add(action.target)
            seen = replace(seen, node=action.target)
        result = Result(uid=action.uid, outcome="done" if outcome == "done" else "failed")
        self.services[name] = replace(seen, result=result)

    def _look_at_copies(self) -> None:
        for name, copies in self.runs.items():
            if len(copies) > 1:
                self.worst.append(f"{self.now:.0f}: {name} runs on {sorted(copies)}")
