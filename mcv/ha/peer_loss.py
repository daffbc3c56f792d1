"""What an armed node's fence-peer handler tells the kernel when a replica's peer is lost.

The kernel has suspended the resource's I/O, and goes on by 4, 5 and 7. The answer may make this
replica newer than its peer's: so the cluster is told first, in etcd, where a taking is ordered
before or after it.
"""

from mcv.ha import values
from mcv.ha.env import Answer, Env, Facts, HandlerEnv, Put, Txn, Unchanged, Unknown
from mcv.ha.right import has_lease
from mcv.ha.values import Held, Mark

REFUSE = 1
OUTDATED = 4
ALONE = 5
FENCED = 7

PAUSE = 0.3  # s between two tries


async def decide(env: HandlerEnv, resource: str, patience: float) -> int:
    """The handler's exit code.

    OUTDATED where the peer has outdated its replica. Otherwise `stale/<resource>` is written first:
    then FENCED where the newest document calls the peer offline, else ALONE. A peer that is called
    offline comes back one day, and may own the VM again before its replica is in step: without the
    mark it would start with old data. While the peer's replica is written, and where the policy is
    to wait, this node does not go on alone. REFUSE where this node is not the owner, or is offline
    itself, where its lease was taken, and after `patience` seconds without an answer: the I/O then
    stays suspended.
    """
    end = await env.now() + patience
    while await env.now() < end:
        code = await _decide_once(env, resource)
        if code is not None:
            return code
        await env.sleep(PAUSE)
    return REFUSE


async def _decide_once(env: HandlerEnv, resource: str) -> int | None:
    """The exit code; None where it is worth another try."""
    facts = await env.facts(resource)
    if facts is None or facts.owner != env.node or not facts.is_online:
        return REFUSE
    if not facts.peer_is_offline:
        is_outdated = await env.outdate(resource, facts.peer)
        if is_outdated:
            return OUTDATED
        if is_outdated is False or facts.waits:
            return None
    if not await has_lease(env):
        return None
    try:
        seen = await env.txn(Txn(reads=(values.HEAD, values.lease_key(env.node))))
        if not _is_held(env, seen):
            return REFUSE
        if seen.entries[values.HEAD].value != facts.head:
            return None
        if not await _mark(env, resource, facts, seen):
            return None
    except Unknown:
        return None
    if not await has_lease(env):
        return None
    return FENCED if facts.peer_is_offline else ALONE


def _is_held(env: Env, seen: Answer) -> bool:
    """Whether this boot of the node holds its lease, and nobody has taken it."""
    entry = seen.entries.get(values.lease_key(env.node))
    if entry is None or values.HEAD not in seen.entries:
        return False
    held = values.decode(entry.value)
    return isinstance(held, Held) and held.boot == env.boot


async def _mark(env: HandlerEnv, resource: str, facts: Facts, seen: Answer) -> bool:
    """Write that the peer's replica is behind; whether nothing came between.

    A renewal of the own lease may: then it is tried again.
    """
    why = "offline" if facts.peer_is_offline else "not to be reached"
    return await _write(
        env, resource, Mark(facts.peer, env.node, facts.when, f"{facts.peer} is {why}"), seen
    )


async def _write(env: Env, resource: str, mark: Mark, seen: Answer) -> bool:
    key = values.lease_key(env.node)
    compares = tuple(Unchanged(each, seen.entries[each].revision) for each in (key, values.HEAD))
    put = Put(values.stale_key(resource), mark.encode())
    return (await env.txn(Txn(compares, (put,)))).holds


async def mark_behind(env: Env, resource: str, mark: Mark, head: str) -> bool:
    """For the owner while both replicas are there: write which one is behind; whether it stands.

    Precondition: the document with this head gives the owner's part to this node. Nothing is
    written once its lease was taken, or another document is the newest. Raises Unknown.
    """
    seen = await env.txn(Txn(reads=(values.HEAD, values.lease_key(env.node))))
    if not _is_held(env, seen) or seen.entries[values.HEAD].value != head:
        return False
    return await _write(env, resource, mark, seen)


async def clear(env: Env, resource: str, revision: int) -> bool:
    """Take a mark away at the end of a resync, unless it was written anew since `revision`."""
    key = values.stale_key(resource)
    try:
        return (await env.txn(Txn((Unchanged(key, revision),), (Put(key, None),)))).holds
    except Unknown:
        return False
