"""The addresses of cards: none is given twice, not even to a domain that is not mcv's."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from mcv.document.model import Cluster
from mcv.document.vm_nics import macs_of
from mcv.drivers.domain_xml import new_mac
from mcv.errors import McvError, Refused
from mcv.host import Host
from mcv.system.answers import ask_typed

MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
LOOK = 5.0  # s that a node has to tell of cards that the document does not have


class Holder(NamedTuple):
    """A domain that has a MAC which the document does not give it, and its node."""

    domain: str
    node: str


def plain(text: str) -> str:
    """A MAC as it is compared, in small letters with colons."""
    return text.lower().replace("-", ":")


def parse(text: str) -> str:
    """A card's MAC in small letters. Raises Refused for what is none, or no card's own."""
    mac = plain(text)
    if not MAC.fullmatch(mac):
        raise Refused(f"{text!r} is no MAC.", "It is six bytes, as 52:54:00:12:34:56.")
    if int(mac[:2], 16) & 1 or mac == "00:00:00:00:00:00":
        raise Refused(f"{mac} is no card's own address.", "The first byte of such a MAC is even.")
    return mac


def unused(host: Host, taken: Iterable[str] = ()) -> str:
    """A random MAC that no card of the cluster has, and no domain of a node that answers."""
    known = {*of_others(host.read(), ""), *of_domains(host), *taken}
    while (mac := new_mac()) in known:
        pass
    return mac


def of_others(cluster: Cluster, name: str) -> dict[str, str]:
    """The MACs of all VMs but one, those of overlays too, and whose they are."""
    return {mac: vm.name for vm in cluster.vms.values() if vm.name != name for mac in macs_of(vm)}


def of_domains(host: Host) -> dict[str, Holder]:
    """The MACs that domains of online nodes have, and the document does not give them.

    A node that does not tell of its domains is passed over: its libvirt may be down for long.
    """
    online = host.read().online
    told = ask_typed(host.call, online, "node.foreign_macs", LOOK, dict[str, str])
    return {
        mac: Holder(domain, node)
        for node, domains in told.items()
        if not isinstance(domains, McvError)
        for mac, domain in domains.items()
    }


def why_taken(host: Host, name: str, macs: Iterable[str]) -> list[Refused]:
    """Why a VM ("" for a new card) cannot have these MACs: a VM has one, or a domain."""
    wanted = sorted({mac.lower() for mac in macs})
    others = of_others(host.read(), name)
    found = [
        Refused(f"The MAC {mac} is {others[mac]}'s.", f"See: mcv nic list {others[mac]}")
        for mac in wanted
        if mac in others
    ]
    return found + why_of_domains(host, name, wanted)


def why_of_domains(host: Host, name: str, macs: Iterable[str]) -> list[Refused]:
    """Why a VM ("" for a new card) cannot have these MACs: a domain has one beside the document.

    It is not mcv's, or its guest has not let go of a card that was taken from it.
    """
    wanted = sorted({mac.lower() for mac in macs})
    held = of_domains(host) if wanted else {}
    vms = host.read().vms
    found = []
    for mac in wanted:
        domain, node = held.get(mac, Holder(name, ""))
        if domain == name:
            continue
        if domain in vms:
            found.append(
                Refused(
                    f"The MAC {mac} is that of a card which the guest of {domain} has not let go "
                    "of.",
                    f"It is free when the guest stops: mcv shutdown {domain}",
                )
            )
        else:
            found.append(
                Refused(
                    f"The MAC {mac} is that of the domain {domain} on {node}, which is not mcv's.",
                    "Give that domain, or this card, another one.",
                )
            )
    return found


def foreign(host: Host) -> dict[str, str]:
    """The MACs of domains here that the document does not give them, and whose they are."""
    known = {mac for cluster in host.both() for vm in cluster.vms.values() for mac in macs_of(vm)}
    return host.domains.nics.foreign_macs(known)
