"""Changes of where the document lies, of etcd's voters, and of what they know each other by."""

from msgspec.structs import replace

from mcv.document.availability import MOST_VOTERS, EtcdStore, Witness
from mcv.document.cluster_changes import begin_epoch
from mcv.document.generation import ChangeMade
from mcv.document.model import Cluster
from mcv.document.registry import change
from mcv.document.schema import require_schema
from mcv.errors import NotFound, Refused


@change("store.etcd")
def store_etcd(
    base: Cluster, made: ChangeMade, /, id: str, voters: list[str], epoch: str
) -> Cluster:
    """The document lies in etcd from this generation on, which begins an epoch.

    Refused unless every voter is a member and has a certificate for it, and unless they are
    three at least, the witness included.
    """
    require_schema(base, 5)
    if base.store is not None:
        raise Refused("The document lies in etcd already.")
    if base.ha.armed:
        raise Refused("The cluster is armed without leases.", "First: mcv ha disarm")
    store = EtcdStore(id=id, voters=_voters(base, voters))
    return replace(begin_epoch(base, epoch, base.epoch.number + 1), store=store)


@change("store.unanimous")
def store_unanimous(
    base: Cluster, made: ChangeMade, /, epoch: str, disarm: bool = False
) -> Cluster:
    """The members agree unanimously from this generation on, which begins an epoch.

    Refused for an armed cluster: leases lie in etcd. With `disarm` it is disarmed.
    """
    require_schema(base, 5)
    if base.store is None:
        raise Refused("The document does not lie in etcd.")
    if base.ha.armed and not disarm:
        raise Refused("The cluster is armed, and leases lie in etcd.", "First: mcv ha disarm")
    ha = replace(base.ha, armed=False)
    draft = begin_epoch(base, epoch, base.epoch.number + 1)
    return replace(draft, store=None, witness=None, ha=ha)


@change("store.survivors")
def store_survivors(
    base: Cluster, made: ChangeMade, /, names: list[str], survivor: str, epoch: str
) -> Cluster:
    """The members agree unanimously without those of these names, which were etcd's majority.

    All of them, and the witness where it is named, are gone by a human's word: the document is
    the newest that survivors hold. The members named are offline, in an epoch that this begins,
    and an armed cluster is disarmed: leases lie in etcd.
    """
    require_schema(base, 5)
    if base.store is None:
        raise Refused("The document does not lie in etcd.")
    draft = begin_epoch(base, epoch, base.epoch.number + 1)
    for name in sorted(set(names) & set(base.nodes)):
        draft = draft.with_node(replace(draft.node(name), status="offline"))
    if not draft.online:
        draft = draft.with_node(replace(draft.node(survivor), status="online"))
    return replace(draft, store=None, witness=None, ha=replace(base.ha, armed=False))


@change("store.voters")
def store_voters(
    base: Cluster, made: ChangeMade, /, voters: list[str], before: list[str] | None = None
) -> Cluster:
    """Other members run etcd; Refused where those who did are named, and are others."""
    require_schema(base, 5)
    if base.store is None:
        raise Refused("The document does not lie in etcd.")
    if before is not None and set(before) != set(base.store.voters):
        raise Refused("Other members run etcd by now.", "Try again.")
    return replace(base, store=replace(base.store, voters=_voters(base, voters)))


def _voters(base: Cluster, voters: list[str]) -> tuple[str, ...]:
    for name in voters:
        if not base.node(name).etcd_certificate:
            raise Refused(f"{name} has no certificate for etcd yet.")
    count = len(set(voters)) + (base.witness is not None)
    if not 3 <= count <= MOST_VOTERS:
        raise Refused(
            f"{count} voters are {'too few' if count < 3 else 'too many'}: a majority of two is "
            f"both, and etcd is for 3 to {MOST_VOTERS}.",
            "With two nodes a witness is the third.",
        )
    return tuple(sorted(set(voters)))


@change("node.etcd")
def node_etcd(base: Cluster, made: ChangeMade, /, name: str, certificate: str) -> Cluster:
    """A member is known by this certificate to etcd; without effect where it is already."""
    require_schema(base, 5)
    node = base.node(name)
    if node.etcd_certificate == certificate:
        return base
    return base.with_node(replace(node, etcd_certificate=certificate))


@change("witness.set")
def witness_set(
    base: Cluster,
    made: ChangeMade,
    /,
    name: str,
    ip_address: str,
    certificate: str,
    bundle: str = "",
) -> Cluster:
    """This machine is the witness, and has been brought the certificates of that digest."""
    require_schema(base, 5)
    if name in base.nodes:
        raise Refused(f"{name} is a node of this cluster, and a witness is none.")
    if base.witness is not None and base.witness.name != name:
        raise Refused(f"{base.witness.name} is the witness already.")
    witness = Witness(name=name, ip_address=ip_address, certificate=certificate, bundle=bundle)
    return replace(base, witness=witness)


@change("witness.remove")
def witness_remove(base: Cluster, made: ChangeMade, /) -> Cluster:
    """There is no witness any more; Refused where too few voters would be left."""
    require_schema(base, 5)
    if base.witness is None:
        raise NotFound("There is no witness.")
    if base.store is not None and len(base.store.voters) < 3:
        raise Refused(
            f"Without {base.witness.name} {' and '.join(base.store.voters)} would both be needed.",
            "Move the document back to unanimous agreement first.",
        )
    return replace(base, witness=None)
