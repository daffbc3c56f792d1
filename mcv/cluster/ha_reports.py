"""What each node tells the manager: what runs there, what came of orders, what it lacks."""

from typing import Literal

from msgspec import Struct

from mcv.cluster import ha_leaving
from mcv.document.model import Cluster
from mcv.drbd import lacking
from mcv.host import Host
from mcv.rules import managed
from mcv.rules.domain import ACTIVE
from mcv.service import power
from mcv.vm.moves_awaited import Policy

# What operators do with the power of a VM or service; no claim in the document tells of it.
POWER = (
    *("start", "stop", "shutdown", "reboot", "reset", "pause", "resume"),
    *("service start", "service stop"),
)


class Ordered(Struct, frozen=True, kw_only=True):
    """What came of the newest order about a VM or service; "" while it is carried out."""

    uid: str
    operation: str = ""
    outcome: Literal["", "done", "failed", "stop-failed", "unknown"] = ""
    message: str = ""


class HaReport(Struct, frozen=True, kw_only=True):
    """One node. `runs` are what is managed and active there; it is newer than `orders`.

    `lacks` are VMs with a replica there, and what is wrong with it; and services that could not
    start there, and why. `memory` is free, in bytes.
    `leaving` is what the host, which goes down, does with its VMs; "" while it does not.
    `switching` are the nodes whose power operators switch from here now, by their commands,
    `kept_off` those that they have switched off. `busy` are VMs and services that operators start
    or stop there, each with the job's title. `boot` is the id of its boot.
    """

    runs: list[str]
    is_empty: bool
    memory: int
    leaving: Policy = ""
    lacks: dict[str, str] = {}
    orders: dict[str, Ordered] = {}
    busy: dict[str, str] = {}
    switching: dict[str, str] = {}
    kept_off: list[str] = []
    boot: str = ""


def report(host: Host) -> HaReport:
    """Tell the manager of this node. Raises McvError where libvirt does not answer."""
    cluster = host.read()
    busy = _busy(host)
    orders = {
        name: Ordered(
            uid=each.uid, operation=each.operation, outcome=each.outcome, message=each.message
        )
        for name, each in host.managing.orders.all().items()
    }
    states = host.domains.states().vms
    active = {name for name, state in states.items() if state in ACTIVE}
    services = {each.name: each.state for each in power.look_at_all(host)}
    running = active & set(cluster.ha_vms)
    running |= {name for name, state in services.items() if state == "started"}
    leaving = ha_leaving.policy(host, cluster, _is_missing(host, cluster, running))
    host.managing.has_told = bool(leaving)
    return HaReport(
        runs=sorted(running),
        is_empty=not active and all(state == "stopped" for state in services.values()),
        memory=host.domains.memory_free(),
        leaving=leaving,
        lacks={**lacking.replicas(host), **host.watched.lacks},
        orders=orders,
        busy=busy,
        switching=host.fences.by_operator.switching(),
        kept_off=host.fences.by_operator.kept_off(host.observations.last_heard),
        boot=host.observations.boot,
    )


def _busy(host: Host) -> dict[str, str]:
    """What is done here by an operator's word that the document does not tell of."""
    return {
        name: job.title
        for job in host.jobs.at_work()
        if job.about.what.partition(" --")[0] in POWER and not job.about.is_plan
        for name in job.about.subject.split()
    }


def _is_missing(host: Host, cluster: Cluster, running: set[str]) -> bool:
    """Whether something that this node owns, and that is wanted, does not run."""
    owners = managed.owners_of(cluster)
    return any(
        entry.wanted == "started" and owners.get(name) == host.name and name not in running
        for name, entry in managed.entries_of(cluster).items()
    )
