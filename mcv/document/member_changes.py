"""Changes of the state of one member, or of a claim on it."""

import msgspec
from msgspec.structs import replace

from mcv.document.arms import has_leases
from mcv.document.generation import ChangeMade
from mcv.document.model import Cluster, Node
from mcv.document.registry import busy, change, claimed, operation_of, released
from mcv.document.schema import require_schema
from mcv.errors import Refused


@change("node.claim")
def node_claim(base: Cluster, made: ChangeMade, /, name: str, why: str) -> Cluster:
    """Claim a member; Busy while another operation has claimed it."""
    return base.with_node(claimed(base, made, name, base.node(name), why))


@change("node.release")
def node_release(base: Cluster, made: ChangeMade, /, name: str) -> Cluster:
    """End the claim; without effect where the member, or this operation's claim, is gone."""
    node = released(made, base.nodes.get(name))
    return base if node is None else base.with_node(node)


@change("node.online")
def node_online(
    base: Cluster, made: ChangeMade, /, name: str, maintenance: bool = False
) -> Cluster:
    """Bring a member online; out of maintenance only where that is asked for."""
    node = base.node(name)
    if node.maintenance and not maintenance:
        raise Refused(
            f"{name} is offline for maintenance.", f"Bring it back with: mcv node online {name}"
        )
    _require_armed(base, node)
    return base.with_node(replace(node, status="online", maintenance=False, evidence=None))


def _require_armed(base: Cluster, node: Node) -> None:
    """Raise Refused for a member that an armed cluster knows no watchdog of: it has no lease."""
    if has_leases(base) and node.watchdog is None:
        raise Refused(
            f"The cluster is armed, and no watchdog is known of {node.name}.",
            "mcv ha disarm; and when it is online: mcv ha arm",
        )


@change("node.offline")
def node_offline(
    base: Cluster, made: ChangeMade, /, name: str, maintenance: bool = False
) -> Cluster:
    """Take a member offline; Refused for the last member online."""
    node = base.node(name)
    if base.online == [name]:
        raise Refused(f"{name} is the last node online.")
    return base.with_node(replace(node, status="offline", maintenance=maintenance))


@change("node.drain")
def node_drain(base: Cluster, made: ChangeMade, /, name: str) -> Cluster:
    """Let a member take no new VMs; Busy while another operation has claimed it."""
    return base.with_node(replace(_for_this(base, made, name), draining=True))


@change("node.maintenance")
def node_maintenance(base: Cluster, made: ChangeMade, /, name: str) -> Cluster:
    """Take a drained member offline for maintenance; it takes no VMs until it is restored.

    Refused while it owns a VM or a service, or carries an operation out, and for the last member
    online.
    """
    node = _for_this(base, made, name)
    owned = sorted(vm.name for vm in base.vms.values() if vm.node == name)
    owned += sorted(service.name for service in base.services.values() if service.node == name)
    if owned:
        raise Refused(
            f"{name} still owns {', '.join(owned)}.", f"Go on with: mcv node drain {name}"
        )
    claims = filter(None, map(base.claim_of, base.subjects()))
    if work := sorted({claim.why for claim in claims if claim.node == name}):
        raise Refused(f"{name} is at work: {work[0]}.", f"Go on with: mcv node drain {name}")
    if base.online == [name]:
        raise Refused(f"{name} is the last node online.")
    return base.with_node(replace(node, status="offline", maintenance=True, draining=True))


@change("node.restore")
def node_restore(base: Cluster, made: ChangeMade, /, name: str) -> Cluster:
    """End drain and maintenance: a member in maintenance is online again.

    Busy while another operation has claimed the member. One that is offline for another reason
    stays so.
    """
    node = _for_this(base, made, name)
    status = "online" if node.maintenance else node.status
    if node.maintenance:
        _require_armed(base, node)
    return base.with_node(replace(node, status=status, maintenance=False, draining=False))


def _for_this(base: Cluster, made: ChangeMade, name: str) -> Node:
    """The member; Busy while another operation than the change's has claimed it."""
    require_schema(base, 4)
    node = base.node(name)
    if node.claim is not None and node.claim.operation != operation_of(made):
        raise busy(name, node.claim)
    return node


@change("node.addresses")
def node_addresses(
    base: Cluster,
    made: ChangeMade,
    /,
    name: str,
    ip_address: str,
    drbd_address: str,
    etcd_certificate: str = "",
) -> Cluster:
    """Give a member the addresses of its mcv.conf, and a certificate for etcd at them."""
    node = base.node(name)
    if etcd_certificate:
        require_schema(base, 5)
        node = replace(node, etcd_certificate=etcd_certificate)
    return base.with_node(replace(node, ip_address=ip_address, drbd_address=drbd_address))


@change("node.macs")
def node_macs(base: Cluster, made: ChangeMade, /, name: str, macs: list[str]) -> Cluster:
    """Write down the cards of a member, which a magic packet wakes; without effect if known."""
    require_schema(base, 6)
    node = base.node(name)
    values = {**msgspec.to_builtins(node), "macs": sorted(set(macs))}
    try:
        new = msgspec.convert(values, Node)
    except msgspec.ValidationError as error:
        raise Refused(f"These are no MAC addresses: {error}.") from error
    return base if new == node else base.with_node(new)
