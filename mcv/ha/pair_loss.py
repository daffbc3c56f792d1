"""What the fence-peer handler of one of two nodes tells the kernel of a guest that is managed.

Two nodes without a witness have no lease. The guest's I/O is suspended, and the other node, where
it lives, may be about to switch this one off and to run the guest itself: so nothing is
acknowledged before the other node is called offline, which it is once its power is off, or an
operator has said so. The policy on-peer-loss is for guests that nobody manages.
"""

from mcv.ha.env import HandlerEnv
from mcv.ha.peer_loss import ALONE, FENCED, OUTDATED, PAUSE, REFUSE


async def decide(env: HandlerEnv, resource: str, patience: float) -> int:
    """The handler's exit code.

    FENCED where the documents of this node call the peer offline. OUTDATED where the peer has
    outdated its replica, ALONE where the settings let guests go on without it by now. REFUSE where
    this node is not the owner, or is offline itself, and after `patience` seconds: the I/O then
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
    if facts is None:
        return None  # the documents do not say the same: a change is under way
    if facts.owner != env.node or not facts.is_online:
        return REFUSE
    if facts.peer_is_offline:
        return FENCED
    is_outdated = await env.outdate(resource, facts.peer)
    if is_outdated:
        return OUTDATED
    return ALONE if is_outdated is None and not facts.waits else None
