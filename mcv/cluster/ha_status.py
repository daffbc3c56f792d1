"""mcv ha status: who has a lease, until when, and what is not well."""

from typing import Literal, NamedTuple

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from mcv.cluster import ha_list, ha_told, lease_orders
from mcv.cluster.ha_list import HaRow
from mcv.cluster.ha_told import Decided
from mcv.document import etcd_voters
from mcv.document.arms import has_leases, is_pair
from mcv.document.model import Cluster, Node
from mcv.errors import McvError
from mcv.etcd.keys import ClusterKeys
from mcv.ha import timing, values
from mcv.ha.values import Mark
from mcv.host import Host
from mcv.system.answers import ask_typed

ASK = 1.5  # s that a node has to tell of its lease: reads answer within 3 s

State = Literal[
    "online", "suspect", "fencing", "fence-failed", "offline", "draining", "maintenance"
]


class NodeLease(Struct, frozen=True, kw_only=True):
    """A node's lease as it tells of it: seconds left, None without one; whether mcv-lease runs."""

    left: float | None = None
    runs: bool = False
    told: bool = False


class WatchdogView(Struct, frozen=True, kw_only=True):
    """A node's watchdog as arming measured it; times in seconds."""

    kind: str
    timeout: int
    grain: float
    proves: bool


class HaNode(Struct, frozen=True, kw_only=True):
    """One member. `problem` says what is wrong with its lease, "" where nothing is.

    `lease_left` is what the node says, in seconds; of one that does not answer the most that it
    can be. `lease_age` is for how long the asked node has seen the lease unchanged, None where it
    has seen none, or where the lease is its own.
    """

    node: str
    state: State
    lease_left: float | None
    lease_age: float | None = None
    watchdog: WatchdogView | None
    evidence: str | None
    since: str | None
    problem: str = ""


class StaleView(Struct, frozen=True, kw_only=True):
    """A resource with a replica that is marked stale, the VM, and whose replica it is."""

    resource: str
    vm: str
    behind: str
    since: str = ""
    why: str = ""


class HaStatus(Struct, frozen=True, kw_only=True):
    """High availability as this node sees it.

    `wait` is T, the seconds after which a lease that does not move may be taken; `manager`,
    `term` are empty before there is a manager; two nodes without a witness have neither T nor a
    term. `stale` is None where etcd does not tell. `attention` has a line for each thing that needs
    somebody.
    """

    armed: bool
    quorum: bool
    manager: str | None
    term: int | None
    pace: int
    wait: int | None
    nodes: list[HaNode]
    services: list[HaRow]
    stale: list[StaleView] | None
    attention: list[str]


def own(host: Host) -> NodeLease:
    """Tell another node of this node's lease."""
    return NodeLease(
        left=host.lease.left(),
        runs=host.lease.is_running(),
        told=host.lease.told() is not None,
    )


def status(host: Host) -> HaStatus:
    """Whether the cluster is armed, each node's lease and watchdog, and what is marked stale."""
    cluster = host.read()
    answers = ask_typed(host.call, sorted(cluster.nodes), "ha.lease", ASK, NodeLease)
    quorum = _quorum(host, cluster)
    decided = ha_told.ask(host)
    nodes = [
        _of_two(cluster, node, answers[name], decided)
        if is_pair(cluster)
        else _decided(
            _node(cluster, node, answers[name], _seen(host, cluster, name)), node, decided
        )
        for name, node in sorted(cluster.nodes.items())
    ]
    stale = _stale(host, cluster) if quorum or cluster.store is None else None
    return HaStatus(
        armed=cluster.ha.armed,
        quorum=quorum,
        manager=decided.manager or None,
        term=(decided.term or None) if not is_pair(cluster) else None,
        pace=cluster.ha.pace,
        wait=lease_orders.longest_wait(cluster),
        nodes=nodes,
        services=ha_list.rows(host, decided),
        stale=stale,
        attention=_attention(cluster, nodes, stale, decided),
    )


def _quorum(host: Host, cluster: Cluster) -> bool:
    if cluster.store is None:
        return host.consensus.in_contact
    voters = host.etcd.shown(etcd_voters.voters(cluster))
    answering = [voter for voter in voters if voter.state in ("leader", "voter")]
    return etcd_voters.has_quorum(len(answering), len(voters))


class LeaseWatched(NamedTuple):
    """Another node's lease as this node has watched it; times in seconds."""

    age: float
    left: float  # at most

    def has_moved(self, pace: int) -> bool:
        return self.age < timing.at_pace(pace).suspicion


def _seen(host: Host, cluster: Cluster, name: str) -> LeaseWatched | None:
    """None where this node has watched none, which may be since its mcvd has just begun."""
    seen = host.leases.seen(name) if cluster.ha.armed and name != host.name else None
    if seen is None:
        return None
    age = host.leases.age(name)
    return LeaseWatched(round(age, 1), max(0.0, round(seen.held.validity - age, 1)))


def _node(
    cluster: Cluster, node: Node, answer: NodeLease | McvError, seen: LeaseWatched | None
) -> HaNode:
    watchdog = node.watchdog
    left = answer.left if isinstance(answer, NodeLease) else seen.left if seen else None
    return HaNode(
        node=node.name,
        state=_state(cluster, node, answer, seen),
        lease_left=left,
        lease_age=seen.age if seen else None,
        watchdog=None
        if watchdog is None
        else WatchdogView(
            kind=watchdog.kind,
            timeout=watchdog.timeout,
            grain=watchdog.grain,
            proves=watchdog.hardware or cluster.ha.trust_softdog,
        ),
        evidence=node.evidence.kind if node.evidence else None,
        since=node.evidence.when if node.evidence else None,
        problem=_problem(cluster, node, answer, seen),
    )


def _decided(seen: HaNode, node: Node, decided: Decided) -> HaNode:
    """A node as this one sees it; that it is fenced is known to the manager alone."""
    told = decided.nodes.get(node.name, "")
    if node.status == "offline" or told not in ("fencing", "fence-failed"):
        return seen
    return replace(seen, state=msgspec.convert(told, State))


def _of_two(cluster: Cluster, node: Node, answer: NodeLease | McvError, decided: Decided) -> HaNode:
    """A node of two without a witness: there is no lease, and the decision says how it is."""
    state: State = "maintenance" if node.maintenance else "offline"
    if node.status == "online":
        seen: State = "suspect" if isinstance(answer, McvError) else "online"
        told = decided.nodes.get(node.name, "offline")
        state = "draining" if node.draining and seen == "online" else seen
        # What was decided before the document said online is over.
        state = msgspec.convert(told, State) if told not in ("offline", "maintenance") else state
    evidence = node.evidence
    return HaNode(
        node=node.name,
        state=state,
        lease_left=None,
        watchdog=None,
        evidence=evidence.kind if evidence else None,
        since=evidence.when if evidence else None,
        problem=answer.message if isinstance(answer, McvError) and node.status == "online" else "",
    )


def _state(
    cluster: Cluster, node: Node, answer: NodeLease | McvError, seen: LeaseWatched | None
) -> State:
    if node.status == "offline":
        return "maintenance" if node.maintenance else "offline"
    is_alive = isinstance(answer, NodeLease) and bool(answer.left)
    if isinstance(answer, McvError):
        is_alive = seen is not None and seen.has_moved(cluster.ha.pace)
    if cluster.ha.armed and not is_alive:
        return "suspect"
    return "draining" if node.draining else "online"


def _problem(
    cluster: Cluster, node: Node, answer: NodeLease | McvError, seen: LeaseWatched | None
) -> str:
    if isinstance(answer, McvError):
        told = "" if seen is None else f" Its lease has not moved for {seen.age:.0f} s."
        return f"{answer.message}{told}" if node.status == "online" else ""
    if not cluster.ha.armed:
        return "its watchdog still counts" if answer.runs or answer.told else ""
    if node.status == "offline":
        return ""
    if not answer.runs:
        return f"mcv-lease does not run; on {node.name}: journalctl -u mcv-lease"
    return (
        ""
        if answer.left
        else (
            f"it has no valid lease, so nothing starts there: mcv cluster store; on {node.name}: "
            "journalctl -u mcv-lease"
        )
    )


def _stale(host: Host, cluster: Cluster) -> list[StaleView] | None:
    if cluster.store is None:
        return []
    keys = ClusterKeys(cluster.store.id)
    try:
        found = host.keyspace.below(keys.marks).kvs
    except McvError:
        return None
    vms = {disk.resource: vm.name for vm, disk in cluster.replicated()}
    rows = []
    for each in found:
        resource = each.key.removeprefix(keys.marks).decode(errors="replace")
        mark = _mark(each.value)
        rows.append(
            StaleView(
                resource=resource,
                vm=vms.get(resource, ""),
                behind=mark.node,
                since=mark.since,
                why=mark.why,
            )
        )
    return sorted(rows, key=lambda row: row.resource)


def _mark(value: bytes) -> Mark:
    """What a mark says; a text that is none says that there is one."""
    text = value.decode(errors="replace")
    try:
        return values.decode_mark(text)
    except ValueError:
        return Mark(text, "")


def _attention(
    cluster: Cluster, nodes: list[HaNode], stale: list[StaleView] | None, decided: Decided
) -> list[str]:
    lines = [f"{node.node}: {node.problem}" for node in nodes if node.problem]
    lines += [f"{name}: {why}" for name, why in sorted(decided.waits.items())]
    if stale is None:
        lines.append(
            "etcd does not answer: nothing is changed and no VM started. mcv cluster store"
        )
    lines += [
        f"{row.vm or row.resource}: the replica on {row.behind} is behind, and takes nothing over"
        for row in stale or []
    ]
    if has_leases(cluster):
        lines += _of_watchdogs(cluster)
    return lines


def _of_watchdogs(cluster: Cluster) -> list[str]:
    """Where the inequality of mcv.ha.timing does not hold: arming has looked at it."""
    return [
        f"{name}: its lease could be taken while its guests run; mcv ha disarm, and arm anew"
        for name, node in sorted(cluster.nodes.items())
        if node.watchdog is not None and not _is_safe(cluster.ha.pace, node)
    ]


def _is_safe(pace: int, node: Node) -> bool:
    if node.watchdog is None:
        return False
    periods = lease_orders.at_pace(pace, node.watchdog)
    return timing.is_safe(periods, periods.wait)
