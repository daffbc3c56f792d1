"""Whether addresses may be a node's: pure, over the document."""

import ipaddress

from msgspec.structs import replace

from mcv.document.model import Cluster, Node
from mcv.document.subject import Subject
from mcv.errors import Busy, Refused
from mcv.settings import is_reachable
from mcv.system.addresses import canonical, family


def wanted(
    cluster: Cluster,
    old: Node,
    ip_address: str | None,
    drbd_address: str | None,
    problems: list[Refused],
) -> Node:
    """The node with the addresses that are named; what is wrong with them is added to problems."""
    given = {"ip_address": ip_address, "drbd_address": drbd_address}
    values: dict[str, str] = {}
    for key, text in given.items():
        if text is None:
            continue
        problem = _problem(cluster, old, key, text)
        if problem is not None:
            problems.append(problem)
        else:
            values[key] = canonical(text)
    new = replace(old, **values)
    if not problems and (ip_address, drbd_address) == (None, None):
        problems.append(Refused("There is nothing to set.", f"mcv node set {old.name} --help"))
    elif not problems and new == old:
        problems.append(Refused(f"{old.name} has these addresses already.", "See: mcv info"))
    if old.status != "online":
        problems.append(Refused(f"{old.name} is offline.", f"mcv node online {old.name}"))
    return new


def _problem(cluster: Cluster, old: Node, key: str, text: str) -> Refused | None:
    try:
        version = ipaddress.ip_address(text).version
    except ValueError:
        return Refused(f"{text!r} is no IP address.", "It looks like 10.0.0.2 or fd00::2.")
    if not is_reachable(text):
        return Refused(f"{text} is no address that another node can reach.")
    for member in cluster.nodes.values():
        if member.name == old.name:
            continue
        if canonical(text) in (member.ip_address, member.drbd_address):
            return Refused(f"{text} is an address of {member.name}.", "See: mcv info")
        theirs = getattr(member, key)
        if theirs and family(theirs) != version:
            return Refused(f"{text} is of IPv{version}, and {theirs} of {member.name} is not.")
    return None


def why_members_claimed(cluster: Cluster, operation: str) -> list[Refused]:
    """A refusal for each operation that has claimed a member: another node is being set, too."""
    claims = {name: cluster.claim_of(Subject.node(name)) for name in sorted(cluster.nodes)}
    others = {
        claim.operation: claim
        for claim in claims.values()
        if claim and claim.operation != operation
    }
    return [
        Busy(f"{claim.why} is under way.", f"Wait for it with: mcv job wait {claim.operation}")
        for claim in others.values()
    ]
