"""mcv ha add, set and remove: what high availability manages, and how."""

from collections.abc import Iterable
from typing import Any, get_args

from msgspec import Struct

from mcv.document.disks import SharedDisk
from mcv.document.ha_entries import HaEntry, Recovery, Wanted
from mcv.document.ha_entry_changes import require_entry
from mcv.document.model import Cluster, Vm
from mcv.errors import NotFound, Refused, refuse_all
from mcv.host import Host

WORDS = {"recovery": get_args(Recovery), "state": get_args(Wanted)}
# By option: the least and the most.
NUMBERS = {
    "max-restarts": (0, 1000),
    "max-relocates": (0, 1000),
    "window": (1, 10**7),
    "priority": (0, 1000),
}


class Managed(Struct, frozen=True, kw_only=True):
    """What high availability is told of a VM or service now. `window` is in seconds."""

    name: str
    wanted: str
    domain: str
    recovery: str
    max_restarts: int
    max_relocates: int
    window: int
    priority: int
    failback: bool
    notes: list[str] = []


class Unmanaged(Struct, frozen=True, kw_only=True):
    """The VM that is managed no longer."""

    name: str


def add(
    host: Host,
    name: str,
    domain: str | None = None,
    recovery: str | None = None,
    max_restarts: int | None = None,
    max_relocates: int | None = None,
    window: int | None = None,
    priority: int | None = None,
    failback: bool | None = None,
    state: str | None = None,
) -> Managed:
    """Let high availability manage a VM. Raises Refused with everything that is wrong."""
    counts = (max_restarts, max_relocates, window, priority)
    values = _given(domain, recovery, counts, failback, state)
    cluster = host.read()
    problems = why_not(cluster, values)
    if name not in cluster.vms:
        if name in cluster.services:
            message = f"{name} is a service, which is managed as long as there is one."
            problems.append(Refused(message, f"mcv ha set {name}"))
        else:
            problems.append(NotFound(f"There is no VM {name}.", "See: mcv list"))
    else:
        if name in cluster.ha_vms:
            problems.append(Refused(f"{name} is managed already.", f"mcv ha set {name}"))
        problems += _why_not_run(cluster, cluster.vm(name), domain or "")
    refuse_all(problems)
    cluster = host.update("ha.add", f"ha add {name}", name=name, entry=_in_document(values))
    return managed(cluster, name)


def set_(
    host: Host,
    name: str,
    domain: str | None = None,
    recovery: str | None = None,
    max_restarts: int | None = None,
    max_relocates: int | None = None,
    window: int | None = None,
    priority: int | None = None,
    failback: bool | None = None,
    state: str | None = None,
) -> Managed:
    """Change what high availability is told; what is not named stays.

    A `state` ends a failure. Raises Refused with everything that is wrong.
    """
    counts = (max_restarts, max_relocates, window, priority)
    values = _given(domain, recovery, counts, failback, state)
    cluster = host.read()
    problems = why_not(cluster, values)
    if not values:
        problems.append(Refused("There is nothing to change.", "See: mcv ha set --help"))
    try:
        require_entry(cluster, name)
        if domain and name in cluster.vms:
            problems += _why_not_run(cluster, cluster.vm(name), domain)
    except Refused as problem:
        problems.append(problem)
    refuse_all(problems)
    cluster = host.update("ha.change", f"ha set {name}", name=name, **_in_document(values))
    return managed(cluster, name)


def remove(host: Host, name: str) -> Unmanaged:
    """Let high availability manage a VM no longer; it runs on, or does not, as it does now."""
    host.update("ha.remove", f"ha remove {name}", name=name)
    return Unmanaged(name=name)


def managed(cluster: Cluster, name: str) -> Managed:
    """What high availability is told of a VM or service, in the document."""
    entry = require_entry(cluster, name)
    return Managed(
        name=name,
        wanted=entry.wanted,
        domain=entry.domain,
        recovery=entry.recovery,
        max_restarts=entry.max_restarts,
        max_relocates=entry.max_relocates,
        window=entry.window,
        priority=entry.priority,
        failback=entry.failback,
        notes=_notes(cluster, name, entry),
    )


def _given(
    domain: str | None,
    recovery: str | None,
    counts: Iterable[int | None],
    failback: bool | None,
    state: str | None,
) -> dict[str, str | int | bool]:
    """What was named, under the names of options."""
    said = {
        "domain": domain,
        "recovery": recovery,
        **dict(zip(NUMBERS, counts, strict=True)),
        "failback": failback,
        "state": state,
    }
    return {key: value for key, value in said.items() if value is not None}


def _in_document(values: dict[str, str | int | bool]) -> Any:
    """The same under the document's names."""
    renamed = {key.replace("-", "_"): value for key, value in values.items()}
    if "state" in renamed:
        renamed["wanted"] = renamed.pop("state")
    return renamed


def why_not(cluster: Cluster, values: dict[str, str | int | bool]) -> list[Refused]:
    """Everything that is wrong with values for an entry."""
    problems: list[Refused] = []
    for key, words in WORDS.items():
        if key in values and values[key] not in words:
            *others, last = words
            said = f"--{key} is {', '.join(others)} or {last}, not {values[key]!r}."
            problems.append(Refused(said))
    for key, (least, most) in NUMBERS.items():
        if key in values and not least <= int(values[key]) <= most:
            problems.append(Refused(f"--{key} is {least} to {most}, not {values[key]}."))
    domain = values.get("domain")
    if domain and domain not in cluster.domains:
        hint = "See: mcv ha domain list; or make it: mcv ha domain create"
        problems.append(NotFound(f"There is no failover domain {domain}.", hint))
    return problems


def _why_not_run(cluster: Cluster, vm: Vm, domain: str) -> list[Refused]:
    """What forbids high availability to manage a VM in a domain, "" for none."""
    known = cluster.domains.get(domain)
    problems: list[Refused] = []
    where = set(vm.nodes) if vm.disks else set(cluster.nodes)
    if known is not None and known.restricted:
        where &= set(known.nodes)
        if not where:
            problems.append(
                Refused(
                    f"{vm.name} runs on none of the nodes of {domain}: {', '.join(known.nodes)}.",
                    f"It may run on {', '.join(vm.nodes)}; see: mcv ha domain list",
                )
            )
    for pool in sorted({disk.pool for disk in vm.disks if isinstance(disk, SharedDisk)}):
        problems += _why_not_shared(cluster, vm, pool, where)
    return problems


def _why_not_shared(cluster: Cluster, vm: Vm, pool: str, where: set[str]) -> list[Refused]:
    """In a shared pool nothing but locks and evidence keeps two nodes from one disk."""
    unproved = sorted(where - set(cluster.pool(pool).locks))
    problems: list[Refused] = []
    if unproved:
        problems.append(
            Refused(
                f"In pool {pool} the locks of {', '.join(unproved)} were not seen to exclude those "
                f"of the others, and {vm.name} has a disk there.",
                f"mcv pool add-node {pool} --node {unproved[0]}",
            )
        )
    for name in sorted(where & set(cluster.nodes)):
        if not proves(cluster, name):
            problems.append(
                Refused(
                    f"{name} has no tested plug and no hardware watchdog: nothing would prove that "
                    f"{vm.name} has ended there.",
                    f"mcv fence test {name} --off",
                )
            )
    return problems


def proves(cluster: Cluster, name: str) -> bool:
    """Whether a node's death can be proved: by a level of tested plugs, or by its watchdog."""
    node = cluster.node(name)
    has_plugs = any(level and all(plug.tested for plug in level) for level in node.levels)
    watchdog = node.watchdog
    return has_plugs or (watchdog is not None and (watchdog.hardware or cluster.ha.trust_softdog))


def _notes(cluster: Cluster, name: str, entry: HaEntry) -> list[str]:
    """What an operator should know who has just let something be managed."""
    notes = []
    if not cluster.ha.armed:
        notes.append("The cluster is not armed: nothing is done by itself. mcv ha arm")
    vm = cluster.vms.get(name)
    if vm is not None and vm.disks and len(vm.nodes) == 1:
        notes.append(f"{name} has its disks on {vm.nodes[0]} alone: it is restarted there only.")
    domain = cluster.domains.get(entry.domain)
    if vm is not None and vm.disks and domain is not None:
        without = sorted(set(domain.nodes) - set(vm.nodes))
        if without:
            notes.append(f"{' and '.join(without)} of {entry.domain} can not run {name}.")
    return notes
