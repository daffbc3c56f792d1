"""Room in etcd, made before it is full: full, it takes no write."""

import contextlib
import logging

from mcv.errors import CallLost, PeerUnreachable, Refused
from mcv.etcd.client import Etcd
from mcv.etcd.gateway import Endpoint, Gateway
from mcv.etcd.members import Upkeep

log = logging.getLogger(__name__)


def make_room(gateway: Gateway, own: Endpoint, limit: float) -> bool:
    """Make room in every voter where the own one leads and one has more bytes than the limit.

    One member after the other forgets what was overwritten and rewrites its file, the leader
    last, and an alarm is called off: it would be raised again where a file stays as large, so all
    are rewritten then. Returns whether anything was done; raises PeerUnreachable, or CallLost.
    """
    upkeep = Upkeep(gateway)
    status = upkeep.status(own)
    if status.leader != status.header.member_id:
        return False
    alarms = upkeep.alarms().alarms
    others = [endpoint for endpoint in gateway.endpoints if endpoint != own]
    if any(alarm.alarm == "NOSPACE" for alarm in alarms):
        limit = 0
    order = [each for each in [*others, own] if _fills(upkeep, each, limit)]
    if not order:
        return False
    log.warning("etcd fills up: %s", ", ".join(each.name for each in order))
    # Each member compacts in its own time, and only the one that is asked says when it has. A
    # revision is compacted once, so each is asked for another one.
    first = status.header.revision - len(order) + 1
    for revision, endpoint in enumerate(order, first):
        with contextlib.suppress(Refused, CallLost):  # it is compacted to there already, or will be
            Etcd(gateway).compact(revision, endpoint)
        upkeep.defragment(endpoint)
    for alarm in alarms:
        if alarm.alarm == "NOSPACE":
            upkeep.call_off(alarm.member, alarm.alarm)
    return True


def _fills(upkeep: Upkeep, endpoint: Endpoint, limit: float) -> bool:
    try:
        return upkeep.status(endpoint).size > limit
    except (PeerUnreachable, CallLost):
        return False
