"""The addresses of cards: none is given twice, not even to a domain that is not mcv's."""

import re
from collections.abc import Iterable

from mcv.document.model import Cluster
from mcv.drivers.domain_xml import new_mac
from mcv.errors import McvError, Refused
from mcv.host import Host
from mcv.system.answers import ask_typed

MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
LOOK = 5.0  # s that a node has to tell of the domains that are not mcv's


def parse(text: str) -> str:
    """A card's MAC in small letters. Raises Refused for what is none, or no card's own."""
    mac = text.lower().replace("-", ":")
    if not MAC.fullmatch(mac):
        raise Refused(f"{text!r} is no MAC.", "It is six bytes, as 52:54:00:12:34:56.")
    if int(mac[:2], 16) & 1 or mac == "00:00:00:00:00:00":
        raise Refused(f"{mac} is no card's own address.", "The first byte of such a MAC is even.")
    return mac


def unused(cluster: Cluster, taken: Iterable[str] = ()) -> str:
    """A random MAC that no card of the cluster has."""
    known = {*of_others(cluster, ""), *taken}
    while (mac := new_mac()) in known:
        pass
    return mac


def of_others(cluster: Cluster, name: str) -> dict[str, str]:
    """The MACs of all VMs but one, and whose they are."""
    return {
        nic.mac.lower(): vm.name
        for vm in cluster.vms.values()
        if vm.name != name
        for nic in vm.nics
    }


def why_taken(host: Host, name: str, macs: Iterable[str]) -> list[Refused]:
    """Why a VM ("" for a new card) cannot have these MACs: a VM has one, or a foreign domain.

    A node that does not tell of its domains is passed over: its libvirt may be down for long.
    """
    wanted = sorted({mac.lower() for mac in macs})
    others = of_others(host.read(), name)
    found = [
        Refused(f"The MAC {mac} is {others[mac]}'s.", f"See: mcv nic list {others[mac]}")
        for mac in wanted
        if mac in others
    ]
    if not wanted:
        return found
    online = host.read().online
    told = ask_typed(host.call, online, "node.foreign_macs", LOOK, dict[str, str])
    for node, domains in told.items():
        if not isinstance(domains, McvError):
            found += [
                Refused(
                    f"The MAC {mac} is that of the domain {domains[mac]} on {node}, which is not "
                    "mcv's.",
                    "Give that domain, or this card, another one.",
                )
                for mac in wanted
                if mac in domains
            ]
    return found


def foreign(host: Host) -> dict[str, str]:
    """The MACs of domains here that are not mcv's, and whose they are."""
    return host.domains.nics.foreign_macs()
