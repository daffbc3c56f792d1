"""A story is played: batches every 100 seconds, the cluster and its manager in between."""

from dataclasses import dataclass

from mcv.document.availability import Ha
from mcv.document.ha_entries import FailoverDomain, HaEntry, Tie
from tests.ha.stories import Domain, Story, StoryService
from tests.ha.story_cluster import PERIODS, Cluster, Violation
from tests.ha.story_keys import Keys
from tests.ha.story_manager import ROUND, Managers
from tests.ha.story_operator import Operator
from tests.ha.story_outcome import Outcome
from tests.ha.story_values import DocNode, DocService, Host, Store
from tests.ha.story_worker import work

FIRST = 20  # s until the first batch
AFTER = 600  # s after the last batch

# States of ours that the stories' words do not tell apart.
SAME = {"blocked": "recovery", "starting": "started", "migrating": "started"}


@dataclass(frozen=True)
class Played:
    """What a story came to, what was violated ("" for nothing), and what was done."""

    outcome: Outcome
    violation: str
    log: list[str]


def play(story: Story, killed_every: int = 0, after: int = AFTER) -> Played:
    """Play a story, and `after` seconds more.

    `killed_every` so many of its calls the manager is killed; 0: never.
    """
    cluster = begin(story)
    cluster.killed_every = killed_every
    operator = Operator(cluster)
    managers = Managers(cluster)
    batches = list(story.batches)
    violation = ""
    try:
        while batches or cluster.time < FIRST + story.between * len(story.batches) + after:
            cluster.tick()
            if batches and (cluster.time - FIRST) % story.between == 0:
                for command in batches.pop(0):
                    operator.say(command)
            operator.tick()
            work(cluster)
            if cluster.time % ROUND == 0:
                managers.step()
            cluster.look()
    except Violation as found:
        violation = str(found)
    return Played(outcome(cluster), violation, cluster.log)


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
        keys=Keys(),
    )
    hosts = {name: Host(name) for name in story.nodes}
    failing = {name: has.failing for name, has in story.services.items()}
    for name in story.nodes:
        if name not in dead:
            store.keys.renew(name, hosts[name].boot, PERIODS)
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
    states = {name: each.state for name, each in store.keys.status.services.items()}
    services = {
        name: (SAME.get(state, state), service.node)
        for name, service in store.services.items()
        if service.entry.wanted != "ignored"
        for state in [states.get(name, "stopped")]
    }
    return Outcome(services, frozenset(cluster.fenced), cluster.relocations)
