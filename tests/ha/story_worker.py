"""What the hosts of a story do for the manager: its actions on services, each once at most."""

from mcv.rules.ha.actions import Migrate, Relocate, ServiceAction, Start, Stop
from mcv.rules.ha.snapshot import Outcome, Result
from tests.ha.stories import Failing
from tests.ha.story_cluster import Cluster
from tests.ha.story_values import Host, Job

LASTS = {Start: 3, Stop: 3, Migrate: 5, Relocate: 5}  # s


def order(cluster: Cluster, action: ServiceAction) -> None:
    """Begin an action on its host; without effect where it is known there already."""
    host = cluster.hosts[action.node]
    service = cluster.store.services.get(action.service)
    job = host.jobs.get(action.service)
    if service is None or job is not None:
        return
    if service.result is not None and service.result.uid == action.uid:
        return
    host.jobs[action.service] = Job(action, cluster.time + LASTS[type(action)])
    cluster.say(f"{action.node}: {action}")


def work(cluster: Cluster) -> None:
    """End the actions that are due on every host where mcvd is at work."""
    for host in cluster.hosts.values():
        due = [job for job in host.jobs.values() if job.ends <= cluster.time]
        for job in due:
            if host.jobs.pop(job.action.service, None) and job.action.service in (
                cluster.store.services
            ):
                _end(cluster, host, job.action)


def _end(cluster: Cluster, host: Host, action: ServiceAction) -> None:
    # What mcvd did not see end is unknown; what the store forbids has failed.
    outcome: Outcome = "unknown" if host.stalled else "failed"
    if cluster.is_at_work(host.name):
        outcome = _carry_out(cluster, host, action)
    if outcome != "done":
        cluster.say(f"{host.name}: {action.service}: {outcome}")
    cluster.change(action.service, result=Result(uid=action.uid, outcome=outcome))


def _carry_out(cluster: Cluster, host: Host, action: ServiceAction) -> Outcome:
    name = action.service
    match action:
        case Start():
            return _start(cluster, host, name)
        case Stop():
            return "done" if cluster.stop(name, host.name, force=action.force) else "stop-failed"
        case Migrate():
            return "done" if move(cluster, name, action.target, live=True) else "failed"
        case Relocate():
            return _relocate(cluster, name, action.target)


def _start(cluster: Cluster, host: Host, name: str) -> Outcome:
    """A start looks at the newest document and at the lease, and passes neither."""
    is_owner = cluster.store.services[name].node == host.name
    has_lease = not cluster.store.ha.armed or cluster.clock(host) < host.lease_until
    if not (is_owner and has_lease):
        return "failed"
    return "done" if cluster.start(name, host.name) else "failed"


def _relocate(cluster: Cluster, name: str, target: str) -> Outcome:
    before = cluster.store.services[name].node
    if name in cluster.hosts[before].runs:
        if not move_succeeds(cluster, name, target):
            return "failed"
        cluster.stop(name, before, force=True)
    cluster.change(name, node=target)
    return "done"


def move_succeeds(cluster: Cluster, name: str, target: str) -> bool:
    """Whether nothing keeps a service from being moved now."""
    before = cluster.store.services[name].node
    if not cluster.is_at_work(target) or cluster.store.nodes[target].status != "online":
        return False
    tries = cluster.failing.get(name, Failing()).moves
    return not cluster.fails("move", name, before, tries)


def move(cluster: Cluster, name: str, target: str, *, live: bool, home: bool = False) -> bool:
    """Move a service; whether that was done. A service that is not live is stopped first."""
    service = cluster.store.services[name]
    before, after = cluster.hosts[service.node], cluster.hosts[target]
    is_running = name in before.runs
    if before is after or not move_succeeds(cluster, name, target):
        return False
    before.runs.discard(name)
    if is_running and live:
        after.runs.add(name)
    cluster.change(name, node=target, home=target if home else service.home)
    return True
