"""Changes of networks."""

from typing import Any

import msgspec

from mcv.document.generation import ChangeMade
from mcv.document.model import Cluster
from mcv.document.networks import Network
from mcv.document.registry import change
from mcv.document.schema import require_schema
from mcv.errors import Busy, Refused

PROPERTIES = ("bridge", "vlan", "mtu", "on")  # what `network.set` may change


@change("network.add")
def network_add(
    base: Cluster,
    made: ChangeMade,
    /,
    name: str,
    bridge: str,
    vlan: int = 0,
    mtu: int = 0,
    on: dict[str, str] | None = None,
) -> Cluster:
    """Name a bridge that exists on every node, and others in its place on some nodes (`on`).

    From schema 4 on a network may have a tag, an MTU and bridges of single nodes.
    """
    if name in base.networks:
        raise Refused(f"There is a network {name} already.", "See: mcv network list")
    new = Network(name=name, bridge=bridge)
    if vlan or mtu or on:
        new = _with(base, new, {"vlan": vlan, "mtu": mtu, "on": on or {}})
    return base.with_network(new)


@change("network.set")
def network_set(base: Cluster, made: ChangeMade, /, name: str, **values: Any) -> Cluster:
    """Change bridge, tag, MTU or bridges of single nodes; what is not named stays.

    Precondition: schema 4. Refused for what is no such property, and for a network by NAT.
    """
    return _set(base, name, values)


@change("network.alter")
def network_alter(
    base: Cluster, made: ChangeMade, /, name: str, users: list[str], values: dict[str, Any]
) -> Cluster:
    """As `network.set`, while these VMs and no others have cards in the network.

    The proposer has judged those: whether a VM runs is not in the document. Busy where another
    has a card meanwhile.
    """
    if sorted(users) != users_of(base, name):
        raise Busy(f"Cards came to network {name}, or left it, meanwhile.", "See: mcv network list")
    return _set(base, name, values)


def users_of(base: Cluster, name: str) -> list[str]:
    """The VMs that have a card in a network, in order."""
    return sorted(vm.name for vm in base.vms.values() if any(n.network == name for n in vm.nics))


def _set(base: Cluster, name: str, values: dict[str, Any]) -> Cluster:
    network = base.network(name)
    if network.nat:
        raise Refused(f"{name} is libvirt's own on each node: mcvd makes its bridge.")
    if foreign := sorted(set(values) - {*PROPERTIES}):
        raise Refused(f"A network has no property {', '.join(foreign)} that is set.")
    return base.with_network(_with(base, network, values))


def _with(base: Cluster, network: Network, values: dict[str, Any]) -> Network:
    """The network with other values, each of the type that its struct says."""
    require_schema(base, 4)
    new = msgspec.convert({**msgspec.to_builtins(network), **values}, Network)
    for node in new.on:
        base.node(node)
    return new


@change("network.add_nat")
def network_add_nat(base: Cluster, made: ChangeMade, /, name: str, bridge: str) -> Cluster:
    """Add a network by NAT, whose bridge mcvd makes on every node; no other has that bridge."""
    if base.schema < 3:
        raise Refused("A document of this schema holds no network by NAT.")
    if name in base.networks:
        raise Refused(f"There is a network {name} already.", "See: mcv network list")
    if bridge in {network.bridge for network in base.networks.values()}:
        raise Busy(f"The bridge {bridge} has been taken meanwhile.")
    return base.with_network(Network(name=name, bridge=bridge, nat=True))


@change("network.remove")
def network_remove(base: Cluster, made: ChangeMade, /, name: str) -> Cluster:
    """Forget a network; Refused while a VM has a NIC in it."""
    base.network(name)
    users = users_of(base, name)
    if users:
        raise Refused(
            f"Network {name} is used by {', '.join(users)}.",
            f"It can go when no VM has it. See: mcv info {users[0]}",
        )
    return base.without_network(name)
