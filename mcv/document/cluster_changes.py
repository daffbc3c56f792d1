"""Changes of membership and settings, and of the lineage itself."""

from typing import Any

import msgspec
from msgspec.structs import replace

from mcv.document.availability import Evidence, EvidenceKind
from mcv.document.generation import ChangeMade, Epoch, EpochNow, Past
from mcv.document.ha_entry_changes import without_node as without_in_ha
from mcv.document.hardware import Cpu
from mcv.document.model import Cluster, Node, digest
from mcv.document.pool_changes import without_node
from mcv.document.registry import change, new_claim
from mcv.document.schema import require_schema
from mcv.document.schema_3 import with_pools
from mcv.document.schema_4 import with_homes
from mcv.errors import Refused


@change("barrier")
def barrier(base: Cluster, made: ChangeMade, /) -> Cluster:
    """Change nothing: committed, it shows that every earlier proposal is committed or excluded."""
    return replace(base)


@change("cluster.cpu")
def cluster_cpu(base: Cluster, made: ChangeMade, /, cpu: dict[str, Any]) -> Cluster:
    """New VMs get this processor from now on."""
    if base.schema < 3:
        raise Refused("A document of this schema holds no processor.")
    return replace(base, cpu_baseline=msgspec.convert(cpu, Cpu))


@change("document.schema")
def document_schema(base: Cluster, made: ChangeMade, /, schema: int) -> Cluster:
    """The document is written in a later schema from now on; without effect where it is.

    From schema 3 on every disk is in a pool, from schema 4 on every VM has a home.
    """
    if schema <= base.schema:
        return base
    raised = replace(base, schema=schema)
    if schema >= 3:
        raised = with_pools(raised)
    return with_homes(raised) if schema >= 4 else raised


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


@change("node.dead")
def node_dead(
    base: Cluster,
    made: ChangeMade,
    /,
    names: list[str],
    survivor: str,
    epoch: str,
    evidence: EvidenceKind | None = None,
) -> Cluster:
    """Declare members dead: all of them are offline at once, in an epoch that this begins.

    `evidence` says why they count as dead, on two nodes whose fence devices are armed.
    """
    draft = begin_epoch(base, epoch, base.epoch.number + 1)
    told = None
    if evidence is not None:
        require_schema(base, 6)
        told = Evidence(kind=evidence, by=made.node, when=made.when, detail=made.who)
    for name in names:
        node = draft.node(name)
        draft = draft.with_node(replace(node, status="offline", evidence=told or node.evidence))
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
    draft = begin_epoch(base, epoch, number, also)
    for name, incarnation in (incarnations or {}).items():
        draft = draft.with_vm(replace(draft.vm(name), incarnation=incarnation))
    return draft


def begin_epoch(base: Cluster, epoch: str, number: int, also: tuple[Past, ...] = ()) -> Cluster:
    """The document in a new epoch, which begins from it; `also` are other ends of the past."""
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
    holds += sorted(one.name for one in base.services.values() if one.node == name)
    if holds:
        raise Refused(f"{name} owns or holds a replica of {', '.join(holds)}.")
    left = base.without_node(name)
    # Pools and images are of schema 3, homes and bridges of single nodes of schema 4.
    left = without_node(left, name) if base.schema >= 3 else left
    return _spread_diskless(_without_traces(without_in_ha(left, name), name))


def _without_traces(base: Cluster, node: str) -> Cluster:
    """The document without a node as a VM's home, or with a bridge or devices of its own."""
    for vm in base.vms.values():
        home = vm.node if vm.home == node else vm.home
        devices = tuple(device for device in vm.devices if device.node != node)
        if (home, devices) != (vm.home, vm.devices):
            base = base.with_vm(replace(vm, home=home, devices=devices))
    for network in base.networks.values():
        if node in network.on:
            on = {name: bridge for name, bridge in network.on.items() if name != node}
            base = base.with_network(replace(network, on=on))
    if base.store is not None and node in base.store.voters:
        voters = tuple(name for name in base.store.voters if name != node)
        base = replace(base, store=replace(base.store, voters=voters))
    return base


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


@change("drbd.secret")
def drbd_secret(base: Cluster, made: ChangeMade, /, id: str) -> Cluster:
    """Let the secret of that id, which every online member has by then, be the cluster's."""
    return replace(base, drbd=replace(base.drbd, secret_id=id))
