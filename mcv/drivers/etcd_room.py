"""Room in etcd, made before it is full: full, it takes no write."""

import contextlib
import logging
import time

from mcv.errors import CallLost, PeerUnreachable, Refused
from mcv.etcd.client import Etcd
from mcv.etcd.gateway import Endpoint, Gateway
from mcv.etcd.members import Upkeep

log = logging.getLogger(__name__)

PAUSES = 0.5, 1.0, 2.0, 4.0, 8.0  # s after which a member that rewrote too early rewrites again


def make_room(gateway: Gateway, own: Endpoint, limit: float) -> bool:
    """Make room in every voter where the own one leads and one has more bytes than the limit.

    What was overwritten is forgotten first. Then one member after the other rewrites its file,
    the leader last, and again where it had not forgotten yet. An alarm is called off: it would be
    raised again where a file stays as large, so all are rewritten then. Returns whether anything
    was done; raises PeerUnreachable, or CallLost.
    """
    upkeep = Upkeep(gateway)
    status = upkeep.status(own)
    if status.leader != status.header.member_id:
        return False
    alarms = upkeep.alarms().alarms
    others = [endpoint for endpoint in gateway.endpoints if endpoint != own]
    least = 0 if any(alarm.alarm == "NOSPACE" for alarm in alarms) else limit
    order = [each for each in [*others, own] if _fills(upkeep, each, least)]
    if not order:
        return False
    log.warning("etcd fills up: %s", ", ".join(each.name for each in order))
    with contextlib.suppress(Refused, CallLost):  # it is compacted to there already, or soon is
        Etcd(gateway).compact(status.header.revision)
    for endpoint in order:
        _rewrite(upkeep, endpoint, limit)
    for alarm in alarms:
        if alarm.alarm == "NOSPACE":
            upkeep.call_off(alarm.member, alarm.alarm)
    return True


def _rewrite(upkeep: Upkeep, endpoint: Endpoint, limit: float) -> None:
    """Have a member rewrite its file, to less than the limit and than half of what it had.

    etcd's members compact in the background, each in its own time, and a file that is rewritten
    before that stays as large.
    """
    enough = min(limit, upkeep.status(endpoint).size / 2)
    upkeep.defragment(endpoint)
    for pause in PAUSES:
        if not _fills(upkeep, endpoint, enough):
            return
        time.sleep(pause)
        upkeep.defragment(endpoint)


def _fills(upkeep: Upkeep, endpoint: Endpoint, limit: float) -> bool:
    try:
        return upkeep.status(endpoint).size > limit
    except (PeerUnreachable, CallLost):
        return False
