"""mcvd's part in deciding: each node has rounds, and the one that holds the office decides.

What a decision asks for is carried out beside the rounds, each thing once at a time; whatever it
writes into the document compares the office. An armed cluster in which nothing is managed has no
manager: nobody is fenced for nothing.
"""

import functools
import logging
import secrets
import threading
import time
from collections.abc import Callable

from mcv.cluster import fence_runs, ha_look
from mcv.document.availability import EtcdStore
from mcv.document.subject import Subject
from mcv.drbd import stale_marks
from mcv.drivers import notice
from mcv.errors import McvError, Refused
from mcv.etcd.keys import ClusterKeys
from mcv.etcd.requests import Compare, put, unchanged
from mcv.ha.at_once import at_once
from mcv.ha.env import Unknown
from mcv.ha.manager import Manager, Managing, Office
from mcv.ha.start_env import NodeEnv
from mcv.ha.values import Taken
from mcv.host import Host
from mcv.recovery import claims
from mcv.rules.ha.actions import (
    AnyAction,
    Declare,
    Distrust,
    Fence,
    GiveUp,
    Maintain,
    Migrate,
    Relocate,
    Resume,
    ServiceAction,
    Start,
    Stop,
    SwitchOn,
    TakeOver,
    Tell,
)
from mcv.rules.ha.snapshot import Snapshot

log = logging.getLogger(__name__)

WHO = "mcv-ha"
PERIOD = 2.0  # s between two rounds
NEWS = (Declare, TakeOver)  # what waits for their end has waited for long
SOON = 0.5  # s while a fencing is waited for
ORDER = 5.0  # s that a node has to accept an order


def rounds(host: Host) -> None:
    """The loop: a round, and the next one in two seconds, or as soon as something has ended."""
    begun = time.monotonic()
    news = host.managing.news
    news.clear()
    decide(host)
    is_fencing = any(run.outcome == "running" for run in list(host.fences.runs.values()))
    period = SOON if is_fencing else PERIOD
    news.wait(max(0.0, period - (time.monotonic() - begun)))


def decide(host: Host) -> None:
    """One round of the loop. Without etcd, or with nothing to manage, nobody decides."""
    cluster = host.read()
    is_managed = bool(cluster.ha_vms or cluster.services)
    if cluster.store is None or not cluster.ha.armed or not is_managed:
        host.managing.begin_anew(None)
        return
    managing = _managing(host, cluster.store)
    assert managing.manager is not None
    try:
        managing.decision = at_once(managing.manager.step())
    except Unknown as unknown:
        managing.decision = None
        log.debug("nothing is decided: %s", unknown)


def _managing(host: Host, store: EtcdStore) -> Managing:
    """This node's rounds in the etcd of this id, which another etcd begins anew."""
    env = HostManagerEnv(host, store.id)
    watch = host.leases.watch(env, store.id)
    # A promise not to take a lease is kept by who knows of it.
    if host.managing.manager is None or host.managing.manager.watch is not watch:
        host.managing.begin_anew(Manager(env, watch, secrets.token_hex(8)))
    return host.managing


class HostManagerEnv(NodeEnv):
    """What the manager may do on a node: see ManagerEnv."""

    def __init__(self, host: Host, cluster: str) -> None:
        super().__init__(host.name, host.settings.run, host.keyspace, cluster)
        self._host = host
        self._keys = ClusterKeys(cluster)

    async def look(self) -> Snapshot:
        return ha_look.look(self._host)

    async def begin(self, action: AnyAction, office: Office) -> None:
        work = self._work(action, office)
        if work is not None:
            _beside(self._host, repr(action), work, isinstance(action, NEWS))

    def _work(self, action: AnyAction, office: Office) -> Callable[[], None] | None:
        """What is done for an action; None for what a node does by itself."""
        host, held = self._host, unchanged(self._keys.manager, office.revision)
        match action:
            case Start() | Stop() | Migrate() | Relocate():
                return functools.partial(_order, host, action)
            case Declare():
                return functools.partial(_declare, host, self._keys, action, held)
            case TakeOver():
                return functools.partial(_take_over, host, action, held)
            case GiveUp(service=name, why=why):
                return functools.partial(_change, host, held, "ha.failed", why, name=name, why=why)
            case Maintain(node=node):
                why = f"{node} is drained"
                return functools.partial(_change, host, held, "node.maintenance", why, name=node)
            case Fence(uid=uid, node=node):
                resumed = not uid.startswith(f"{office.holder.term}.")
                return functools.partial(fence_runs.fence, host, uid, node, resumed)
            case SwitchOn(uid=uid, node=node):
                return functools.partial(fence_runs.switch_on, host, uid, node)
            case Distrust(node=node, uid=uid):
                why = f"{node} renews its lease, and its plug says that it is off"
                told = fence_runs.distrusted(host, node, uid)
                return functools.partial(_change, host, held, "fence.tested", why, **told)
            case Resume(service=name):
                return functools.partial(_resume, host, name)
            case Tell(subject=subject, text=text):
                return functools.partial(_tell, host, subject, text)
            case _:
                return None  # whoever is silent is looked for, and comes back, by loops of its own


def _beside(host: Host, name: str, work: Callable[[], None], is_news: bool) -> None:
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


def _change(host: Host, held: Compare, name: str, why: str, /, **params: object) -> None:
    """Have a change committed, if this node is still the manager."""
    host.consensus.propose(
        name, dict(params), id=host.job.next_change(), who=WHO, why=why, compares=[held]
    )


def _declare(host: Host, keys: ClusterKeys, action: Declare, held: Compare) -> None:
    """Call a node offline, and take its lease, if that and the office are as they were."""
    lease = keys.lease(action.node)
    params = {
        "leases": {action.node: action.lease},
        "kind": action.evidence,
        "epoch": secrets.token_hex(8),
        "detail": WHO,
    }
    taken = Taken(host.name, action.evidence).encode().encode()
    host.consensus.propose(
        "node.taken",
        params,
        id=host.job.next_change(),
        who=WHO,
        why=f"{action.node} is dead: {action.evidence}",
        compares=[unchanged(lease, action.lease), held],
        puts=[put(lease, taken)],
    )


def _take_over(host: Host, action: TakeOver, held: Compare) -> None:
    """Give VMs away in one change, while no replica is marked anew since the marks were judged."""
    marks, revision = stale_marks.read_at(host)
    cluster = host.read()
    takers = {
        name: taker
        for name, taker in action.takers.items()
        if name in cluster.services
        or (name in cluster.vms and not _is_marked(host, name, taker, marks))
    }
    if not takers:
        raise Refused(f"Replicas of {', '.join(sorted(action.takers))} were marked meanwhile.")
    why = f"take over from {action.node}: {', '.join(sorted(takers))}"
    params = {"name": action.node, "takers": takers, "marks": revision}
    _change(host, held, "vm.take_all", why, **params)


def _is_marked(host: Host, name: str, taker: str, marks: stale_marks.Marks) -> bool:
    """Whether a replica that the VM would run on is marked as behind."""
    found = (marks.get(getattr(disk, "resource", "")) for disk in host.read().vm(name).disks)
    return any(each is not None and each[0].node in ("", taker) for each in found)


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
