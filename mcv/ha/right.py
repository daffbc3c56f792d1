"""The right to begin: the lease is valid, and this node's document is etcd's newest one."""

from collections.abc import Awaitable, Callable
from enum import StrEnum

from mcv.ha import values
from mcv.ha.env import Env, StartEnv, Txn, Unknown


class Why(StrEnum):
    """Why nothing may begin here."""

    NO_LEASE = "this node has no valid lease"
    NO_QUORUM = "etcd does not answer"
    BEHIND = "this node's document is not the newest"


class NoRight(Exception):
    """Nothing was begun."""

    def __init__(self, why: Why) -> None:
        super().__init__(str(why))
        self.why = why


async def has_lease(env: Env) -> bool:
    """Whether this boot's lease is valid now."""
    file = await env.lease_file()
    return file is not None and file.is_valid(env.boot, await env.now())


async def require(env: StartEnv) -> None:
    """Raise NoRight unless the lease is valid and the document is etcd's head.

    The lease is looked at after the head was read: what is read under an ended lease may be of
    before a taking.
    """
    if not await has_lease(env):
        raise NoRight(Why.NO_LEASE)
    try:
        answer = await env.txn(Txn(reads=(values.HEAD,)))
    except Unknown:
        raise NoRight(Why.NO_QUORUM) from None
    head = answer.entries.get(values.HEAD)
    if head is None or head.value != await env.head_here():
        raise NoRight(Why.BEHIND)
    if not await has_lease(env):
        raise NoRight(Why.NO_LEASE)


async def begin(env: StartEnv, act: Callable[[], Awaitable[None]]) -> None:
    """Do what starts a guest or makes a replica Primary, with the start gate held throughout.

    mcv-lease holds the gate alone before it feeds the watchdog without a lease. So what passed
    the look at the lease, and was held up after it, ends with its host at s + V + W + g.
    """
    await env.enter_gate()
    try:
        await require(env)
        await act()
    finally:
        await env.leave_gate()
