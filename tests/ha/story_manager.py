"""The manager of a story's cluster: what it sees, and what becomes of what `decide` says."""

from msgspec import structs

from mcv.rules.ha import status as kept
from mcv.rules.ha.actions import (
    Admit,
    AnyAction,
    Ask,
    Declare,
    Distrust,
    Fence,
    GiveUp,
    Maintain,
    Migrate,
    Relocate,
    Resume,
    Start,
    Stop,
    SwitchOn,
    TakeOver,
)
from mcv.rules.ha.decide import decide
from mcv.rules.ha.snapshot import (
    FenceOutcome,
    FenceSeen,
    LeaseSeen,
    NodeSeen,
    ServiceSeen,
    Snapshot,
)
from tests.ha.story_cluster import PERIODS, Cluster, Seen, Violation
from tests.ha.story_worker import order

ROUND = 2  # s
OFF_AND_ASKED = 3  # s that a fence device takes


class ManagerKilled(Exception):
    """Its process was killed between two of its calls."""


class Manager:
    """Whoever holds the manager's key; another one begins anew, by the kept status alone."""

    def __init__(self, cluster: Cluster, node: str) -> None:
        self.cluster = cluster
        self.node = node
        self.asked: set[str] = set()
        self.fences: dict[str, FenceSeen] = {}
        self.quiet = 0.0  # for how long it has not been at work
        cluster.store.manager, cluster.store.term = node, cluster.store.term + 1
        cluster.say(f"{node} is the manager")

    @property
    def is_at_work(self) -> bool:
        """Whether it writes: its program runs, under a valid lease where there are leases."""
        host, store = self.cluster.hosts[self.node], self.cluster.store
        has_lease = not store.ha.armed or self.cluster.time < host.lease_until
        return host.manages and has_lease and self.cluster.is_at_work(self.node)

    def round(self) -> None:
        """Look, decide, write the status down, and do what is to be done."""
        store = self.cluster.store
        before = kept.decode(store.status) if store.status else kept.Status()
        after, actions, _ = decide(self._look(), before)
        self._call()
        store.status = kept.encode(after)
        self._tell(before, after)
        self.asked = {action.node for action in actions if isinstance(action, Ask)}
        for action in actions:
            self._call()
            self._do(action)

    def _call(self) -> None:
        """A call at which the manager may be killed."""
        cluster, host = self.cluster, self.cluster.hosts[self.node]
        cluster.calls += 1
        if cluster.killed_every and cluster.calls % cluster.killed_every == 0:
            raise ManagerKilled
        if host.dies_in is not None:
            host.dies_in -= 1
            if host.dies_in < 0:
                host.dies_in = None
                raise ManagerKilled

    def _tell(self, before: kept.Status, after: kept.Status) -> None:
        for now, then in ((after.nodes, before.nodes), (after.services, before.services)):
            for name, has in now.items():
                if name not in then or then[name].state != has.state:
                    self.cluster.say(f"  {name} is {has.state}")

    # What it sees

    def _look(self) -> Snapshot:
        store = self.cluster.store
        return Snapshot(
            now=self.cluster.time,
            term=store.term,
            manager=self.node,
            ha=store.ha,
            suspicion=PERIODS.suspicion,
            watched=self.cluster.time - self.cluster.hosts[self.node].watches_since,
            nodes={name: self._node(name) for name in store.nodes},
            services={name: self._service(name) for name in store.services},
            domains=store.domains,
            ties=store.ties,
        )

    def _tells(self, name: str) -> bool:
        return self.cluster.is_at_work(name) and self.cluster.linked(self.node, name)

    def _node(self, name: str) -> NodeSeen:
        cluster, host, node = self.cluster, self.cluster.hosts[name], self.cluster.store.nodes[name]
        tells = self._tells(name)
        is_there = cluster.linked(self.node, name) and cluster.time >= host.up_at
        used = sum(
            service.memory for service in cluster.store.services.values() if service.node == name
        )
        return NodeSeen(
            name=name,
            status="online" if node.status == "online" else "offline",
            maintenance=node.maintenance,
            draining=node.draining,
            evidence=node.evidence,
            leaving=host.leaving if tells else "",
            lease=self._lease(name),
            answers=(("mcvd",) if is_there else ()) if name in self.asked else None,
            told=tells,
            is_empty=not host.runs if tells else None,
            asks=tells and node.status == "offline" and not host.leaving,
            memory=node.memory - used if node.memory else 1 << 60,
            can_fence=bool(host.device) and host.is_tested,
            fence=self.fences.get(name),
        )

    def _lease(self, name: str) -> LeaseSeen | None:
        """None is a lease that is gone, and never one that was not read yet."""
        lease = self.cluster.store.leases.get(name)
        if lease is None:
            return None
        unread = Seen(lease.revision, self.cluster.time)
        seen = self.cluster.hosts[self.node].seen.get(name, unread)
        return LeaseSeen(
            revision=seen.revision,
            boot=str(lease.boot),
            age=self.cluster.time - seen.since,
            wait=PERIODS.wait,
            proves=True,
            moved=seen.moved,
        )

    def _service(self, name: str) -> ServiceSeen:
        service = self.cluster.store.services[name]
        hosts = self.cluster.hosts.values()
        return ServiceSeen(
            name=name,
            node=service.node,
            kind="vm" if service.live else "service",
            entry=service.entry,
            home=service.home,
            runs=tuple(host.name for host in hosts if name in host.runs and self._tells(host.name)),
            memory=service.memory,
            live=service.live,
            claim=service.claim,
            result=service.result,
        )

    # What it does

    def _do(self, action: AnyAction) -> None:
        cluster, store = self.cluster, self.cluster.store
        match action:
            case Start() | Stop() | Migrate() | Relocate():
                if self._tells(action.node):
                    order(cluster, action)
            case Declare():
                self._declare(action)
            case TakeOver():
                self._take_over(action)
            case Admit():
                self._admit(action.node)
            case Maintain():
                cluster.say(f"{action.node} is in maintenance")
                cluster.change_node(action.node, status="offline", maintenance=True)
                store.leases.pop(action.node, None)
                cluster.hosts[action.node].lease_until = 0
            case Fence():
                self._fence(action)
            case Distrust():
                cluster.hosts[action.node].is_tested = False
            case SwitchOn():
                cluster.power_on(action.node)
            case Resume():
                cluster.change(action.service, claim=None)
            case GiveUp():
                entry = store.services[action.service].entry
                failed = structs.replace(entry, failed=action.why)
                cluster.change(action.service, entry=failed)

    def _declare(self, action: Declare) -> None:
        """Offline by evidence, if the lease is as it was seen; the evidence has to be true."""
        if self.is_unchanged(action):
            self.cluster.bury(action.node, action.evidence)

    def is_unchanged(self, action: Declare) -> bool:
        """What the transaction compares: the revision of the node's lease, 0 for none."""
        lease = self.cluster.store.leases.get(action.node)
        return action.lease == (lease.revision if lease else 0)

    def _take_over(self, action: TakeOver) -> None:
        store = self.cluster.store
        for name, taker in action.takers.items():
            if store.services[name].node != action.node:
                continue
            if store.nodes[action.node].status == "online" or store.nodes[taker].status != "online":
                raise Violation(f"{taker} takes {name} from {action.node}, or is not there")
            self.cluster.change(name, node=taker)

    def _admit(self, name: str) -> None:
        cluster, host, store = self.cluster, self.cluster.hosts[name], self.cluster.store
        if not self._tells(name) or host.runs or store.nodes[name].status == "online":
            return
        cluster.say(f"{name} is online again")
        cluster.change_node(name, status="online", evidence=None, maintenance=False)
        cluster.new_lease(name)

    def _fence(self, action: Fence) -> None:
        """Off, and then asked: a device that hangs fails, one that lies or is wrong says off."""
        cluster, name = self.cluster, action.node
        if name in self.fences and self.fences[name].uid == action.uid:
            return
        self.fences[name] = FenceSeen(uid=action.uid, outcome="running")
        device = cluster.hosts[name].device

        def end() -> None:
            if device == "ok":
                cluster.power_off(name, "fenced")
            outcome: FenceOutcome = "failed" if device in ("", "hang") else "off"
            self.fences[name] = FenceSeen(uid=action.uid, outcome=outcome)

        cluster.later(OFF_AND_ASKED, end)
