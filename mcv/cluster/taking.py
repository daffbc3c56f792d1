"""Taking the leases of nodes that are dead: they are offline by evidence, in one transaction.

A lease that moves belongs to a node that lives, whatever anybody says.
"""

import secrets
import time
from collections.abc import Callable

from mcv.document.availability import EtcdStore
from mcv.errors import PeerUnreachable, Refused
from mcv.etcd.keys import ClusterKeys
from mcv.etcd.requests import Compare, Operation, put, unchanged
from mcv.ha import timing
from mcv.ha.env import Unknown
from mcv.ha.start_env import NodeEnv
from mcv.ha.values import Taken
from mcv.host import Host

PAUSE = 0.5  # s between two looks at a lease


def take(
    host: Host, names: list[str], change: str, who: str, why: str, alive: Callable[[], list[str]]
) -> None:
    """Call members dead at an operator's word, where the cluster is armed.

    Their leases have to stay unchanged for as long as the slowest clock and watchdog need; then
    one transaction compares them and the newest document, takes the leases, and calls the members
    offline. `alive` names those that answer after all, right before it. Errors: Refused where a
    lease moves or a member answers; PeerUnreachable without a majority; OutcomeOpen.
    """
    revisions = _unmoved(host, names)
    if back := alive():
        raise Refused(f"{' and '.join(back)} answers now.", "Power it off first.")
    keys = _keys(host)
    params = {
        "leases": revisions,
        "kind": "word",
        "epoch": secrets.token_hex(8),
        "detail": who,
    }
    compares: list[Compare] = [
        unchanged(keys.lease(name), revision) for name, revision in revisions.items()
    ]
    taken = Taken(host.name, "word").encode().encode()
    puts: list[Operation] = [put(keys.lease(name), taken) for name in names]
    host.consensus.propose(
        "node.taken", params, id=change, who=who, why=why, compares=compares, puts=puts
    )


def _store(host: Host) -> EtcdStore:
    store = host.read().store
    if store is None:
        raise Refused("The document does not lie in etcd any more.", "Try again.")
    return store


def _keys(host: Host) -> ClusterKeys:
    return ClusterKeys(_store(host).id)


def _unmoved(host: Host, names: list[str]) -> dict[str, int]:
    """The leases' revisions, 0 for none, once each was seen unchanged for as long as it says.

    This node's mcvd has watched them before, and a promise that it gave counts as a change.
    """
    _look(host)
    first = {name: _revision(host, name) for name in names}
    while left := max(_left(host, name) for name in names):
        host.job.progress(f"wait whether {' and '.join(names)} lives", note=f"{left:.0f} s more")
        time.sleep(min(PAUSE, left))
        _look(host)
        _require_unmoved(host, first)
    return first


def _look(host: Host) -> None:
    cluster = _store(host).id
    env = NodeEnv(host.name, host.settings.run, host.keyspace, cluster)
    try:
        host.leases.look(env, cluster)
    except Unknown as error:
        why = str(error).rstrip(".")
        raise PeerUnreachable(f"The leases cannot be read, so nobody is taken: {why}.") from error
    except ValueError as error:
        raise Refused(f"etcd holds a lease that is none: {error}.") from error


def _left(host: Host, name: str) -> float:
    """For how long the lease has to stay unchanged yet; 0 where there is none to wait for."""
    seen = host.leases.seen(name)
    if seen is None:
        return 0.0
    wait = timing.wait(seen.held.validity, seen.held.watchdog, seen.held.grain)
    return max(0.0, wait - host.leases.age(name))


def _require_unmoved(host: Host, first: dict[str, int]) -> None:
    for name, revision in first.items():
        if _revision(host, name) != revision:
            raise Refused(
                f"{name} renews its lease, so it is not dead.",
                "Power it off first, or: mcv node offline NODE, for maintenance.",
            )


def _revision(host: Host, name: str) -> int:
    """The lease's revision as it was watched; of one that was taken, as it is; 0 for none."""
    seen = host.leases.seen(name)
    if seen is not None:
        return seen.revision
    found = host.keyspace.read(_keys(host).lease(name)).kvs
    return found[0].mod_revision if found else 0
