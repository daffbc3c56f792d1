"""May an operator put here what high availability manages: its domain and its ties, in words.

High availability mends what its rules forbid. A move that it would undo is refused instead, so
that an operator's word is never undone. Its own moves keep the home, and are not asked: a broken
tie is better than a guest that does not run.
"""

from collections.abc import Iterable, Mapping

from mcv.document.ha_entries import FailoverDomain, HaEntry, Tie
from mcv.document.model import Cluster
from mcv.errors import Refused


def why_not_put(cluster: Cluster, name: str, to: str) -> list[Refused]:
    """What forbids to put a VM or service on a node; nothing while HA does not look after it."""
    entries = entries_of(cluster)
    if not cluster.ha.armed or name not in entries or entries[name].wanted == "ignored":
        return []
    domain = cluster.domains.get(entries[name].domain)
    return judged(name, to, domain, apart_from(name, cluster.ties), owners_of(cluster))


def judged(
    name: str,
    to: str,
    domain: FailoverDomain | None,
    apart: Iterable[str],
    owners: Mapping[str, str],
) -> list[Refused]:
    """The same for one with this domain, and with these that it is kept apart from."""
    problems = []
    if domain is not None and domain.restricted and to not in domain.nodes:
        problems.append(
            Refused(
                f"{to} is not in the failover domain of {name}, which is restricted.",
                "See: mcv ha domain list",
            )
        )
    there = sorted(other for other in apart if owners.get(other) == to)
    if there:
        problems.append(
            Refused(
                f"{name} is kept apart from {' and '.join(there)}, on {to}.",
                "See: mcv ha tie list",
            )
        )
    return problems


def apart_from(name: str, ties: Iterable[Tie]) -> set[str]:
    """Those that a service is kept apart from."""
    apart = (set(tie.names) for tie in ties if tie.kind == "apart" and name in tie.names)
    return set().union(*apart) - {name}


def entries_of(cluster: Cluster) -> dict[str, HaEntry]:
    """Everything that high availability manages."""
    services = {name: service.entry for name, service in cluster.services.items()}
    return {**cluster.ha_vms, **services}


def owners_of(cluster: Cluster) -> dict[str, str]:
    """The owner of everything that is wanted started."""
    nodes = {name: vm.node for name, vm in cluster.vms.items()}
    nodes |= {name: service.node for name, service in cluster.services.items()}
    return {
        name: nodes[name]
        for name, entry in entries_of(cluster).items()
        if name in nodes and entry.wanted == "started"
    }
