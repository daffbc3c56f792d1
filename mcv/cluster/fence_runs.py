"""What the manager has carried out by fence devices: each order once, at most one for a node.

What comes of an order is known to this daemon alone. The manager has written the order's uid
before it is begun, so the next manager gives it again, and the runner asks for the status first.
"""

import contextvars
import logging
import threading

from mcv.cluster import fence_power
from mcv.drivers.fence_doors import FenceRun
from mcv.errors import Busy, McvError
from mcv.ha.fence import Action, Outcome
from mcv.host import Host
from mcv.rules.ha.snapshot import FenceSeen
from mcv.transaction.job_records import MCV_HA
from mcv.vm import own_job

log = logging.getLogger(__name__)

TITLES = {Action.OFF: "fence {node}", Action.ON: "switch {node} on after it was fenced"}


def fence(host: Host, uid: str, node: str, resumed: bool = False) -> None:
    """Begin to switch a node off, unless this order was begun here; `seen` tells of it.

    `resumed`: another manager gave the order first, and may have carried part of it out.
    """
    _begin(host, uid, node, Action.OFF, resumed)


def switch_on(host: Host, uid: str, node: str) -> None:
    """Begin to switch a node on again, unless this order was begun here."""
    _begin(host, uid, node, Action.ON, False)


def seen(host: Host, node: str) -> FenceSeen | None:
    """What has become of the newest order about a node; None where this daemon had none."""
    run = host.fences.runs.get(node)
    if run is None:
        return None
    return FenceSeen(uid=run.uid, outcome=run.outcome, message=run.message)


def distrusted(host: Host, node: str, uid: str) -> dict[str, object]:
    """The parameters of the change `fence.tested` by which plugs that lied were never tested.

    Those of the level that said off for this order; all of the node where that is not known.
    """
    run = host.fences.runs.get(node)
    levels = fence_power.levels_of(host.read(), node)
    is_known = run is not None and run.uid == uid and 0 < run.level <= len(levels)
    said = (levels[run.level - 1],) if run is not None and is_known else levels
    plugs = [[plug.device, plug.port] for level in said for plug in level]
    return {"name": node, "plugs": plugs, "when": "", "seconds": 0, "devices": {}}


def _begin(host: Host, uid: str, node: str, action: Action, resumed: bool) -> None:
    with host.fences.lock:
        before = host.fences.runs.get(node)
        if before is not None and (before.uid == uid or before.outcome == "running"):
            return
        host.fences.runs[node] = FenceRun(uid, "running")
    work = (host, uid, node, action, resumed)
    threading.Thread(target=_carried_out, args=work, name=f"fence {node}", daemon=True).start()


def _carried_out(host: Host, uid: str, node: str, action: Action, resumed: bool) -> None:
    ended = FenceRun(uid, "failed", "it did not come to its end")

    def work() -> None:
        nonlocal ended
        ended = _outcome(uid, action, _done(host, uid, node, action, resumed))
        if ended.outcome == "failed":
            raise McvError(f"{node}: {ended.message}.")

    try:
        title = TITLES[action].format(node=node)
        contextvars.Context().run(own_job.carry_out, host, title, MCV_HA, work)
    except McvError as error:
        log.warning("%s", error)
    except Exception:
        log.exception("%s %s", action, node)
    finally:
        host.fences.runs[node] = ended
        host.managing.news.set()


def _done(host: Host, uid: str, node: str, action: Action, resumed: bool) -> Outcome:
    try:
        wanted = fence_power.order(host.read(), node, uid, resumed)
        with fence_power.alone(host, node):
            return fence_power.carry_out(host, wanted, action)
    except Busy as error:
        return Outcome(False, failures=(error.message,))


def _outcome(uid: str, action: Action, outcome: Outcome) -> FenceRun:
    if action is Action.OFF and outcome.is_off:
        return FenceRun(uid, "off", outcome.message, outcome.level)
    if action is Action.ON and not outcome.failures:
        return FenceRun(uid, "on")
    return FenceRun(uid, "failed", outcome.message)
