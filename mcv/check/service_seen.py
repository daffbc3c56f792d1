"""What a node has of the services of high availability, by its own word, for the check."""

from msgspec import Struct

from mcv.document.ha_entries import Service
from mcv.document.model import Cluster
from mcv.host import Host
from mcv.service import fitting
from mcv.service.watched import seen_here
from mcv.system import service_notes

Problem = tuple[str, str]  # message and hint


class ServiceHere(Struct, frozen=True, kw_only=True):
    """A service on a node: `runs` where mcvd has begun it, `trouble` what the last look found.

    `device` has its address, "" for none. `lacks` is what forbids a start there.
    """

    runs: bool
    trouble: str = ""
    device: str = ""
    lacks: list[Problem] = []


def look(host: Host) -> dict[str, ServiceHere]:
    """Each service of the document, and what runs here of one that is in it no more."""
    cluster = host.read()
    noted = {note.name for note in service_notes.all_(host.settings.run)}
    found = {name: ServiceHere(runs=True) for name in noted - set(cluster.services)}
    for name, service in cluster.services.items():
        may_run = host.name in places(cluster, service)
        problems = fitting.why_not_here(host, service) if may_run else []
        found[name] = ServiceHere(
            runs=name in noted,
            trouble=seen_here(host, name).problem,
            device=host.services.address.where(service.address),
            lacks=[(each.message, each.hint) for each in problems],
        )
    return found


def places(cluster: Cluster, service: Service) -> set[str]:
    """The nodes that are to be able to run it: those of its domain, or all; and its owner."""
    domain = cluster.domains.get(service.entry.domain)
    return {*(domain.nodes if domain is not None else cluster.nodes), service.node}
