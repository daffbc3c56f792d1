"""Networks: names for bridges that exist on every node, or that mcvd makes there."""

import re

from msgspec import Struct

from mcv.document.names import problem_with_name
from mcv.errors import DoneInPart, McvError, Refused, refuse_all
from mcv.host import Host
from mcv.network import nat as nats
from mcv.system.answers import ask_typed
from mcv.system.fanout import ask_all

MAKING = 20.0  # s that a node has to make a network
BRIDGE = re.compile(r"[A-Za-z0-9_.-]{1,15}")


class NamedBridge(Struct, frozen=True, kw_only=True):
    """A network, and the bridge that it names on every node."""

    name: str
    bridge: str


class NetworkRow(Struct, frozen=True, kw_only=True):
    """A network in a list; `vms` is the number of VMs on it."""

    name: str
    bridge: str
    vms: int


class Name(Struct, frozen=True, kw_only=True):
    """The network that is gone."""

    name: str


def create(host: Host, name: str, bridge: str = "", nat: bool = False) -> NamedBridge:
    """Name a bridge, or with nat make a network of each node's own.

    Raises Refused, with every reason, where a node has no bridge of that name; DoneInPart where
    the network is in the document and a node could not make it yet.
    """
    cluster = host.read()
    problems: list[Refused] = []
    problem = problem_with_name(name, "network")
    if problem:
        problems.append(problem)
    elif name in cluster.networks:
        problems.append(Refused(f"There is a network {name} already.", "See: mcv network list"))
    if nat:
        return _create_nat(host, name, bridge, problems)
    if not BRIDGE.fullmatch(bridge):
        problems.append(Refused(f"{bridge!r} is no name for a bridge."))
    else:
        for node, answer in ask_typed(
            host.call, cluster.online, "node.bridges", 5.0, list[str]
        ).items():
            if isinstance(answer, McvError):
                problems.append(Refused(f"{node} is needed: {answer.message}", answer.hint))
            elif bridge not in answer:
                have = f"It has: {', '.join(answer)}." if answer else "It has none."
                problems.append(Refused(f"{node} has no bridge {bridge}.", have))
    refuse_all(problems)
    host.update("network.add", f"network create {name}", name=name, bridge=bridge)
    return NamedBridge(name=name, bridge=bridge)


def _create_nat(host: Host, name: str, bridge: str, problems: list[Refused]) -> NamedBridge:
    cluster = host.read()
    problems += nats.why_not_write(cluster)
    if bridge:
        problems.append(Refused("A network by NAT has a bridge of its own.", "Leave --bridge out."))
    refuse_all(problems)
    bridge = nats.next_bridge(cluster)
    host.update("network.add_nat", f"network create {name}", name=name, bridge=bridge)
    answers = ask_all(host.call, cluster.online, "network.bring_up", MAKING)
    failed = {node: error for node, error in answers.items() if isinstance(error, McvError)}
    if failed:
        said = "; ".join(f"{node}: {error.message}" for node, error in sorted(failed.items()))
        hint = "mcvd tries again by itself. On that node: apt install dnsmasq-base iptables"
        raise DoneInPart(f"Network {name} is created, but: {said}", hint)
    return NamedBridge(name=name, bridge=bridge)


def delete(host: Host, name: str) -> Name:
    """Forget a name. Raises Refused where a VM is on that network."""
    host.update("network.remove", f"network delete {name}", name=name)
    return Name(name=name)


def list_(host: Host) -> list[NetworkRow]:
    """Every network, with the number of VMs on it."""
    cluster = host.read()
    return [
        NetworkRow(
            name=name,
            bridge=network.bridge,
            vms=sum(any(nic.network == name for nic in vm.nics) for vm in cluster.vms.values()),
        )
        for name, network in sorted(cluster.networks.items())
    ]


def bridges(host: Host) -> list[str]:
    return host.bridges.list()
