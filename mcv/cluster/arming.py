"""mcv ha arm and disarm: leases and watchdogs on every node, then the document says so."""

import functools
import time

import msgspec
from msgspec import Struct

from mcv.cluster import arming_pair, lease_orders, watchdog_measure
from mcv.cluster.addresses_judge import why_members_claimed
from mcv.cluster.arming_look import NodeLook
from mcv.cluster.arming_pair import ArmedPair
from mcv.cluster.arming_steps import RELEASE
from mcv.document import etcd_voters
from mcv.document.availability import HostWatchdog
from mcv.document.model import Cluster
from mcv.document.subject import Subject
from mcv.errors import DoneInPart, McvError, Refused, refuse_all
from mcv.ha.timing import PACES
from mcv.host import DryRun, Host, Prepared
from mcv.system.answers import ask_typed
from mcv.transaction.plan import Item, Step, change, on, together

LOOK = 15.0  # s that a node has to look at itself
MEASURE = 45.0  # s that it has to try its watchdog
ASK = 3.0  # s
SETTLE = 10.0  # s in which a voter that answers late does so
PAUSE = 0.3  # s between two looks

Watchdogs = dict[str, HostWatchdog]


class Armed(Struct, frozen=True, kw_only=True):
    """The cluster is armed: by which pace, and after how many seconds a lease may be taken.

    `marked` are disks whose other replica is behind; `foreign` are other guests by node.
    """

    armed: bool = True
    pace: int
    wait: int | None
    marked: list[str]
    foreign: dict[str, list[str]]


class Disarmed(Struct, frozen=True, kw_only=True):
    """The cluster is disarmed, and these nodes have no lease any more."""

    armed: bool = False
    nodes: list[str]


# Arm


def arm(
    host: Host, pace: int | None = None, trust_softdog: bool = False, dry_run: bool = False
) -> Armed | ArmedPair | DryRun:
    """Arm every node: from then on guests run, and are started, under a valid lease alone.

    Everything that is missing is looked for first: Refused with all of it. Then each watchdog
    is tried, what that told is written down, every node gets its lease, and replicas that are
    behind are marked; a failure before the document says that the cluster is armed takes the
    leases back. An armed cluster gets another pace. Two nodes without a witness have fence devices
    armed, and nothing else.
    """
    wanted = host.read().ha.pace if pace is None else pace
    if wanted not in PACES:
        raise Refused(f"{wanted} is no pace.", f"It is 1 to {PACES[-1]}.")
    if host.read().ha.armed:
        return _repace(host, wanted, dry_run)
    if arming_pair.is_for(host.read()):
        return arming_pair.arm(host, wanted, dry_run)
    host.consensus.require_contact()
    looks = look(host, wanted, trust_softdog)
    watchdogs = _assumed(looks, wanted) if dry_run else _measured(host, wanted)

    def prepare() -> Prepared[Armed]:
        seen = look(host, wanted, trust_softdog)
        cluster = host.read()
        plan = arm_plan(cluster, wanted, trust_softdog, watchdogs)
        answer = Armed(
            pace=wanted,
            wait=max(_wait(wanted, watchdog) for watchdog in watchdogs.values()),
            marked=sorted(disk for told in seen.values() for disk in told.marked),
            foreign={name: told.foreign for name, told in seen.items() if told.foreign},
        )
        return Prepared(plan, answer, preview=functools.partial(_preview, seen))

    return host.operate(_members(host), "arm the cluster", prepare, dry_run)


def arm_plan(cluster: Cluster, pace: int, trust_softdog: bool, watchdogs: Watchdogs) -> list[Item]:
    """Facts, leases on every node, marks; then the change that arms, which commits.

    Until that change nothing hangs on a lease: a node that loses its lease meanwhile may start
    guests. From the leases on each owner marks by itself what gets out of step, so that nothing
    is unmarked between the look at replicas and that change.
    """
    names = sorted(cluster.nodes)
    facts = {name: msgspec.to_builtins(watchdogs[name]) for name in names}
    return [
        Step(change("ha.prepare", pace=pace, trust_softdog=trust_softdog, watchdogs=facts)),
        together(
            Step(on(name, "ha.take_up", node=name), undo=on(name, "ha.release", node=name))
            for name in names
        ),
        together(Step(on(name, "ha.await_lease", node=name)) for name in names),
        together(Step(on(name, "ha.mark", node=name)) for name in names),
        Step(change("ha.arm"), commits=True),
        together(Step(on(name, "ha.await_adjusted", node=name), may_fail=True) for name in names),
    ]


def look(host: Host, pace: int, trust_softdog: bool) -> dict[str, NodeLook]:
    """What each node tells of itself; Refused with everything that stands in the way."""
    cluster = host.read()
    problems = _of_cluster(host, cluster)
    answers = ask_typed(
        host.call,
        cluster.online,
        "ha.look",
        LOOK,
        NodeLook,
        pace=pace,
        trust_softdog=trust_softdog,
    )
    looks: dict[str, NodeLook] = {}
    for name, answer in answers.items():
        if isinstance(answer, McvError):
            problems.append(Refused(f"{name} is needed: {answer.message}", answer.hint))
        else:
            looks[name] = answer
            problems += [Refused(*told) for told in answer.problems]
    refuse_all(problems)
    return looks


def _of_cluster(host: Host, cluster: Cluster) -> list[Refused]:
    problems: list[Refused] = []
    if cluster.schema < 5:
        problems.append(
            Refused(
                "The document cannot hold this yet: a member has an older mcv.",
                "Install this mcv on every node; the others tell which: mcv info",
            )
        )
    if cluster.store is None:
        problems.append(
            Refused(
                "Leases lie in etcd, and the document does not.", "First: mcv cluster store etcd"
            )
        )
    problems += [
        Refused(
            f"{name} is offline, and every member gets a lease.",
            f"Bring it back with: mcv node online {name}; or take it out: mcv cluster "
            f"remove-node --node {name}",
        )
        for name in sorted(set(cluster.nodes) - set(cluster.online))
    ]
    problems += [
        Refused(f"etcd on {name} is not well.", "See: mcv cluster store")
        for name in _not_well(host, cluster)
    ]
    return problems + why_members_claimed(cluster, host.job.id)


def _not_well(host: Host, cluster: Cluster) -> list[str]:
    """The voters that do not answer, or do not vote; a slow one has some seconds."""
    voters = etcd_voters.voters(cluster)
    until = time.monotonic() + SETTLE
    while True:
        shown = host.etcd.shown(voters)
        ill = [voter.name for voter in shown if voter.state not in ("leader", "voter")]
        if not ill or time.monotonic() > until:
            return ill
        time.sleep(PAUSE)


def _assumed(looks: dict[str, NodeLook], pace: int) -> Watchdogs:
    """What --dry-run shows in place of what is measured: a look starts no watchdog."""
    usual = lease_orders.usual_timeout(pace)
    return {
        name: HostWatchdog(
            kind=told.watchdog, device=told.device, timeout=usual, grain=1.0, hardware=False
        )
        for name, told in looks.items()
    }


def _measured(host: Host, pace: int) -> Watchdogs:
    """Each node's watchdog, tried; Refused with everything that a lease cannot rest on."""
    cluster = host.read()
    host.job.progress("trying every watchdog")
    voters = len(etcd_voters.voters(cluster))
    found: Watchdogs = {}
    problems: list[Refused] = []
    answers = ask_typed(
        host.call, sorted(cluster.nodes), "ha.measure", MEASURE, HostWatchdog, pace=pace
    )
    for name, answer in answers.items():
        if isinstance(answer, McvError):
            problems.append(Refused(answer.message, answer.hint))
        else:
            found[name] = answer
            problems += watchdog_measure.why_not(name, answer, pace, voters)
    refuse_all(problems)
    return found


def _wait(pace: int, watchdog: HostWatchdog) -> int:
    return lease_orders.at_pace(pace, watchdog).wait


def _preview(looks: dict[str, NodeLook], plan: list[str]) -> DryRun:
    """The plan, and before it what no step of it says."""
    notes = []
    for name, told in sorted(looks.items()):
        where = f" in a virtual machine ({told.virtual})" * bool(told.virtual)
        notes.append(
            f"{name}: {told.watchdog}{where}, Linux {told.kernel}, clock {told.clock}; its "
            "watchdog would be tried"
        )
        if told.foreign:
            notes.append(
                f"{name}: {', '.join(told.foreign)} are not mcv's; a reset takes them along"
            )
        notes += [f"{name}: the other replica of {disk} is behind" for disk in told.marked]
    return DryRun(plan=[*notes, *plan])


def _members(host: Host) -> list[Subject]:
    return [Subject.node(name) for name in sorted(host.read().nodes)]


# Another pace


def _repace(host: Host, pace: int, dry_run: bool) -> Armed | DryRun:
    """Give an armed cluster another pace: one change, which every mcv-lease takes up."""
    cluster = host.read()
    if pace == cluster.ha.pace:
        raise Refused(f"The cluster is armed already, at pace {pace}.", "See: mcv ha status")
    known = {name: node.watchdog for name, node in cluster.nodes.items() if node.watchdog}
    voters = len(etcd_voters.voters(cluster))
    problems: list[Refused] = []
    for name, watchdog in sorted(known.items()):
        if not lease_orders.keeps_any_pace(watchdog, cluster.ha.pace):
            problems.append(
                Refused(
                    f"The watchdog of {name} does not take every timeout, so it is tried anew.",
                    f"mcv ha disarm; then: mcv ha arm --pace {pace}",
                )
            )
        problems += watchdog_measure.why_not(
            name, lease_orders.repaced(watchdog, pace), pace, voters
        )
    refuse_all(problems)
    if dry_run:
        return DryRun(plan=[f"document: ha.set pace={pace}"])
    new = host.update("ha.set", f"ha arm --pace {pace}", pace=pace)
    return Armed(pace=pace, wait=lease_orders.longest_wait(new), marked=[], foreign={})


# Disarm


def disarm(host: Host, dry_run: bool = False) -> Disarmed | DryRun:
    """Have nothing hang on leases any more: one change; then each node gives its lease back.

    Refused while an online member does not answer: whether its guests end by its lease is not
    known then. A node that is told later gives its lease back by itself. Raises DoneInPart where
    a node has not within some seconds.
    """
    host.consensus.require_contact()
    cluster = host.read()
    if not cluster.ha.armed:
        raise Refused("The cluster is not armed.", "See: mcv ha status")
    refuse_all(_silent(host, cluster))
    if dry_run:
        released = [f"{name}: ha.release" for name in cluster.online]
        return DryRun(plan=["document: ha.disarm", *released])
    host.update("ha.disarm", "ha disarm")
    left = _await_released(host, cluster.online)
    if left:
        raise DoneInPart(
            f"The cluster is disarmed, but {' and '.join(left)} still has its lease.",
            "It gives it back by itself; see: mcv ha status",
        )
    return Disarmed(nodes=cluster.online)


def _silent(host: Host, cluster: Cluster) -> list[Refused]:
    answers = ask_typed(host.call, cluster.online, "ha.is_released", ASK, bool)
    return [
        Refused(f"{name} is needed: {answer.message}", answer.hint or host.advice(name))
        for name, answer in answers.items()
        if isinstance(answer, McvError)
    ]


def _await_released(host: Host, nodes: list[str]) -> list[str]:
    """Have the nodes give their leases back; who has not after some seconds."""
    ask_typed(host.call, nodes, "ha.let_go", RELEASE + ASK, bool)
    until = time.monotonic() + ASK
    left = list(nodes)
    while left and time.monotonic() < until:
        answers = ask_typed(host.call, left, "ha.is_released", ASK, bool)
        left = [name for name, answer in answers.items() if answer is not True]
        if left:
            time.sleep(PAUSE)
    return left
