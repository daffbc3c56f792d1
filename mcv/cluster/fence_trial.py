"""mcv fence test: whether plugs answer; with --off, whether they switch that very node.

A plug counts as tested once the node fell silent when it was switched off, alone of all members,
and came back with another boot when it was switched on. The steps are a plan's: where this node's
daemon dies between them, its next life switches the node on again. Under unanimous agreement that
waits for the very node, and an operator does it: mcv fence on NODE.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime

from msgspec import Struct
from msgspec.structs import replace

from mcv.cluster import fence_power, members
from mcv.cluster.fence_power import HostFenceEnv, PlugRow
from mcv.document.fence_changes import reached_by, require_device
from mcv.document.model import Cluster
from mcv.document.subject import Subject
from mcv.errors import Failed, McvError, PeerUnreachable, ProblemFound, Refused, refuse_all
from mcv.ha.at_once import at_once
from mcv.ha.fence import Fencing, switch_off, switch_on
from mcv.host import DryRun, Host, Prepared
from mcv.system import lease, service_notes
from mcv.system.answers import ask_typed
from mcv.transaction.plan import Item, Step, on

BOOT = 3.0  # s that a node has to say which boot it is
SILENCE = 60.0  # s in which a node without power falls silent
QUIET = 10.0  # s for which it has to stay so, its lease unmoved
BACK = 900.0  # s that a host has to come back: servers count their memory for minutes
PAUSE = 1.0  # s between two looks
WRITE = 120.0  # s in which the node that is back takes part in a change again

TRIAL_OFF = 300.0  # s that a step has: a call for each plug, and the silence
TRIAL_ON = BACK + 120.0


class FenceBoot(Struct, frozen=True, kw_only=True):
    """Which boot of its host a node runs in, and the VMs and services that run there."""

    boot: str
    running: list[str] = []


class LevelTried(Struct, frozen=True, kw_only=True):
    """A level that has switched its node off and on; the journal keeps it with the plan."""

    node: str
    level: int


def boot(host: Host) -> FenceBoot:
    """Tell another node which boot this is."""
    cluster = host.read()
    running = [name for name in cluster.vms if host.domains.state(name) in ("running", "paused")]
    running += [note.name for note in service_notes.all_(host.settings.run)]
    return FenceBoot(boot=host.observations.boot, running=sorted(running))


def look(host: Host, node: str) -> list[PlugRow]:
    """Ask a node's plugs, and change nothing: a node that answers is not off."""
    _levels(host.read(), node, None)
    rows = fence_power.status(host, node)
    is_alive = members.is_alive(host, node)
    return [_judged(row, is_alive) for row in rows]


def _judged(row: PlugRow, is_alive: bool) -> PlugRow:
    if row.state == "off" and is_alive:
        message = f"{row.node} answers, and this plug is off: it is another host's, or lies"
        return replace(row, ok=False, message=message)
    if row.ok and not row.tested:
        return replace(row, message=f"never tested: mcv fence test {row.node} --off")
    return row


# With --off


def trial(
    host: Host, node: str, level: int | None = None, dry_run: bool = False
) -> list[PlugRow] | DryRun:
    """Switch a node off and on by each of its levels in turn; write down which did.

    Refused with everything that makes it unwise: the node is not online, runs VMs or services, or
    another member is silent already. A level that fails is a row that is not ok. Whoever decides
    lets the node be meanwhile.
    """
    numbers = _levels(host.read(), node, level)
    _require_testable(host, node)
    if dry_run:
        return DryRun(
            plan=[
                f"level {number}: {node} is switched off by {_named(host.read(), node, number)}, "
                "falls silent, is switched on, and comes back"
                for number in numbers
            ]
        )
    failures = {}
    with host.fences.by_operator.at_work(node, f"mcv fence test {node} --off"):
        for number in numbers:
            try:
                _try_level(host, node, number)
            except Failed as error:
                failures[number] = error.message
    return [
        replace(row, ok=row.level not in failures, message=failures.get(row.level, row.message))
        for row in fence_power.status(host, node)
        if row.level in numbers
    ]


def _levels(cluster: Cluster, node: str, level: int | None) -> list[int]:
    numbers = list(range(1, len(cluster.node(node).levels) + 1))
    if not numbers:
        raise Refused(
            f"{node} has no fence device.", f"mcv fence set {node} --level 1 DEVICE[:PORT]"
        )
    if level is not None and level not in numbers:
        raise Refused(f"{node} has no level {level}.", f"It has 1 to {len(numbers)}.")
    return numbers if level is None else [level]


def _named(cluster: Cluster, node: str, level: int) -> str:
    return " and ".join(map(str, fence_power.levels_of(cluster, node)[level - 1]))


def _require_testable(host: Host, node: str) -> None:
    """Raise Refused with everything that forbids to switch a node off for a test."""
    host.consensus.require_contact()
    cluster = host.read()
    problems = []
    if node == host.name:
        problems.append(Refused(f"{node} does not switch itself off.", "Ask another node."))
    if cluster.node(node).status != "online":
        problems.append(Refused(f"{node} is offline: that it falls silent could not be seen."))
    answers = ask_typed(host.call, cluster.online, "fence.boot", BOOT, FenceBoot)
    for name, answer in sorted(answers.items()):
        if isinstance(answer, McvError):
            problems.append(
                Refused(f"{name} does not answer: nobody could tell whom a plug switches off.")
            )
        elif name == node and answer.running:
            problems.append(
                Refused(f"{node} runs {', '.join(answer.running)}.", f"mcv evacuate {node}")
            )
    refuse_all(problems)


def _try_level(host: Host, node: str, level: int) -> None:
    """One level, as a plan under a claim on the node; then write down that it was right."""
    boots = _boots(host)
    before = host.read()
    params = {"node": node, "level": level}
    off = on(host.name, "fence.trial_off", **params, boots=boots)
    plan: list[Item] = [
        Step(off, undo=on(host.name, "fence.trial_on", **params, boot="")),
        Step(on(host.name, "fence.trial_on", **params, boot=boots[node]), commits=True),
    ]

    def prepare() -> Prepared[LevelTried]:
        return Prepared(plan, LevelTried(node=node, level=level))

    host.operate(Subject.node(node), f"test level {level} of {node}", prepare)
    _write_down(host, before, node, level)


def _write_down(host: Host, tested: Cluster, node: str, level: int) -> None:
    """The node that is back may need a while until a change passes."""
    plugs = tested.node(node).levels[level - 1]
    devices = {plug.device: reached_by(require_device(tested, plug.device)) for plug in plugs}
    when = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    until = time.monotonic() + WRITE
    while True:
        try:
            host.update_beside(
                "fence.tested",
                f"level {level} of {node} was tested",
                name=node,
                plugs=[[plug.device, plug.port] for plug in plugs],
                when=when,
                seconds=round(host.fences.took.get(node, 0.0)),
                devices=devices,
            )
            return
        except PeerUnreachable:
            if time.monotonic() > until:
                raise
            time.sleep(PAUSE)


def _boots(host: Host) -> dict[str, str]:
    """The boot of each member that answers."""
    answers = ask_typed(host.call, host.read().online, "fence.boot", BOOT, FenceBoot)
    return {
        name: answer.boot for name, answer in answers.items() if not isinstance(answer, McvError)
    }


# Steps of the plan


def trial_off(host: Host, node: str, level: int, boots: dict[str, str]) -> None:
    """Switch one level off; ProblemFound unless the node falls silent, and no other member."""
    with fence_power.alone(host, node):
        outcome = at_once(switch_off(HostFenceEnv(host), _order(host, node, level)))
    if not outcome.is_off:
        raise ProblemFound(f"{node} was not switched off: {outcome.message}.")
    host.fences.took[node] = outcome.seconds
    _await_silence(host, node)
    others = {name: boot for name, boot in boots.items() if name not in (node, host.name)}
    now = _boots(host)
    if hit := sorted(name for name, boot in others.items() if now.get(name) != boot):
        raise ProblemFound(f"{' and '.join(hit)} went down as well: a plug is another host's.")


def _await_silence(host: Host, node: str) -> None:
    """ProblemFound unless the node answers nothing, and its lease does not move."""
    quiet_since, revision = None, -1
    until = lease.now() + SILENCE
    while quiet_since is None or lease.now() < quiet_since + QUIET:
        now = _revision(host, node)
        if members.is_alive(host, node) or now != revision:
            quiet_since, revision = None, now
            if lease.now() > until:
                raise ProblemFound(
                    f"{node} is said to be off, and answers on, or renews its lease: "
                    "the plug is another host's."
                )
        elif quiet_since is None:
            quiet_since = lease.now()
        host.job.progress(f"{node} is off: wait whether it falls silent")
        time.sleep(PAUSE)


def _revision(host: Host, node: str) -> int:
    """Of the node's lease as this node's daemon watches it; 0 where there is none."""
    seen = host.leases.seen(node)
    return seen.revision if seen is not None else 0


def trial_on(host: Host, node: str, level: int, boot: str) -> None:
    """Switch the level on, and wait for another boot than this one; "": just switch it on."""
    with fence_power.alone(host, node):
        outcome = at_once(switch_on(HostFenceEnv(host), _order(host, node, level)))
    was_never_off = not boot and members.is_alive(host, node)
    if outcome.failures and not was_never_off:
        raise ProblemFound(f"{node} was not switched on again: {outcome.message}.")
    if not boot:
        return
    host.job.progress(f"{node} is on: wait until it is back")
    if not _comes(lambda: _boots(host).get(node, boot) != boot, BACK):
        raise ProblemFound(
            f"{node} did not come back within {BACK:.0f} s.", f"Look at it; mcv fence on {node}"
        )


def _comes(is_so: Callable[[], bool], seconds: float) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if is_so():
            return True
        time.sleep(PAUSE)
    return False


def _order(host: Host, node: str, level: int) -> Fencing:
    """One level alone, whose plugs were not tested yet; this node's lease is no matter here."""
    levels = fence_power.levels_of(host.read(), node)[level - 1 : level]
    if not levels:
        raise Refused(f"{node} has no level {level} any more.")
    return Fencing(uid=host.job.id, node=node, levels=levels, under_lease=False, untested=True)
