"""What a decision asks for is carried out: each thing beside the rounds, once at a time."""

import functools
import logging
import threading
from collections.abc import Callable, Sequence

from mcv.cluster import fence_runs
from mcv.document.subject import Subject
from mcv.drbd import handler_file
from mcv.drivers import notice
from mcv.errors import McvError
from mcv.etcd.requests import Compare
from mcv.ha.env import Unknown
from mcv.host import Host
from mcv.recovery import claims
from mcv.rules.ha.actions import (
    AnyAction,
    Distrust,
    Fence,
    GiveUp,
    GoOn,
    Maintain,
    Migrate,
    Relocate,
    Resume,
    ServiceAction,
    Start,
    Stop,
    SwitchOn,
    Tell,
)
from mcv.transaction.job_records import MCV_HA

log = logging.getLogger(__name__)

WHO = MCV_HA
ORDER = 5.0  # s that a node has to accept an order

Work = Callable[[], None]


def of(host: Host, action: AnyAction, term: int, held: Sequence[Compare] = ()) -> Work | None:
    """What is done for an action by whoever decides in this term; None for nothing.

    Changes compare what is `held`. Whoever is silent is looked for, and comes back, by loops of
    its own; how a node is declared and its VMs are taken over hangs on the way of agreement.
    """
    match action:
        case Start() | Stop() | Migrate() | Relocate():
            return functools.partial(_order, host, action)
        case GiveUp(service=name, why=why):
            return functools.partial(change, host, held, "ha.failed", why, name=name, why=why)
        case Maintain(node=node):
            why = f"{node} is drained"
            return functools.partial(change, host, held, "node.maintenance", why, name=node)
        case Fence(uid=uid, node=node):
            resumed = not uid.startswith(f"{term}.")
            return functools.partial(fence_runs.fence, host, uid, node, resumed)
        case SwitchOn(uid=uid, node=node):
            return functools.partial(fence_runs.switch_on, host, uid, node)
        case Distrust(node=node, uid=uid):
            why = f"{node} lives, and its plug says that it is off"
            told = fence_runs.distrusted(host, node, uid)
            return functools.partial(change, host, held, "fence.tested", why, **told)
        case GoOn(node=node):
            return functools.partial(_go_on, host, node)
        case Resume(service=name):
            return functools.partial(_resume, host, name)
        case Tell(subject=subject, text=text):
            return functools.partial(_tell, host, subject, text)
        case _:
            return None


def beside(host: Host, name: str, work: Callable[[], None], is_news: bool = False) -> None:
    """Do it in a thread of its own, unless it is under way; a round follows at once on news."""
    under_way = host.managing.under_way
    if name in under_way:
        return
    under_way.add(name)

    def do() -> None:
        try:
            work()
        except (McvError, Unknown) as error:
            log.warning("%s: %s", name, error)
        except Exception:
            log.exception("%s", name)
        finally:
            under_way.discard(name)
            if is_news:
                host.managing.news.set()

    threading.Thread(target=do, name="manager", daemon=True).start()


WORDS: dict[type[ServiceAction], str] = {Start: "start", Migrate: "migrate", Relocate: "relocate"}


def _order(host: Host, action: ServiceAction) -> None:
    """Have the node that owns the VM carry it out."""
    do = WORDS.get(type(action), "shutdown")
    if isinstance(action, Stop) and action.force:
        do = "stop"
    target = action.target if isinstance(action, Migrate | Relocate) else ""
    host.call(
        action.node,
        "ha.order",
        timeout=ORDER,
        uid=action.uid,
        do=do,
        name=action.service,
        target=target,
    )


def change(host: Host, held: Sequence[Compare], name: str, why: str, /, **params: object) -> None:
    """Have a change committed, if this node is still the manager."""
    host.consensus.propose(
        name, dict(params), id=host.job.next_change(), who=WHO, why=why, compares=list(held)
    )


def _tell(host: Host, subject: str, text: str) -> None:
    """Note it as an event, and tell each of those that are named, once."""
    host.tell(text, subject)
    cluster = host.read()
    for to in cluster.ha.notify:
        try:
            notice.send(to, cluster.name, subject, text)
        except McvError as error:
            log.warning("%s is not told of %s: %s", to, subject, error)


def _resume(host: Host, name: str) -> None:
    """Bring what a dead node had begun to its end, as `mcv repair` does."""
    cluster = host.read()
    subject = Subject.service(name) if name in cluster.services else Subject.vm(name)
    claim = cluster.claim_of(subject)
    if claim is not None:
        claims.take_over(host, subject, claim)


def _go_on(host: Host, node: str) -> None:
    """Guests whose writes wait for a silent node go on: DRBD's handler reads it in its file."""
    if node not in host.managing.alone:
        host.managing.alone |= {node}
        host.tell("goes on alone", node)
    handler_file.write(host)
