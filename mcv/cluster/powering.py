"""A host goes down at an operator's word: rebooted or powered off by its own daemon."""

import logging
import threading

from msgspec import Struct

from mcv.cluster.idle import working
from mcv.errors import McvError, Refused, refuse_all
from mcv.host import DryRun, Host
from mcv.recovery.rows import JobError
from mcv.system.answers import decoded

log = logging.getLogger(__name__)

DELAY = 1.0  # s between the answer to the operator and the order to systemd
POLL = 1.0  # s between two looks for a host that is to come back
ANSWER = 2.0  # s that it has to answer

IN_WORDS = {"reboot": "reboots", "poweroff": "powers off"}


class GoingDown(Struct, frozen=True, kw_only=True):
    """A host that goes down, and the boot that ends."""

    node: str
    boot: str


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
    """Power this host off; with `shutdown` its guests are shut down first."""
    return _go_down(host, node, "poweroff", shutdown, dry_run)


def _go_down(host: Host, node: str, verb: str, shutdown: bool, dry_run: bool) -> GoingDown | DryRun:
    """Order it from systemd, a moment after the answer: this daemon goes down with the host.

    No document is changed: that works with peers silent, too. Errors: Refused where VMs run here,
    or an operation is under way.
    """
    running = sorted(name for name in host.domains.states().vms if host.domains.is_active(name))
    problems = []
    if running and not shutdown:
        problems.append(
            Refused(
                f"{node} runs {', '.join(running)}.",
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


def order(host: Host, node: str) -> None:
    """Have another host reboot, by a job of its own daemon. Errors: McvError where it does not.

    No claim is needed: a host that is offline in the document hears of claims later.
    """
    answer = host.call(node, "node.reboot", node=node)
    begun = decoded(node, "node.reboot", answer, _Begun)
    end = _End(state="running")
    while end.state == "running":
        told = host.call(node, "job.follow", job=begun.job, node=node)
        end = decoded(node, "job.follow", told, _End)
    if end.error is not None:
        raise McvError(end.error.message, end.error.hint)
