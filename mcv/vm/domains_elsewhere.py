"""The domains of a VM's name on every online node: looked at before a VM gets a place."""

from collections.abc import Collection

from msgspec import Struct

from mcv.drivers.libvirt_identity import ForeignDomain
from mcv.errors import McvError, Refused
from mcv.host import Host
from mcv.rules.domain import ACTIVE, why_foreign
from mcv.system.answers import ask_typed

PATIENCE = 5.0  # s that a node has to look


class DomainsOfName(Struct, frozen=True, kw_only=True):
    """What a node has of a name: the state of the VM's own domain, and a foreign domain."""

    state: str
    foreign: ForeignDomain | None


def here(host: Host, name: str) -> DomainsOfName:
    """Answer another node."""
    return DomainsOfName(state=host.domains.state(name), foreign=host.domains.foreign(name))


def foreign(host: Host, name: str, needed: Collection[str]) -> list[Refused]:
    """Why a new VM cannot have this name: a refusal for each foreign domain that has it.

    A node that does not tell is a refusal where the new VM needs it.
    """
    found = []
    for node, answer in _ask(host, name, but=()).items():
        if not isinstance(answer, McvError):
            found += [_renamed(node, answer.foreign)] if answer.foreign else []
        elif node in needed:
            found.append(Refused(f"{node} is needed: {answer.message}", answer.hint))
    return found


def _renamed(node: str, domain: ForeignDomain) -> Refused:
    refusal = why_foreign(node, domain)
    return Refused(refusal.message, f"Choose another name for the VM. {refusal.hint}")


def copies(host: Host, name: str, but: Collection[str]) -> list[Refused]:
    """Why a VM cannot move: a refusal for each other online node where a copy of it is active.

    A node that does not tell holds up nothing: it has to take part in the change anyway.
    """
    return [
        Refused(f"A copy of {name} is {answer.state} on {node}.", f"mcv stop {name} --on {node}")
        for node, answer in _ask(host, name, but).items()
        if not isinstance(answer, McvError) and answer.state in ACTIVE
    ]


def _ask(host: Host, name: str, but: Collection[str]) -> dict[str, DomainsOfName | McvError]:
    online = [node for node in host.read().online if node not in but]
    return ask_typed(host.call, online, "vm.domains", PATIENCE, DomainsOfName, name=name)
