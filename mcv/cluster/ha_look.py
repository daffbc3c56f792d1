"""One look at the cluster for the manager: the document, and what the nodes tell of themselves."""

import time
from collections.abc import Collection, Mapping

from msgspec.structs import replace

from mcv.cluster import fence_runs
from mcv.cluster.ha_reports import HaReport, Ordered
from mcv.document.claim import Claim
from mcv.document.ha_entries import Service
from mcv.document.model import Cluster, Node, Vm
from mcv.drbd import stale_marks
from mcv.drbd.stale_marks import Marks
from mcv.host import Host
from mcv.rules import tied
from mcv.rules.ha.snapshot import ClaimSeen, NodeSeen, Result, ServiceSeen, Snapshot

STILL = 30.0  # s for which a node that falls silent counts as at what it was at
ASK = 1.0  # s that a round waits for the reports of nodes
PATIENCE = 5.0  # s that a report may take, and for which it counts

Reports = Mapping[str, HaReport]


def look(host: Host, dead: Collection[str] = ()) -> Snapshot:
    """What is seen now. Raises Unknown where marks of stale replicas count, and cannot be read.

    They count for the VMs of nodes that are offline, and of those that are asked about as dead.
    """
    cluster = host.read()
    reports = host.managing.reports.ask(
        host.call,
        sorted(cluster.nodes),
        "ha.report",
        HaReport,
        state=cluster.version,
        wait=ASK,
        patience=PATIENCE * cluster.ha.pace,
        silent=[name for name in cluster.nodes if host.observations.is_silent(name)],
    )
    offline = [name for name, node in cluster.nodes.items() if node.status == "offline"]
    vms = sorted(cluster.ha_vms)
    lost = any(cluster.vms[name].node in (*offline, *dead) for name in vms)
    marks = stale_marks.read(host) if lost and cluster.store is not None else {}
    orders = {
        each.operation: each
        for told in reports.values()
        for each in told.orders.values()
        if each.operation
    }
    switched = _switched(host, reports)
    kept_off = {node for told in reports.values() for node in told.kept_off}
    return Snapshot(
        now=0.0,
        term=0,
        manager=host.name,
        ha=cluster.ha,
        nodes={
            name: replace(
                _node(host, node, reports.get(name), orders),
                switched=switched.get(name, ""),
                kept_off=name in kept_off,
            )
            for name, node in cluster.nodes.items()
        },
        services={
            **{name: _vm(cluster, cluster.vms[name], reports, marks, orders) for name in vms},
            **{
                name: _service(cluster, each, reports, orders)
                for name, each in cluster.services.items()
            },
        },
        domains=cluster.domains,
        ties=cluster.ties,
    )


def _node(host: Host, node: Node, told: HaReport | None, orders: Mapping[str, Ordered]) -> NodeSeen:
    return NodeSeen(
        name=node.name,
        status=node.status,
        maintenance=node.maintenance,
        draining=node.draining,
        evidence=node.evidence.kind if node.evidence is not None else None,
        leaving=told.leaving if told is not None else "",
        answers=_answers(host, node.name, told),
        told=told is not None,
        is_empty=told.is_empty if told is not None else None,
        memory=told.memory if told is not None else 0,
        boot=told.boot if told is not None else "",
        can_fence=any(level and all(plug.tested for plug in level) for level in node.levels),
        fence=fence_runs.seen(host, node.name),
        claim=_claim(node.claim, orders),
    )


def _switched(host: Host, reports: Reports) -> dict[str, str]:
    """The nodes whose power operators switch, by command; whoever is silent may be at it still."""
    told, now = host.managing.switching, time.monotonic()
    told.update({node: (now, report.switching) for node, report in reports.items()})
    return {
        node: command
        for at, switching in list(told.values())
        if now < at + STILL
        for node, command in switching.items()
    }


def _answers(host: Host, name: str, told: HaReport | None) -> tuple[str, ...] | None:
    """The paths that answer; None while it is not known that none does."""
    if told is not None or host.observations.was_heard_lately(name):
        return ("mcvd",)
    return () if host.observations.is_silent(name) else None


def _claim(claim: Claim | None, orders: Mapping[str, Ordered]) -> ClaimSeen | None:
    if claim is None:
        return None
    mine = claim.operation in orders
    return ClaimSeen(operation=claim.operation, node=claim.node, mine=mine, why=claim.why)


def _busy(name: str, owner: str, reports: Reports) -> ClaimSeen | None:
    """What an operator does there without a claim: it is waited for like one."""
    title = reports[owner].busy.get(name, "") if owner in reports else ""
    return ClaimSeen(operation="", node=owner, mine=False, why=title) if title else None


def _vm(
    cluster: Cluster, vm: Vm, reports: Reports, marks: Marks, orders: Mapping[str, Ordered]
) -> ServiceSeen:
    lacks = {name: _lacks(vm, name, reports, marks) for name in _places(cluster, vm)}
    newest = vm.node if any(lacks[name] for name in lacks if name != vm.node) else ""
    return ServiceSeen(
        name=vm.name,
        node=vm.node,
        entry=cluster.ha_vms[vm.name],
        home=vm.home,
        runs=_runs(vm.name, reports),
        places=lacks,
        newest=newest,
        memory=vm.memory,
        claim=_claim(vm.claim, orders) or _busy(vm.name, vm.node, reports),
        result=_result(vm.name, reports),
    )


def _service(
    cluster: Cluster, service: Service, reports: Reports, orders: Mapping[str, Ordered]
) -> ServiceSeen:
    """A service with an address; its owner is not asked what it lacks: a start there tells."""
    places = {
        name: reports[name].lacks.get(service.name, "") if name in reports else ""
        for name in cluster.nodes
    }
    places[service.node] = ""
    return ServiceSeen(
        name=service.name,
        node=service.node,
        kind="service",
        entry=service.entry,
        home=service.home,
        runs=_runs(service.name, reports),
        live=False,
        places=places,
        sleeptime=service.sleeptime,
        claim=_claim(service.claim, orders) or _busy(service.name, service.node, reports),
        result=_result(service.name, reports),
    )


def _runs(name: str, reports: Reports) -> tuple[str, ...]:
    return tuple(sorted(node for node, told in reports.items() if name in told.runs))


def _places(cluster: Cluster, vm: Vm) -> tuple[str, ...]:
    """Where its disks are, or anywhere where it has none; its owner alone where it is tied."""
    places = vm.nodes if vm.disks else tuple(cluster.nodes)
    return (vm.node,) if tied.is_tied(vm) else tuple(dict.fromkeys((*places, vm.node)))


def _lacks(vm: Vm, node: str, reports: Reports, marks: Marks) -> str:
    """What forbids the VM on a node, "" for nothing: its lock, a mark, or the replica's state."""
    if vm.locked:
        return f"{vm.name} is locked: mcv unlock {vm.name}"
    if node == vm.node:
        return ""
    for disk in vm.disks:
        mark, _ = marks.get(getattr(disk, "resource", ""), (None, 0))
        if mark is not None and mark.node in ("", node):
            return stale_marks.in_words(mark)
    told = reports.get(node)
    return told.lacks.get(vm.name, "") if told is not None else ""


def _result(name: str, reports: Reports) -> Result | None:
    """What came of the newest order about it, of whichever node."""
    ended = [
        told.orders[name]
        for told in reports.values()
        if name in told.orders and told.orders[name].outcome
    ]
    newest = max(ended, key=lambda each: _number(each.uid), default=None)
    if newest is None or not newest.outcome:
        return None
    return Result(uid=newest.uid, outcome=newest.outcome, message=newest.message)


def _number(uid: str) -> tuple[int, ...]:
    """A uid as it counts: term, then number."""
    return tuple(int(part) for part in uid.split(".") if part.isdecimal())
