"""Changes of services: an address with what runs where it is, and who owns it."""

from typing import Any

import msgspec
from msgspec.structs import replace

from mcv.document import ties
from mcv.document.generation import ChangeMade
from mcv.document.ha_entries import Script, Service
from mcv.document.ha_entry_changes import new_entry
from mcv.document.model import Cluster
from mcv.document.names import problem_with_name
from mcv.document.registry import busy, change, claimed, operation_of, released
from mcv.document.schema import require_schema
from mcv.document.subject import Subject
from mcv.errors import Busy, NotFound, Refused


def service_of(base: Cluster, name: str) -> Service:
    """A service; NotFound where there is none of that name."""
    if name not in base.services:
        raise NotFound(f"There is no service {name}.", "See: mcv ha list")
    return base.services[name]


def with_service(base: Cluster, service: Service) -> Cluster:
    return replace(base, services={**base.services, service.name: service})


def ip_of(address: str) -> str:
    """IP of IP/LEN."""
    return address.partition("/")[0]


@change("service.add")
def service_add(
    base: Cluster, made: ChangeMade, /, service: dict[str, Any], entry: dict[str, Any]
) -> Cluster:
    """A new service, which nothing runs of yet; its name and its address are its own."""
    require_schema(base, 6)
    wanted = {"wanted": "stopped", **entry}
    try:
        new = msgspec.convert({**service, "entry": new_entry(base, wanted)}, Service)
    except msgspec.ValidationError as error:
        raise Refused(f"This is no service: {error}.") from error
    if problem := problem_with_name(new.name, "service"):
        raise problem
    require_free_name(base, new.name)
    base.node(new.node)
    for name, other in base.services.items():
        if ip_of(other.address) == ip_of(new.address):
            raise Refused(f"{ip_of(new.address)} is the address of {name}.", "See: mcv ha list")
    return with_service(base, replace(new, home=new.node, claim=None))


def require_free_name(base: Cluster, name: str) -> None:
    """Raise Refused where a VM or a service has the name: they share one namespace."""
    if name in base.vms:
        raise Refused(f"There is a VM {name} already.", "See: mcv list")
    if name in base.services:
        raise Refused(f"There is a service {name} already.", "See: mcv ha list")


@change("service.claim")
def service_claim(base: Cluster, made: ChangeMade, /, name: str, why: str) -> Cluster:
    """Claim a service; Busy while another operation has claimed it."""
    return with_service(base, claimed(base, made, name, service_of(base, name), why))


@change("service.release")
def service_release(base: Cluster, made: ChangeMade, /, name: str) -> Cluster:
    """End the claim; without effect where the service, or this operation's claim, is gone."""
    service = released(made, base.services.get(name))
    return base if service is None else with_service(base, service)


@change("service.owner")
def service_owner(
    base: Cluster, made: ChangeMade, /, name: str, node: str, home: str = ""
) -> Cluster:
    """Give a service another owner, under this operation's claim; with `home` another home.

    Precondition: nothing of it runs on its owner.
    """
    service = _require_claim(base, made, name)
    if base.node(node).status == "offline":
        raise Refused(f"{node} is offline.", f"Bring it back with: mcv node online {node}")
    if home:
        base.node(home)
    return with_service(base, replace(service, node=node, home=home or service.home))


@change("service.scripts")
def service_scripts(
    base: Cluster, made: ChangeMade, /, name: str, scripts: list[dict[str, Any]]
) -> Cluster:
    """Take the scripts as they are now on every node; Refused unless their paths are the same."""
    service = _require_claim(base, made, name)
    try:
        new = msgspec.convert(scripts, tuple[Script, ...])
    except msgspec.ValidationError as error:
        raise Refused(f"These are no scripts: {error}.") from error
    if [one.path for one in new] != [one.path for one in service.scripts]:
        raise Refused(f"{name} has other scripts.", "Look again.")
    return base if new == service.scripts else with_service(base, replace(service, scripts=new))


@change("service.gone")
def service_gone(base: Cluster, made: ChangeMade, /, name: str) -> Cluster:
    """Forget a service with its ties, under this operation's claim.

    Precondition: nothing of it runs anywhere.
    """
    if name not in base.services:
        return base
    _require_claim(base, made, name)
    services = {key: one for key, one in base.services.items() if key != name}
    return replace(base, services=services, ties=ties.without(base.ties, name))


def _require_claim(base: Cluster, made: ChangeMade, name: str) -> Service:
    require_schema(base, 6)
    service = service_of(base, name)
    if service.claim is None or service.claim.operation != operation_of(made):
        raise Busy(f"{name} is not claimed by this operation any more.", "See: mcv locks list")
    return service


def taken(base: Cluster, made: ChangeMade, name: str, lost: str, taker: str) -> Cluster:
    """The document with a service of a node that is gone given to another; its home stays."""
    service = base.services.get(name)
    if service is None or service.node != lost:
        return base
    claim = base.claim_of(Subject.service(name))
    if claim is not None and claim.operation != operation_of(made):
        raise busy(name, claim)
    node = base.node(taker)
    if node.status != "online" or node.draining:
        raise Refused(f"{taker} takes no services now.", "Look again.")
    return with_service(base, replace(service, node=taker))
