"""A story is played: batches every 100 seconds, the cluster and its manager in between."""

from dataclasses import dataclass

from mcv.document.availability import Ha
from mcv.document.ha_entries import FailoverDomain, HaEntry, Tie
from mcv.rules.ha import status as kept
from tests.ha.stories import Domain, Story, StoryService
from tests.ha.story_cluster import (
    PERIODS,
    Cluster,
    DocNode,
    DocService,
    Host,
    Lease,
    Store,
    Violation,
)
from tests.ha.story_manager import ROUND, Manager, ManagerKilled
from tests.ha.story_operator import Operator
from tests.ha.story_outcome import Outcome
from tests.ha.story_worker import work

FIRST = 20  # s until the first batch
BETWEEN = 100  # s
AFTER = 600  # s after the last batch
RESTART = 2  # s until systemd has started mcvd again

# States of ours that the stories' words do not tell apart.
SAME = {"blocked": "recovery", "starting": "started", "migrating": "started"}


@dataclass(frozen=True)
class Played:
    """What a story came to, what was violated ("" for nothing), and what was done."""

    outcome: Outcome
    violation: str
    log: list[str]


def play(story: Story, killed_every: int = 0) -> Played:
    """Play a story; `killed_every` so many of its calls the manager is killed."""
    cluster = begin(story)
    cluster.killed_every = killed_every
    operator = Operator(cluster)
    manager: Manager | None = None
    batches = list(story.batches)
    violation = ""
    try:
        while batches or cluster.time < FIRST + BETWEEN * len(story.batches) + AFTER:
            cluster.tick()
            if batches and (cluster.time - FIRST) % BETWEEN == 0:
                for command in batches.pop(0):
                    operator.say(command)
            operator.tick()
            manager = elect(cluster, manager)
            work(cluster)
            if manager is not None and manager.is_at_work and cluster.time % ROUND == 0:
                manager = decided(cluster, manager)
            cluster.look()
    except Violation as found:
        violation = str(found)
    return Played(outcome(cluster), violation, cluster.log)


def decided(cluster: Cluster, manager: Manager) -> Manager:
    """The manager after its round: itself, or, where it was killed, a new process."""
    try:
        manager.round()
    except ManagerKilled:
        cluster.say(f"{manager.node}'s manager is killed")
        host = cluster.hosts[manager.node]
        host.stalled.add("killed")
        cluster.mcvd_ends(host)
        cluster.later(RESTART, lambda: host.stalled.discard("killed"))
        return Manager(cluster, manager.node)
    return manager


def elect(cluster: Cluster, manager: Manager | None) -> Manager | None:
    """Another manager where the last one has not been at work for T, or has given its key back."""
    if manager is not None and manager.is_at_work:
        manager.quiet = 0
        return manager
    if manager is not None:
        manager.quiet += 1
        host = cluster.hosts[manager.node]
        gave_back = not host.manages or (not host.is_on and not host.lease_until)
        if manager.quiet < PERIODS.wait and not gave_back:
            return manager
    for name in sorted(cluster.hosts):
        candidate = Candidate(cluster, name)
        if candidate.can_manage:
            return Manager(cluster, name)
    return manager


@dataclass(frozen=True)
class Candidate:
    """A host that would be the manager."""

    cluster: Cluster
    name: str

    @property
    def can_manage(self) -> bool:
        store, host = self.cluster.store, self.cluster.hosts[self.name]
        is_member = store.nodes[self.name].status == "online"
        has_lease = not store.ha.armed or self.cluster.time < host.lease_until
        return is_member and has_lease and host.manages and self.cluster.is_at_work(self.name)


# The beginning and the end


def begin(story: Story) -> Cluster:
    """The cluster as a story finds it; leases are those of before the power went.

    Their fencing is never taken back, and neither is a declaration of ours: a node whose fencing
    was decided before the story is declared.
    """
    recovered = {begun.node for begun in story.begun.values() if begun.state == "recovery"}
    dead = story.condemned | recovered
    nodes = {
        name: DocNode(
            status="offline" if name in dead else "online",
            evidence="lease" if name in dead else None,
            memory=node.memory,
        )
        for name, node in story.nodes.items()
    }
    store = Store(
        nodes=nodes,
        services={name: _service(story, name, has) for name, has in story.services.items()},
        ha=Ha(armed=True, on_lost_lease="reset", on_shutdown=story.on_shutdown),  # type: ignore[arg-type]
        domains={name: _domain(domain) for name, domain in story.domains.items()},
        ties=tuple(_tie(kind, names) for kind, names in story.ties),
        leases={name: Lease(1, 0) for name in story.nodes if name not in dead},
    )
    hosts = {name: Host(name) for name in story.nodes}
    failing = {name: has.failing for name, has in story.services.items()}
    cluster = Cluster(store, hosts, failing)
    cluster.fenced.update(story.condemned)
    for name, node in story.nodes.items():
        if node.is_on:
            cluster.power_on(name)
            hosts[name].is_linked = node.is_linked
    return cluster


def _service(story: Story, name: str, has: StoryService) -> DocService:
    begun = story.begun.get(name)
    has_failed = begun is not None and begun.state == "failed"
    entry = HaEntry(
        wanted=has.wanted,  # type: ignore[arg-type]
        domain=has.domain,
        max_restarts=has.restarts,
        max_relocates=has.relocates,
        failback=has.failback,
        failed="it had failed before" if has_failed else "",
    )
    memory = story.memory.get(name, 0)
    return DocService(has.node, has.node, entry, has.is_live, memory)


def _tie(kind: str, names: frozenset[str]) -> Tie:
    return Tie(kind="together" if kind == "together" else "apart", names=tuple(sorted(names)))


def _domain(domain: Domain) -> FailoverDomain:
    return FailoverDomain(
        nodes=domain.nodes,
        ordered=len(set(domain.nodes.values())) > 1,
        restricted=domain.restricted,
        failback=domain.failback,
    )


def outcome(cluster: Cluster) -> Outcome:
    """Where all is; what high availability does not look after is not counted."""
    store = cluster.store
    status = kept.decode(store.status) if store.status else kept.Status()
    states = {name: each.state for name, each in status.services.items()}
    services = {
        name: (SAME.get(state, state), service.node)
        for name, service in store.services.items()
        if service.entry.wanted != "ignored"
        for state in [states.get(name, "stopped")]
    }
    return Outcome(services, frozenset(cluster.fenced), cluster.relocations)
