"""Whether a network as it is asked for can be had on every node, and whether it is in use."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from mcv.document.model import Cluster
from mcv.document.networks import LEAST_MTU, MOST_MTU, MOST_VLAN, Network
from mcv.document.schema import older_member
from mcv.drivers.libvirt_saved import SAVED
from mcv.errors import McvError, Refused
from mcv.host import Host
from mcv.network import needs
from mcv.system.answers import ask_typed

BRIDGE = re.compile(r"[A-Za-z0-9_.-]{1,15}")
LOOK = 10.0  # s that a node has to look at its bridges


def why_not_values(cluster: Cluster, values: Mapping[str, Any]) -> list[Refused]:
    """What is wrong with a network's values by themselves."""
    problems = []
    on = values.get("on") or {}
    for bridge in dict.fromkeys((values.get("bridge") or "", *on.values())):
        if not BRIDGE.fullmatch(bridge):
            problems.append(Refused(f"{bridge!r} is no name for a bridge."))
    for node in sorted(set(on) - set(cluster.nodes)):
        nodes = ", ".join(sorted(cluster.nodes))
        problems.append(Refused(f"There is no node {node}.", f"Nodes: {nodes}."))
    for what, least, most in (("vlan", 1, MOST_VLAN), ("mtu", LEAST_MTU, MOST_MTU)):
        number = values.get(what) or 0
        if number and not least <= number <= most:
            hint = f"It can be {least} to {most}; 0 for none."
            problems.append(Refused(f"--{what} {number} makes no sense.", hint))
    has_more = any(values.get(key) for key in ("vlan", "mtu", "on"))
    if has_more and cluster.schema < 4:
        problems.append(older_member("VLAN, MTU and other bridges cannot be written down"))
    return problems


def why_not_everywhere(host: Host, network: Network) -> list[Refused]:
    """Why online nodes cannot have a network: a bridge that is not there, its MTU, the VLAN."""
    problems = []
    online = host.read().online
    for node, answer in ask_typed(host.call, online, "node.bridges", LOOK, list[str]).items():
        if isinstance(answer, McvError):
            problems.append(Refused(f"{node} is needed: {answer.message}", answer.hint))
        elif (bridge := network.bridge_on(node)) not in answer:
            have = f"It has: {', '.join(answer)}." if answer else "It has none."
            problems.append(Refused(f"{node} has no bridge {bridge}.", have))
    if problems or not (network.vlan or network.mtu):
        return problems
    asked = {"wanted": msgspec.to_builtins(network)}
    shape = list[tuple[str, str]]
    for node, lacks in ask_typed(host.call, online, "network.lacks", LOOK, shape, **asked).items():
        if isinstance(lacks, McvError):
            problems.append(Refused(f"{node} is needed: {lacks.message}", lacks.hint))
        else:
            problems += [Refused(message, hint) for message, hint in lacks]
    return problems


def lacks(host: Host, wanted: dict[str, Any]) -> list[tuple[str, str]]:
    """What this node lacks for a network: (message, hint) each."""
    known = msgspec.convert(wanted, Network)
    problems = needs.why_not(host, [(known, known.vlan)])
    return [(problem.message, problem.hint) for problem in problems]


def why_in_use(host: Host, name: str) -> list[Refused]:
    """Refused while VMs on a network are active, or a node does not tell whether they are."""
    cluster = host.read()
    users = [vm for vm in cluster.vms.values() if any(nic.network == name for nic in vm.nics)]
    owners = sorted({vm.node for vm in users})
    states = ask_typed(host.call, owners, "vm.active", LOOK, list[str])
    active, unknown = [], []
    for vm in sorted(users, key=lambda vm: vm.name):
        there = states[vm.node]
        if isinstance(there, McvError):
            unknown.append(f"{vm.name} (on {vm.node})")
        elif vm.name in there:
            active.append(vm.name)
    problems = []
    if active:
        what = f"Network {name} is used by {', '.join(active)}, which are running or saved."
        hint = f"It changes while none of them is. Next: mcv shutdown {active[0]}"
        problems.append(Refused(what, hint))
    if unknown:
        what = f"Whether VMs on {name} run is not known: {', '.join(unknown)}."
        problems.append(Refused(what, "See: mcv info"))
    return problems


def active(host: Host) -> list[str]:
    """The VMs whose domains are active here, paused ones too, or have saved memory."""
    states = host.domains.states().vms
    return sorted(name for name, state in states.items() if state in ("running", "paused", SAVED))
