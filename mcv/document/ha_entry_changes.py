"""Changes of what high availability manages: entries, failover domains and ties."""

from typing import Any

import msgspec
from msgspec.structs import asdict, replace

from mcv.document import ties
from mcv.document.generation import ChangeMade
from mcv.document.ha_entries import FailoverDomain, HaEntry, Tie, TieKind
from mcv.document.model import Cluster
from mcv.document.names import problem_with_name
from mcv.document.registry import change
from mcv.document.schema import require_schema
from mcv.errors import NotFound, Refused

SETTABLE = frozenset(HaEntry.__struct_fields__) - {"failed", "asked"}


def entry_of(base: Cluster, name: str) -> HaEntry | None:
    """What high availability is told of a VM or service; None where it does not manage it."""
    service = base.services.get(name)
    return service.entry if service else base.ha_vms.get(name)


def with_entry(base: Cluster, name: str, entry: HaEntry) -> Cluster:
    """The document with another entry of a VM or service that is managed."""
    if service := base.services.get(name):
        services = {**base.services, name: replace(service, entry=entry)}
        return replace(base, services=services)
    return replace(base, ha_vms={**base.ha_vms, name: entry})


def without_vm(base: Cluster, name: str) -> Cluster:
    """The document without what high availability knows of a VM that is gone: entry and ties."""
    entries = {vm: entry for vm, entry in base.ha_vms.items() if vm != name}
    return replace(base, ha_vms=entries, ties=ties.without(base.ties, name))


def with_vm_renamed(base: Cluster, name: str, new: str) -> Cluster:
    """The document with entry and ties of a VM under its new name."""
    entries = {new if vm == name else vm: entry for vm, entry in base.ha_vms.items()}
    return replace(base, ha_vms=entries, ties=ties.renamed(base.ties, name, new))


@change("ha.add")
def ha_add(base: Cluster, made: ChangeMade, /, name: str, entry: dict[str, Any]) -> Cluster:
    """Let high availability manage a VM from this generation on."""
    require_schema(base, 6)
    base.vm(name)
    if name in base.ha_vms:
        raise Refused(f"{name} is managed already.", f"mcv ha set {name}; see: mcv ha list")
    return with_entry(base, name, new_entry(base, entry))


def new_entry(base: Cluster, values: dict[str, Any]) -> HaEntry:
    """The entry of values that an operator gave, asked for by the change that base gets."""
    _require_settable(values)
    return _judged(base, {**asdict(HaEntry()), **values, "asked": base.generation + 1})


@change("ha.change")
def ha_change(base: Cluster, made: ChangeMade, /, name: str, **values: Any) -> Cluster:
    """Change the entry of a VM or service; what is not named stays.

    Who says what is wanted ends a failure, and voids what was counted before.
    """
    require_schema(base, 6)
    old = require_entry(base, name)
    _require_settable(values)
    given = {**asdict(old), **values}
    if "wanted" in values:
        given |= {"failed": "", "asked": base.generation + 1}
    return with_entry(base, name, _judged(base, given))


@change("ha.failed")
def ha_failed(base: Cluster, made: ChangeMade, /, name: str, why: str) -> Cluster:
    """High availability gives a VM or service up, until an operator says what is wanted."""
    require_schema(base, 6)
    old = require_entry(base, name)
    return with_entry(base, name, _judged(base, {**asdict(old), "failed": why}))


@change("ha.remove")
def ha_remove(base: Cluster, made: ChangeMade, /, name: str) -> Cluster:
    """Let high availability manage a VM no longer; its ties stay, which placement keeps."""
    require_schema(base, 6)
    if name in base.services:
        raise Refused(
            f"{name} is a service, which is managed as long as there is one.",
            f"mcv ha service delete {name}",
        )
    require_entry(base, name)
    return replace(base, ha_vms={vm: e for vm, e in base.ha_vms.items() if vm != name})


def require_entry(base: Cluster, name: str) -> HaEntry:
    """The entry of a VM or service; NotFound where it has none."""
    entry = entry_of(base, name)
    if entry is not None:
        return entry
    if name in base.vms:
        raise NotFound(f"{name} is not managed by high availability.", f"mcv ha add {name}")
    raise NotFound(f"There is no VM or service {name}.", "See: mcv ha list")


def _require_settable(values: dict[str, Any]) -> None:
    if unknown := sorted(set(values) - SETTABLE):
        raise Refused(f"An entry of high availability has no {', '.join(unknown)}.")


def _judged(base: Cluster, values: dict[str, Any]) -> HaEntry:
    try:
        entry = msgspec.convert(values, HaEntry)
    except msgspec.ValidationError as error:
        raise Refused(f"This is no entry of high availability: {error}.") from error
    if entry.domain and entry.domain not in base.domains:
        raise NotFound(f"There is no failover domain {entry.domain}.", "See: mcv ha domain list")
    return entry


@change("ha.domain")
def ha_domain(
    base: Cluster,
    made: ChangeMade,
    /,
    name: str,
    nodes: dict[str, int],
    ordered: bool = False,
    restricted: bool = False,
    failback: bool = True,
) -> Cluster:
    """A new failover domain of members."""
    require_schema(base, 6)
    if problem := problem_with_name(name, "failover domain"):
        raise problem
    if name in base.domains:
        raise Refused(
            f"There is a failover domain {name} already.",
            f"mcv ha domain delete {name}; see: mcv ha domain list",
        )
    if not nodes:
        raise Refused("A failover domain has one node at least.")
    for node in nodes:
        base.node(node)
    values = {"nodes": nodes, "ordered": ordered, "restricted": restricted, "failback": failback}
    try:
        domain = msgspec.convert(values, FailoverDomain)
    except msgspec.ValidationError as error:
        raise Refused(f"This is no failover domain: {error}.") from error
    return replace(base, domains={**base.domains, name: domain})


@change("ha.domain_gone")
def ha_domain_gone(base: Cluster, made: ChangeMade, /, name: str) -> Cluster:
    """Forget a failover domain; Refused while a VM or service is in it."""
    require_schema(base, 6)
    if name not in base.domains:
        raise NotFound(f"There is no failover domain {name}.", "See: mcv ha domain list")
    if users := users_of_domain(base, name):
        raise Refused(
            f"{', '.join(users)} {'is' if len(users) == 1 else 'are'} in {name}.",
            f"mcv ha set {users[0]} --domain=",
        )
    return replace(base, domains={key: d for key, d in base.domains.items() if key != name})


def users_of_domain(base: Cluster, name: str) -> list[str]:
    """The VMs and services that are in a failover domain."""
    managed = {**base.ha_vms, **{key: one.entry for key, one in base.services.items()}}
    return sorted(key for key, entry in managed.items() if entry.domain == name)


def without_node(base: Cluster, node: str) -> Cluster:
    """The document without a member in failover domains, and as a home of services.

    A domain that nothing is in goes with its last node. Refused where something is in it.
    """
    domains: dict[str, FailoverDomain] = {}
    for name, domain in base.domains.items():
        nodes = {other: level for other, level in domain.nodes.items() if other != node}
        if not nodes and (users := users_of_domain(base, name)):
            raise Refused(
                f"{node} is the last node of the failover domain {name} of {', '.join(users)}.",
                f"mcv ha set {users[0]} --domain=",
            )
        if nodes:
            domains[name] = replace(domain, nodes=nodes)
    services = {
        name: replace(service, home=service.node) if service.home == node else service
        for name, service in base.services.items()
    }
    return replace(base, domains=domains, services=services)


@change("ha.tie")
def ha_tie(base: Cluster, made: ChangeMade, /, kind: TieKind, names: list[str]) -> Cluster:
    """Tie VMs and services together, or apart. Refused where other ties say the contrary."""
    require_schema(base, 6)
    tie = _tie(kind, names)
    for name in tie.names:
        if name not in base.vms and name not in base.services:
            raise NotFound(f"There is no VM or service {name}.", "See: mcv list; mcv ha list")
    if tie in base.ties:
        raise Refused(f"{' and '.join(tie.names)} are tied {kind} already.")
    new = tuple(sorted((*base.ties, tie)))
    if both := ties.contradictions(new):
        one, other = both[0]
        raise Refused(
            f"{one} and {other} would have to run on one node and on two.", "See: mcv ha tie list"
        )
    return replace(base, ties=new)


@change("ha.untie")
def ha_untie(base: Cluster, made: ChangeMade, /, kind: TieKind, names: list[str]) -> Cluster:
    """Forget a tie."""
    require_schema(base, 6)
    tie = _tie(kind, names)
    if tie not in base.ties:
        raise NotFound(f"{' and '.join(tie.names)} are not tied {kind}.", "See: mcv ha tie list")
    return replace(base, ties=tuple(each for each in base.ties if each != tie))


def _tie(kind: TieKind, names: list[str]) -> Tie:
    found = tuple(sorted(set(names)))
    if len(found) < 2:
        raise Refused("A tie has two names at least.")
    try:
        return msgspec.convert({"kind": kind, "names": found}, Tie)
    except msgspec.ValidationError as error:
        raise Refused(f"This is no tie: {error}.") from error
