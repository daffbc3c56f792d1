"""mcv ha domain, together, apart and tie: where what is managed may run, and beside whom."""

from msgspec import Struct

from mcv.document import ties as ties_
from mcv.document.ha_entries import Tie, TieKind
from mcv.document.names import problem_with_name
from mcv.errors import NotFound, Refused, refuse_all
from mcv.host import Host

BEST = 1
WORST = 1000


class DomainRow(Struct, frozen=True, kw_only=True):
    """A failover domain: its nodes with their priorities, 1 the best."""

    name: str
    nodes: dict[str, int]
    ordered: bool
    restricted: bool
    failback: bool


class DomainGone(Struct, frozen=True, kw_only=True):
    """The failover domain that is gone."""

    name: str


class TieRow(Struct, frozen=True, kw_only=True):
    """What runs together, or apart."""

    kind: str
    names: list[str]


def create_domain(
    host: Host,
    name: str,
    nodes: dict[str, int],
    ordered: bool = False,
    restricted: bool = False,
    failback: bool = True,
) -> DomainRow:
    """Make a failover domain. Raises Refused with everything that is wrong."""
    cluster = host.read()
    problems: list[Refused] = []
    if problem := problem_with_name(name, "failover domain"):
        problems.append(problem)
    elif name in cluster.domains:
        message = f"There is a failover domain {name} already."
        problems.append(Refused(message, "See: mcv ha domain list"))
    for node, priority in nodes.items():
        if node not in cluster.nodes:
            known = ", ".join(sorted(cluster.nodes))
            problems.append(NotFound(f"There is no node {node}.", f"Nodes: {known}."))
        if not BEST <= priority <= WORST:
            message = f"The priority of {node} is {BEST} to {WORST}, not {priority}."
            problems.append(Refused(message, "1 is best."))
    if not nodes:
        problems.append(Refused("A failover domain has one node at least.", "--node N[:PRIORITY]"))
    refuse_all(problems)
    values = {"nodes": nodes, "ordered": ordered, "restricted": restricted, "failback": failback}
    host.update("ha.domain", f"ha domain create {name}", name=name, **values)
    return next(row for row in _rows(host) if row.name == name)


def list_domains(host: Host) -> list[DomainRow]:
    """Every failover domain."""
    return _rows(host)


def _rows(host: Host) -> list[DomainRow]:
    return [
        DomainRow(
            name=name,
            nodes=domain.nodes,
            ordered=domain.ordered,
            restricted=domain.restricted,
            failback=domain.failback,
        )
        for name, domain in sorted(host.read().domains.items())
    ]


def delete_domain(host: Host, name: str) -> DomainGone:
    """Forget a failover domain. Raises Refused while a VM or service is in it."""
    host.update("ha.domain_gone", f"ha domain delete {name}", name=name)
    return DomainGone(name=name)


def tie(host: Host, kind: TieKind, names: list[str]) -> TieRow:
    """Have VMs and services run on one node, or each on another.

    Raises Refused with everything that is wrong: names of nothing, ties that say the contrary.
    """
    cluster = host.read()
    known = {*cluster.vms, *cluster.services}
    problems: list[Refused] = [
        NotFound(f"There is no VM or service {name}.", "See: mcv list; mcv ha list")
        for name in sorted(set(names) - known)
    ]
    found = Tie(kind=kind, names=tuple(sorted(set(names))))
    if len(found.names) < 2:
        problems.append(Refused("A tie has two names at least."))
    elif found in cluster.ties:
        problems.append(Refused(f"{' and '.join(found.names)} are tied {kind} already."))
    for one, other in ties_.contradictions((*cluster.ties, found)):
        message = f"{one} and {other} would have to run on one node and on two."
        problems.append(Refused(message, "See: mcv ha tie list"))
    refuse_all(problems)
    host.update("ha.tie", f"ha {kind} {' '.join(found.names)}", kind=kind, names=list(found.names))
    return TieRow(kind=kind, names=list(found.names))


def untie(host: Host, kind: TieKind, names: list[str]) -> TieRow:
    """Forget a tie."""
    found = sorted(set(names))
    host.update("ha.untie", f"ha tie remove {kind} {' '.join(found)}", kind=kind, names=found)
    return TieRow(kind=kind, names=found)


def list_ties(host: Host) -> list[TieRow]:
    """Every tie."""
    return [TieRow(kind=each.kind, names=list(each.names)) for each in host.read().ties]
