"""mcv ha what-if: the manager's own rules, asked on any node, and nothing is done."""

from collections.abc import Collection

from msgspec.structs import replace

from mcv.cluster import ha_look
from mcv.errors import McvError, PeerUnreachable, Refused
from mcv.etcd.keys import ClusterKeys
from mcv.ha.env import Unknown
from mcv.ha.manager import completed
from mcv.ha.start_env import NodeEnv
from mcv.host import Host
from mcv.rules import managed
from mcv.rules.ha import explain as rules
from mcv.rules.ha import status as kept
from mcv.rules.ha.explain import WouldMove
from mcv.rules.ha.snapshot import Snapshot
from mcv.rules.ha.status import Status
from mcv.system import lease


def what_if(host: Host, dead: list[str]) -> list[WouldMove]:
    """Where everything that is managed on these nodes would run if they died now.

    Refused for what is no member, and where no node would be left; PeerUnreachable
    where etcd does not tell what the manager has decided.
    """
    cluster = host.read()
    for name in dead:
        cluster.node(name)
    if not set(cluster.online) - set(dead):
        raise Refused("No node would be left.")
    look, status = view(host, dead)
    return rules.what_if(look, status, frozenset(dead))


def without_a_place(host: Host) -> list[WouldMove]:
    """What would run nowhere if the node that owns it died now: the same, for each node.

    PeerUnreachable where etcd does not tell what the manager has decided.
    """
    cluster = host.read()
    if not managed.entries_of(cluster):
        return []
    return rules.without_a_place(*view(host, cluster.online))


def view(host: Host, dead: Collection[str] = ()) -> tuple[Snapshot, Status]:
    """What is seen now from this node, and what the manager keeps.

    Where this node has watched no leases, a node is there that tells what runs there.
    """
    cluster = host.read()
    try:
        look = ha_look.look(host, dead)
    except Unknown as error:
        why = str(error).rstrip(".")
        raise PeerUnreachable(f"The marks of replicas cannot be read: {why}.") from error
    if cluster.store is None or not cluster.ha.armed:
        return replace(look, leases=False), Status()
    env = NodeEnv(host.name, host.settings.run, host.keyspace, cluster.store.id)
    watch = host.leases.watch(env, cluster.store.id)
    if watch.began is None:
        return replace(look, leases=False), _kept(host, cluster.store.id)
    return completed(look, watch, host.name, lease.now()), _kept(host, cluster.store.id)


def _kept(host: Host, store: str) -> Status:
    """What the manager keeps, at etcd; nothing where it has kept nothing that can be read."""
    try:
        found = host.keyspace.read(ClusterKeys(store).status).kvs
    except McvError as error:
        why = f"What was decided cannot be read: {error.message}"
        raise PeerUnreachable(why, error.hint) from error
    try:
        return kept.decode(found[0].value.decode()) if found else Status()
    except ValueError:
        return Status()
