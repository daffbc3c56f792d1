"""Networks: names for bridges that exist on every node, or that mcvd makes there."""

import msgspec
from msgspec import Struct

from mcv.document import network_changes
from mcv.document.names import problem_with_name
from mcv.document.networks import Network
from mcv.errors import DoneInPart, McvError, Refused, refuse_all
from mcv.host import Host
from mcv.network import fitting
from mcv.network import nat as nats
from mcv.system.fanout import ask_all

MAKING = 20.0  # s that a node has to make a network


class NamedBridge(Struct, frozen=True, kw_only=True):
    """A network, and the bridge that it names on every node, but for those of `on`."""

    name: str
    bridge: str
    vlan: int = 0
    mtu: int = 0
    on: dict[str, str] = {}


class NetworkRow(NamedBridge, frozen=True, kw_only=True):
    """A network in a list; `vms` is the number of VMs on it."""

    vms: int
    nat: bool


class Name(Struct, frozen=True, kw_only=True):
    """The network that is gone."""

    name: str


def create(
    host: Host,
    name: str,
    bridge: str = "",
    nat: bool = False,
    vlan: int | None = None,
    mtu: int | None = None,
    on: dict[str, str] | None = None,
) -> NamedBridge:
    """Name a bridge, or with nat make a network of each node's own.

    `on` names another bridge on some nodes. Guests' frames bear the tag `vlan` on the bridge.
    Raises Refused, with every reason, where a node lacks a bridge, its MTU or the VLAN; DoneInPart
    where the network is in the document and a node could not make it yet.
    """
    cluster = host.read()
    problems: list[Refused] = []
    problem = problem_with_name(name, "network")
    if problem:
        problems.append(problem)
    elif name in cluster.networks:
        problems.append(Refused(f"There is a network {name} already.", "See: mcv network list"))
    if nat:
        if vlan or mtu or on:
            problems.append(Refused("A network by NAT has no VLAN, MTU or bridge of its own."))
        return _create_nat(host, name, bridge, problems)
    asked = {"bridge": bridge, "vlan": vlan, "mtu": mtu, "on": on}
    values = {key: value for key, value in asked.items() if value}
    problems += fitting.why_not_values(cluster, values)
    if not problems:
        new = Network(name=name, bridge=bridge, vlan=vlan or 0, mtu=mtu or 0, on=on or {})
        problems += fitting.why_not_everywhere(host, new)
    refuse_all(problems)
    host.update("network.add", f"network create {name}", name=name, **values)
    return NamedBridge(name=name, bridge=bridge, vlan=vlan or 0, mtu=mtu or 0, on=on or {})


def set_(
    host: Host,
    name: str,
    bridge: str | None = None,
    vlan: int | None = None,
    mtu: int | None = None,
    on: dict[str, str] | None = None,
) -> NamedBridge:
    """Change a network; what is not named stays. `on` with "" is the network's bridge again.

    It counts from the next start of each VM on: refused, with their names, while VMs on it are
    active, or not known not to be. Raises Refused, with every reason, as `create`; DoneInPart
    where a VM began while it was changed, which has it from its next start on.
    """
    cluster = host.read()
    known = cluster.network(name)
    merged = {**known.on, **(on or {})}
    kept = {node: other for node, other in merged.items() if other}
    asked = {"bridge": bridge, "vlan": vlan, "mtu": mtu, "on": None if on is None else kept}
    values = {key: value for key, value in asked.items() if value is not None}
    problems: list[Refused] = []
    if known.nat:
        problems.append(Refused(f"{name} is libvirt's own on each node: mcvd makes its bridge."))
    elif not values:
        problems.append(Refused("There is nothing to change.", "See: mcv network set --help"))
    else:
        problems += fitting.why_not_values(cluster, {**values, "bridge": bridge or known.bridge})
    if not problems:
        problems += fitting.why_not_everywhere(host, msgspec.structs.replace(known, **values))
    problems += fitting.why_in_use(host, name)
    refuse_all(problems)
    users = network_changes.users_of(cluster, name)
    host.update("network.alter", f"network set {name}", name=name, users=users, values=values)
    began = [problem.message for problem in fitting.why_in_use(host, name)]
    if began:
        raise DoneInPart(
            f"Network {name} is changed, but a VM began meanwhile, and is connected as before "
            f"until it stops. {' '.join(began)}",
            "Which, and how: mcv info VM",
        )
    new = host.read().network(name)
    return NamedBridge(name=name, bridge=new.bridge, vlan=new.vlan, mtu=new.mtu, on=new.on)


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
            vlan=network.vlan,
            mtu=network.mtu,
            on=network.on,
            nat=network.nat,
            vms=sum(any(nic.network == name for nic in vm.nics) for vm in cluster.vms.values()),
        )
        for name, network in sorted(cluster.networks.items())
    ]


def bridges(host: Host) -> list[str]:
    return host.bridges.list()
