"""Changes of members, networks, permissions and settings, and of the lineage itself."""

from typing import Any

import msgspec
from msgspec.structs import replace

from mcv.document.generation import ChangeMade, Epoch, EpochNow, Past
from mcv.document.hardware import Cpu
from mcv.document.model import Cluster, Network, Node, Permissions, digest
from mcv.document.pool_changes import without_node
from mcv.document.registry import change, claimed, new_claim, released
from mcv.document.schema_3 import with_pools
from mcv.errors import Busy, NotFound, Refused


@change("barrier")
def barrier(base: Cluster, made: ChangeMade, /) -> Cluster:
    """Change nothing: committed, it shows that every earlier proposal is committed or excluded."""
    return replace(base)


@change("network.add")
def network_add(base: Cluster, made: ChangeMade, /, name: str, bridge: str) -> Cluster:
    """Name a bridge that exists on every node."""
    if name in base.networks:
        raise Refused(f"There is a network {name} already.", "See: mcv network list")
    return base.with_network(Network(name=name, bridge=bridge))


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
    users = sorted(vm.name for vm in base.vms.values() if any(n.network == name for n in vm.nics))
    if users:
        raise Refused(
            f"Network {name} is used by {', '.join(users)}.",
            f"It can go when no VM has it. See: mcv info {users[0]}",
        )
    return base.without_network(name)


@change("cluster.cpu")
def cluster_cpu(base: Cluster, made: ChangeMade, /, cpu: dict[str, Any]) -> Cluster:
    """New VMs get this processor from now on."""
    if base.schema < 3:
        raise Refused("A document of this schema holds no processor.")
    return replace(base, cpu_baseline=msgspec.convert(cpu, Cpu))


@change("document.schema")
def document_schema(base: Cluster, made: ChangeMade, /, schema: int) -> Cluster:
    """The document is written in a later schema from now on; without effect where it is.

    From schema 3 on every disk is in a pool.
    """
    if schema <= base.schema:
        return base
    raised = replace(base, schema=schema)
    return with_pools(raised) if schema >= 3 else raised


@change("node.add")
def node_add(base: Cluster, made: ChangeMade, /, node: dict[str, Any], why: str) -> Cluster:
    """A member is added as offline; its entry comes with the claim of the join."""
    new = msgspec.convert(node, Node)
    if new.name in base.nodes:
        raise Refused(f"{new.name} is a member already.", "See: mcv info")
    draft = base.with_node(replace(new, status="offline", claim=new_claim(base, made, why)))
    return _spread_diskless(draft)


def _spread_diskless(base: Cluster) -> Cluster:
    """A VM without disks may run on every member, whoever comes and goes."""
    nodes = tuple(sorted(base.nodes))
    for vm in base.vms.values():
        if not vm.disks:
            base = base.with_vm(replace(vm, nodes=nodes))
    return base


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
    return base.with_node(replace(node, status="online", maintenance=False))


@change("node.offline")
def node_offline(
    base: Cluster, made: ChangeMade, /, name: str, maintenance: bool = False
) -> Cluster:
    """Take a member offline; Refused for the last member online."""
    node = base.node(name)
    if base.online == [name]:
        raise Refused(f"{name} is the last node online.")
    return base.with_node(replace(node, status="offline", maintenance=maintenance))


@change("node.dead")
def node_dead(
    base: Cluster, made: ChangeMade, /, names: list[str], survivor: str, epoch: str
) -> Cluster:
    """Declare members dead: all of them are offline at once, in an epoch that this begins."""
    draft = _begin_epoch(base, epoch, base.epoch.number + 1)
    for name in names:
        draft = draft.with_node(replace(draft.node(name), status="offline"))
    if not draft.online:
        draft = draft.with_node(replace(draft.node(survivor), status="online"))
    return draft


@change("cluster.sync")
def cluster_sync(
    base: Cluster,
    made: ChangeMade,
    /,
    pasts: list[dict[str, Any]],
    number: int,
    epoch: str,
    incarnations: dict[str, int] | None = None,
) -> Cluster:
    """Resolve a divergence: base goes on, in an epoch that names the other ends as its past.

    `incarnations` are new ones, for the VMs that were changed on one side at least.
    """
    also = tuple(msgspec.convert(past, Past) for past in pasts)
    draft = _begin_epoch(base, epoch, number, also)
    for name, incarnation in (incarnations or {}).items():
        draft = draft.with_vm(replace(draft.vm(name), incarnation=incarnation))
    return draft


def _begin_epoch(base: Cluster, epoch: str, number: int, also: tuple[Past, ...] = ()) -> Cluster:
    hash_ = digest(base)
    link = Epoch(number=number, id=epoch, generation=base.generation, hash=hash_, also=also)
    return replace(base, epoch=EpochNow(number=number, id=epoch), epochs=(*base.epochs, link))


@change("node.remove")
def node_remove(base: Cluster, made: ChangeMade, /, name: str) -> Cluster:
    """Take a member out, of pools and images too; Refused while it owns a VM or holds a replica."""
    if name not in base.nodes:
        return base
    holds = sorted(
        vm.name
        for vm in base.vms.values()
        if name == vm.node or any(name in disk.places for disk in vm.disks)
    )
    if holds:
        raise Refused(f"{name} owns or holds a replica of {', '.join(holds)}.")
    left = base.without_node(name)
    # Pools and images are of schema 3.
    return _spread_diskless(without_node(left, name) if base.schema >= 3 else left)


@change("node.addresses")
def node_addresses(
    base: Cluster, made: ChangeMade, /, name: str, ip_address: str, drbd_address: str
) -> Cluster:
    """Give a member the addresses of its mcv.conf."""
    node = base.node(name)
    return base.with_node(replace(node, ip_address=ip_address, drbd_address=drbd_address))


@change("drbd.enable")
def drbd_enable(base: Cluster, made: ChangeMade, /) -> Cluster:
    """Allow VMs with DRBD disks."""
    if base.drbd.enabled:
        raise Refused("DRBD is enabled already.")
    return replace(base, drbd=replace(base.drbd, enabled=True))


@change("drbd.set")
def drbd_set(base: Cluster, made: ChangeMade, /, **values: Any) -> Cluster:
    """Change settings that hold for every resource."""
    return replace(base, drbd=replace(base.drbd, **values))


@change("permission.add")
def permission_add(base: Cluster, made: ChangeMade, /, user: str) -> Cluster:
    """Make a user a superuser."""
    users = base.permissions.superusers
    if user in users:
        raise Refused(f"{user} is a superuser already.")
    return replace(base, permissions=Permissions(superusers=tuple(sorted((*users, user)))))


@change("permission.remove")
def permission_remove(base: Cluster, made: ChangeMade, /, user: str) -> Cluster:
    """Take the rights of a superuser away."""
    users = base.permissions.superusers
    if user not in users:
        raise NotFound(f"{user} is no superuser.", "See: mcv permission list")
    return replace(
        base, permissions=Permissions(superusers=tuple(other for other in users if other != user))
    )


@change("drbd.secret")
def drbd_secret(base: Cluster, made: ChangeMade, /, id: str) -> Cluster:
    """Let the secret of that id, which every online member has by then, be the cluster's."""
    return replace(base, drbd=replace(base.drbd, secret_id=id))
