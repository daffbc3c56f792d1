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

    What was overwritten is forgotten first. Then one member after the other rewrites its file,
    the leader last, and an alarm is called off: it would be raised again where a file stays as
    large, so all are rewritten then. Returns whether anything was done; raises PeerUnreachable,
    or CallLost.
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
    with contextlib.suppress(Refused):  # it is compacted to there already
        Etcd(gateway).compact(status.header.revision)
    for endpoint in order:
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
