"""Keeping a lease while etcd has no quorum: every other member promises not to take it.

A hiccup of etcd alone would end the guests of all hosts at once. So mcvd asks every member of its
document, offline ones too. A member that has the same document, by which the node is online,
promises not to take the node's lease for T from its answer. Where all have promised, the round
counts as a write of the lease that was sent before the asking.

It holds since only members take, and since a promise counts only while the lease is still valid.
A taker begins once a lease has been unchanged for T, or T after its last promise; by then the
lease has ended, and promises that come later count for nothing. A member that dies in between
begins to wait for T anew.

Where not all promise, one member that still reaches etcd is enough: it writes the node's lease
anew, as it stands there. That is a write like the node's own, sent after the asking began, and who
waits for T sees that the lease has changed.
"""

from mcv.ha import values
from mcv.ha.env import Env, MemberEnv, Put, Txn, Unchanged, Unknown
from mcv.ha.taking import Watch
from mcv.ha.timing import ATTEMPT, Timing
from mcv.ha.values import Held


def is_due(left: float, timing: Timing) -> bool:
    """Whether so many seconds are left that writes of the lease have failed: two in a row."""
    return left < timing.validity - 2 * timing.renewal - ATTEMPT


async def extend(env: MemberEnv) -> bool:
    """Ask for one round of promises; whether all members gave theirs, or one wrote the lease."""
    file = await env.lease_file()
    if file is None or not file.is_valid(env.boot, await env.now()):
        return False
    members, head = await env.members(), await env.head_here()
    if not members or not await env.is_online(env.node):
        return False
    sent = await env.now()
    if await env.ask_promises(members, head) != members:
        sent = await env.now()
        if not await env.ask_renewal(members):
            return False
    await env.publish_promises(sent)
    return True


async def promise(env: MemberEnv, watch: Watch, node: str, head: str) -> bool:
    """Promise not to take the node's lease for T from now; whether that is promised."""
    if head != await env.head_here() or not await env.is_online(node):
        return False
    await watch.promise(node)
    return True


async def renew(env: Env, node: str, boot: str) -> bool:
    """Write another node's lease anew for it, unless it is none of this boot; whether it is."""
    key = values.lease_key(node)
    try:
        entry = (await env.txn(Txn(reads=(key,)))).entries.get(key)
        held = values.decode(entry.value) if entry is not None else None
        if entry is None or not isinstance(held, Held) or held.boot != boot:
            return False
        unchanged, again = Unchanged(key, entry.revision), Put(key, entry.value)
        return (await env.txn(Txn((unchanged,), (again,)))).holds
    except (Unknown, ValueError):
        return False
