"""The managers of a story's cluster: mcv's own, one on each host, over the cluster as it is.

All calls of theirs are answered at once; at any of them the process may be killed.
"""

from collections.abc import Coroutine
from typing import TypeVar

from msgspec import structs

from mcv.ha import values
from mcv.ha.env import Answer, Txn, Unknown
from mcv.ha.manager import Manager, Office
from mcv.ha.taking import Watch
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
from mcv.rules.ha.snapshot import FenceOutcome, FenceSeen, NodeSeen, ServiceSeen, Snapshot
from mcv.rules.ha.status import Status
from mcv.system.lease import LeaseFile
from tests.ha.story_cluster import Cluster
from tests.ha.story_worker import order

ROUND = 2  # s
OFF_AND_ASKED = 3  # s that a fence device takes
RESTART = 2  # s until systemd has started mcvd again

T = TypeVar("T")


class ManagerKilled(Exception):
    """Its process was killed between two of its calls."""


def at_once(call: Coroutine[object, None, T]) -> T:
    """The answer of what never waits."""
    try:
        call.send(None)
    except StopIteration as end:
        answer: T = end.value
        return answer
    raise AssertionError("a call waits")


class StoryEnv:
    """The world as mcvd of one host sees it."""

    def __init__(self, cluster: Cluster, node: str) -> None:
        self.cluster = cluster
        self.node = node
        self.boot = cluster.hosts[node].boot
        self.asked: set[str] = set()
        self.fences: dict[str, FenceSeen] = {}

    async def now(self) -> float:
        return self.cluster.clock(self.cluster.hosts[self.node])

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("a manager sleeps")

    async def say(self, text: str) -> None:
        self.cluster.say(text)

    async def txn(self, txn: Txn) -> Answer:
        if txn.puts:
            self._call()
        if not self.cluster.is_at_work(self.node):
            raise Unknown
        return self.cluster.store.keys.commit(txn)

    async def lease_file(self) -> LeaseFile | None:
        return LeaseFile(self.boot, self.cluster.hosts[self.node].lease_until)

    def _call(self) -> None:
        """A call at which a manager may be killed."""
        cluster, host = self.cluster, self.cluster.hosts[self.node]
        cluster.calls += 1
        if cluster.killed_every and cluster.calls % cluster.killed_every == 0:
            raise ManagerKilled
        if host.dies_in is not None:
            host.dies_in -= 1
            if host.dies_in < 0:
                host.dies_in = None
                raise ManagerKilled

    # What it sees

    async def look(self) -> Snapshot:
        store = self.cluster.store
        return Snapshot(
            now=0.0,
            term=0,
            manager=self.node,
            ha=store.ha,
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
        answers = (("mcvd",) if is_there else ()) if name in self.asked else None
        self.asked.discard(name)
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
            answers=answers,
            told=tells,
            boot=host.boot if tells else "",
            is_empty=not host.runs if tells else None,
            asks=tells and node.status == "offline" and not host.leaving,
            memory=node.memory - used if node.memory else 1 << 60,
            can_fence=bool(host.device) and host.is_tested,
            fence=self.fences.get(name),
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
            places=service.places,
            memory=service.memory,
            live=service.live,
            claim=service.claim,
            result=service.result,
        )

    # What it does

    async def begin(self, action: AnyAction, office: Office) -> None:
        self._call()
        if self.cluster.store.keys.revision_of(values.MANAGER) == office.revision:
            self._do(action)

    def _do(self, action: AnyAction) -> None:
        cluster, store = self.cluster, self.cluster.store
        match action:
            case Start() | Stop() | Migrate() | Relocate():
                if self._tells(action.node):
                    order(cluster, action)
            case Ask():
                self.asked.add(action.node)
            case Declare():
                if is_unchanged(cluster, action):
                    cluster.bury(action.node, action.evidence)
            case TakeOver():
                self._take_over(action)
            case Admit():
                self._admit(action.node)
            case Maintain():
                cluster.rest(action.node)
            case Fence():
                self._fence(action)
            case Distrust():
                cluster.hosts[action.node].is_tested = False
            case SwitchOn():
                cluster.power_on(action.node)
                self.fences[action.node] = FenceSeen(uid=action.uid, outcome="on")
            case Resume():
                cluster.change(action.service, claim=None)
            case GiveUp():
                entry = store.services[action.service].entry
                failed = structs.replace(entry, failed=action.why)
                cluster.change(action.service, entry=failed)

    def _take_over(self, action: TakeOver) -> None:
        """All in one change, which is refused for a node that is online, as vm.take_all is."""
        store = self.cluster.store
        takers = set(action.takers.values())
        if store.nodes[action.node].status == "online" or any(
            store.nodes[taker].status != "online" for taker in takers
        ):
            self.cluster.say(f"what {action.node} had is not taken over now")
            return
        # A node that is offline in good order counts as fenced in their stories, once that matters.
        entries = [store.services[name].entry for name in action.takers]
        if any(entry.wanted != "ignored" and not entry.failed for entry in entries):
            self.cluster.fenced.add(action.node)
        for name, taker in action.takers.items():
            if store.services[name].node == action.node:
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


def is_unchanged(cluster: Cluster, action: Declare) -> bool:
    """What the transaction compares: the revision of the node's lease, 0 for none."""
    return cluster.store.keys.revision_of(values.lease_key(action.node)) == action.lease


class Managers:
    """mcvd of every host, each with a manager that may hold the office."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._running: dict[str, tuple[int, StoryEnv, Manager, Watch]] = {}

    def step(self) -> None:
        """One round of every mcvd that is at work."""
        for name in sorted(self._cluster.hosts):
            if self._cluster.is_at_work(name):
                try:
                    self._step(name)
                except Unknown:
                    pass
                except ManagerKilled:
                    self._killed(name)

    def _step(self, name: str) -> None:
        host = self._cluster.hosts[name]
        self._cluster.come_back(name)
        if name not in self._running or self._running[name][0] != host.lives:
            env = StoryEnv(self._cluster, name)
            watch = Watch(env)
            manager = Manager(env, watch, f"{host.boot}.{host.lives}")
            self._running[name] = host.lives, env, manager, watch
        _, env, manager, watch = self._running[name]
        if not host.manages:
            at_once(watch.look())
            return
        before = self._cluster.store.keys.status
        if at_once(manager.step()) is not None:
            self._tell(before, manager.status)

    def _killed(self, name: str) -> None:
        host = self._cluster.hosts[name]
        self._cluster.say(f"{name}'s mcvd is killed")
        host.stalled.add("killed")
        self._cluster.mcvd_ends(host)
        self._cluster.later(RESTART, lambda: host.stalled.discard("killed"))

    def _tell(self, before: Status, after: Status) -> None:
        for now, then in ((after.nodes, before.nodes), (after.services, before.services)):
            for name, has in now.items():
                if name not in then or then[name].state != has.state:
                    self._cluster.say(f"  {name} is {has.state}")
