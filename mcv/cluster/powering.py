"""A host goes down at an operator's word: rebooted or powered off by its own daemon.

Whatever powers it off, etcd keeps its majority: without one no node of an armed cluster runs on.
"""

import logging
import threading

from msgspec import Struct

from mcv.cluster import draining, etcd_members
from mcv.cluster.idle import working
from mcv.document.subject import Subject
from mcv.errors import McvError, Refused, refuse_all
from mcv.host import DryRun, Host, Prepared
from mcv.recovery.rows import JobError
from mcv.system import service_notes
from mcv.system.answers import decoded
from mcv.transaction.plan import Item, Step, change, on

log = logging.getLogger(__name__)

DELAY = 2.0  # s until systemd is told: the operator may follow the job by this very daemon
POLL = 1.0  # s between two looks for a host that is to come back
ANSWER = 2.0  # s that it has to answer

IN_WORDS = {"reboot": "reboots", "poweroff": "powers off"}


class GoingDown(Struct, frozen=True, kw_only=True):
    """A host that goes down, the boot that ends, and what left it before."""

    node: str
    boot: str = ""
    moved: list[str] = []


class Boot(Struct, frozen=True, kw_only=True):
    """The boot of a host, and whether its daemon is in contact with the cluster."""

    boot: str
    in_contact: bool


class Back(Struct, frozen=True, kw_only=True):
    """A node that has booted since, and is in contact again."""

    node: str


def reboot(
    host: Host, node: str, shutdown: bool = False, dry_run: bool = False
) -> GoingDown | DryRun:
    """Reboot this host; with `shutdown` its guests are shut down first, and start again with it."""
    return _go_down(host, node, "reboot", shutdown, dry_run)


def power_off(
    host: Host, node: str, shutdown: bool = False, dry_run: bool = False
) -> GoingDown | DryRun:
    """Drain a node, then power its host off; with `shutdown` its guests are shut down instead.

    Another node empties it: one that is offline in the document changes nothing. On the node
    itself its host is powered off at once. Errors: Refused for the last node online, and where no
    majority of etcd would be left; DoneInPart where something stays on the node: it stays on, and
    the same command goes on.
    """
    if node != host.name:
        return _emptied_and_off(host, node, dry_run)
    cluster = host.read()
    if not shutdown and cluster.online == [node] and len(cluster.nodes) > 1:
        raise Refused(
            f"{node} is the last node online.",
            f"Have its guests shut down with it: mcv node power-off {node} --shutdown",
        )
    return _go_down(host, node, "poweroff", shutdown, dry_run)


def _emptied_and_off(host: Host, node: str, dry_run: bool) -> GoingDown | DryRun:
    """One plan: after a crash it goes on, and the node's claim keeps it from being restored."""

    def prepare() -> Prepared[GoingDown]:
        cluster = host.read()
        refuse_all(etcd_members.why_not_off(host, cluster, node))
        off = Step(on(host.name, "node.order_off", node=node), may_fail=True)
        words = f"{node} {IN_WORDS['poweroff']}."
        if cluster.node(node).status == "offline":
            plan: list[Item] = [Step(change("barrier"), commits=True), off]
            return Prepared(plan, GoingDown(node=node), preview=lambda plan: DryRun(plan=[words]))
        drained = draining.drained(host, node, then=[off])
        lines = [*drained.preview(plan=[]).plan, words]
        return Prepared(
            drained.plan,
            GoingDown(node=node, moved=drained.answer.moved),
            preview=lambda plan: DryRun(plan=lines),
            around=drained.around,
        )

    return host.operate(Subject.node(node), f"power {node} off", prepare, dry_run)


def _go_down(host: Host, node: str, verb: str, shutdown: bool, dry_run: bool) -> GoingDown | DryRun:
    """Order it from systemd, a moment after the answer: this daemon goes down with the host.

    No document is changed: that works with peers silent, too. Errors: Refused where VMs or
    services run here, an operation is under way, or no majority of etcd would be left.
    """
    running = sorted(name for name in host.domains.states().vms if host.domains.is_active(name))
    services = sorted(note.name for note in service_notes.all_(host.settings.run))
    problems = etcd_members.why_not_off(host, host.read(), node)
    if (running or services) and not shutdown:
        problems.append(
            Refused(
                f"{node} runs {', '.join([*running, *services])}.",
                f"Move them first: mcv node drain {node}. Or have their guests shut down with the "
                f"host: --shutdown",
            )
        )
    if work := working(host.read(), host.name):
        problems.append(Refused(f"{node} is at work: {work[0]}.", "See: mcv job list"))
    if host.is_leaving or host.is_going_down():
        problems.append(Refused(f"{node} is going down already."))
    refuse_all(problems)
    if dry_run:
        ends = [f"{node}: shut down {name}" for name in running]
        ends += [f"{node}: stop {name}" for name in services]
        return DryRun(plan=[*ends, f"{node} {IN_WORDS[verb]}."])
    timer = threading.Timer(DELAY, _order, (host, verb))
    timer.daemon = True
    timer.start()
    return GoingDown(node=node, boot=host.observations.boot)


def _order(host: Host, verb: str) -> None:
    try:
        host.go_down(verb)
    except McvError as error:
        log.error("%s: %s", verb, error)


def boot(host: Host) -> Boot:
    """Tell another node in which boot this host is.

    In maintenance a node is offline in the document, and in contact when it has heard the others.
    """
    online = set(host.read().online)
    is_heard = host.name not in online and online <= host.consensus.heard
    return Boot(
        boot=host.observations.boot,
        in_contact=host.consensus.in_contact or bool(online and is_heard),
    )


def await_return(host: Host, node: str, boot: str) -> Back:
    """Wait until a host has booted since and its daemon is in contact; may be cancelled."""
    host.job.progress(f"waiting for {node} to be back")
    with host.job.may_be_cancelled():
        while not is_back(host, node, boot):
            host.job.cancelled.wait(POLL)
            host.job.check_cancelled()
    return Back(node=node)


def is_back(host: Host, node: str, boot: str) -> bool:
    """Whether a host has booted since, in contact, and online unless for maintenance."""
    now = boot_of(host, node)
    member = host.read().node(node)
    is_member = member.status == "online" or member.maintenance
    return now is not None and now.boot != boot and now.in_contact and is_member


def boot_of(host: Host, node: str) -> Boot | None:
    """The boot of a host; None where it does not answer."""
    try:
        answer = host.call(node, "node.boot", timeout=ANSWER)
        return decoded(node, "node.boot", answer, Boot)
    except McvError:
        return None


class _Begun(Struct, frozen=True):
    """A job that a node began at another one's word."""

    job: str


class _End(Struct, frozen=True):
    """What a node tells of a job."""

    state: str
    error: JobError | None = None


def order(host: Host, node: str, operation: str = "node.reboot") -> None:
    """Have another host go down, by a job of its own daemon. Errors: McvError where it does not.

    No claim is needed: a host that is offline in the document hears of claims later.
    """
    answer = host.call(node, operation, node=node)
    begun = decoded(node, operation, answer, _Begun)
    end = _End(state="running")
    while end.state == "running":
        told = host.call(node, "job.follow", job=begun.job, node=node)
        end = decoded(node, "job.follow", told, _End)
    if end.error is not None:
        raise McvError(end.error.message, end.error.hint)


def order_off(host: Host, node: str) -> None:
    """A plan's last step: power a host off that was drained. McvError where it was not."""
    if host.read().node(node).status == "online":
        raise McvError(
            f"{node} stays on: it is not drained.",
            f"Once it is: mcv node power-off {node}. With its guests: --shutdown",
        )
    order(host, node, "node.power_off")
