"""What services of other nodes lack on this host, looked at before one has to start here."""

from mcv.document.ha_entries import Service
from mcv.document.model import Cluster
from mcv.errors import McvError, Refused
from mcv.host import Host
from mcv.service import fitting

PERIOD = 15.0  # s between two looks


def look(host: Host) -> None:
    """One round of the daemon's loop: note what the manager is told of."""
    cluster = host.read()
    lacks = {
        name: why
        for name, service in cluster.services.items()
        if service.node != host.name and may_run(cluster, service, host.name)
        if (why := _lacks(host, service))
    }
    host.watched.lacks = lacks


def may_run(cluster: Cluster, service: Service, node: str) -> bool:
    """Whether the service's domain lets it run on the node."""
    domain = cluster.domains.get(service.entry.domain)
    return domain is None or not domain.restricted or node in domain.nodes


def _lacks(host: Host, service: Service) -> str:
    try:
        problems = fitting.why_not_here(host, service)
    except McvError as error:
        return error.message.rstrip(".")
    return "; ".join(_in_words(host.name, problem) for problem in problems)


def _in_words(node: str, problem: Refused) -> str:
    """A problem of a host that is named beside it."""
    message = problem.message.removeprefix(f"{node}: ").removeprefix(f"{node} ")
    return message.replace(f" on {node}", "", 1).rstrip(".")
