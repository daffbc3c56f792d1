"""mcv ha test --kill N: one host is fenced on purpose, and each part of what follows is timed."""

import time
from collections.abc import Callable

from msgspec import Struct

from mcv.cluster import fence_power, ha_list
from mcv.cluster.fence_trial import FenceBoot
from mcv.document.model import Cluster
from mcv.errors import DoneInPart, McvError, Refused, refuse_all
from mcv.ha.fence import Action
from mcv.host import DryRun, Host
from mcv.rules import managed
from mcv.system.answers import ask_typed

BOOT = 3.0  # s that a node has to say that it is there
DECLARED = 120.0  # s in which the manager has to notice, and to declare the node offline
RECOVERED = 300.0  # s in which what ran there has to run elsewhere
PAUSE = 0.5  # s between two looks


class DrillPart(Struct, frozen=True, kw_only=True):
    """A part of a drill, and its end in seconds since the drill began."""

    part: str
    seconds: float


class DrillService(Struct, frozen=True, kw_only=True):
    """What ran on the host: where it runs now, "" for nowhere, and since how many seconds."""

    name: str
    node: str
    seconds: float | None


class Drill(Struct, frozen=True, kw_only=True):
    """A drill. `ok`: everything that ran on the host runs elsewhere."""

    node: str
    ok: bool
    parts: list[DrillPart]
    services: list[DrillService]


def drill(host: Host, node: str, dry_run: bool = False) -> Drill | DryRun:
    """Fence a host that lives, and wait until all that ran there runs elsewhere.

    Refused with everything that speaks against it. DoneInPart where the host was not seen off, or
    is not declared offline.
    """
    cluster = host.read()
    _require_ready(host, cluster, node)
    names = _wanted(cluster, node)
    if dry_run:
        return DryRun(plan=_in_words(node, names))
    began = time.monotonic()
    by_operator = host.fences.by_operator
    with fence_power.alone(host, node), by_operator.at_work(node, f"mcv ha test --kill {node}"):
        wanted = fence_power.order(cluster, node)
        outcome = fence_power.carry_out(host, wanted, Action.OFF)
    if not outcome.is_off:
        raise DoneInPart(
            f"{node} was not seen to be off: {outcome.message}.", f"mcv fence status {node}"
        )
    parts = [DrillPart(part="off, and seen off", seconds=_since(began))]
    host.job.progress(f"{node} is off: wait until it is declared offline")
    if not _comes(lambda: host.read().node(node).status == "offline", DECLARED):
        raise DoneInPart(
            f"{node} is off, and was not declared offline within {DECLARED:.0f} s.",
            f"mcv ha status; mcv fence on {node}",
        )
    parts.append(DrillPart(part="declared offline", seconds=_since(began)))
    services = _recovered(host, node, names, began)
    return Drill(node=node, ok=all(each.node for each in services), parts=parts, services=services)


def _require_ready(host: Host, cluster: Cluster, node: str) -> None:
    host.consensus.require_contact()
    problems = []
    if cluster.node(node).status != "online":
        problems.append(Refused(f"{node} is offline already."))
    if node == host.name:
        problems.append(Refused(f"{node} does not switch itself off.", "Ask another node."))
    if not cluster.ha.armed:
        problems.append(Refused("The cluster is not armed: nothing would follow.", "mcv ha arm"))
    if not managed.entries_of(cluster):
        problems.append(
            Refused("High availability manages nothing, so nobody decides.", "mcv ha add VM")
        )
    levels = fence_power.levels_of(cluster, node)
    if not any(level and all(plug.tested for plug in level) for level in levels):
        problems.append(
            Refused(f"{node} has no level of tested plugs.", f"mcv fence test {node} --off")
        )
    answers = ask_typed(host.call, cluster.online, "fence.boot", BOOT, FenceBoot)
    problems += [
        Refused(f"{name} does not answer: a second host would be down.")
        for name, answer in sorted(answers.items())
        if isinstance(answer, McvError)
    ]
    refuse_all(problems)


def _wanted(cluster: Cluster, node: str) -> list[str]:
    """What is to run, and is the node's."""
    owners = managed.owners_of(cluster)
    entries = managed.entries_of(cluster)
    return sorted(
        name
        for name, entry in entries.items()
        if owners[name] == node and entry.wanted == "started" and not entry.failed
    )


def _in_words(node: str, names: list[str]) -> list[str]:
    what = ", ".join(names) or "nothing that is managed"
    return [
        f"{node} is switched off by its fence device, with everything that runs there",
        f"it is declared offline, and {what} starts elsewhere",
        "each part is timed",
    ]


def _recovered(host: Host, node: str, names: list[str], began: float) -> list[DrillService]:
    """Each of them, as soon as it runs elsewhere."""
    found: dict[str, DrillService] = {}

    def look() -> bool:
        for row in ha_list.list_(host):
            is_elsewhere = row.node != node and row.state == "started"
            if row.name in names and row.name not in found and is_elsewhere:
                seconds = _since(began)
                found[row.name] = DrillService(name=row.name, node=row.node, seconds=seconds)
        left = [name for name in names if name not in found]
        host.job.progress(f"{node} is declared offline: {len(left)} are not running elsewhere yet")
        return not left

    _comes(look, RECOVERED)
    nowhere = (DrillService(name=name, node="", seconds=None) for name in names)
    return [found.get(each.name, each) for each in nowhere]


def _since(began: float) -> float:
    return round(time.monotonic() - began, 1)


def _comes(is_so: Callable[[], bool], seconds: float) -> bool:
    until = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > until:
            return False
        time.sleep(PAUSE)
    return True
