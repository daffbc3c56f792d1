"""Streams that members open to this node: which kind each is, and where it leads."""

from mcv.host import Host
from mcv.rpc.tunnel import Granted
from mcv.storage import copy_target
from mcv.vm import consoles, migration_tunnel


def target(host: Host, member: str, asked: dict[str, str]) -> Granted:
    """Where a member's stream leads. Errors: Refused where nothing of the kind is expected."""
    if asked.get("for") == copy_target.PURPOSE:
        return copy_target.target(host, member, asked)
    if asked.get("for") == consoles.PURPOSE:
        return consoles.target(host, member, asked)
    return migration_tunnel.target(host, member, asked)
