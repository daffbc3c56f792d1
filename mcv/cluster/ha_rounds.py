"""mcvd's part in deciding: each node has rounds, and the one that holds the office decides.

What a decision asks for is carried out beside the rounds, each thing once at a time; whatever it
writes into the document compares the office. An armed cluster in which nothing is managed has no
manager: nobody is fenced for nothing.
"""

import functools
import logging
import secrets
import time

from mcv.cluster import ha_look, ha_pair, ha_work
from mcv.document.arms import is_pair
from mcv.document.availability import EtcdStore
from mcv.drbd import stale_marks
from mcv.errors import Refused
from mcv.etcd.keys import ClusterKeys
from mcv.etcd.requests import Compare, put, unchanged
from mcv.ha.at_once import at_once
from mcv.ha.env import Unknown
from mcv.ha.manager import Manager, Managing, Office
from mcv.ha.start_env import NodeEnv
from mcv.ha.values import Taken
from mcv.host import Host
from mcv.rules.ha.actions import (
    AnyAction,
    Declare,
    TakeOver,
)
from mcv.rules.ha.decide import Decision
from mcv.rules.ha.snapshot import Snapshot

log = logging.getLogger(__name__)

PERIOD = 2.0  # s between two rounds
NEWS = (Declare, TakeOver)  # what waits for their end has waited for long
SOON = 0.5  # s while a fencing is waited for
SUSPECTING = 1.0  # s while it is not known whether a node lives


def one_round(host: Host) -> None:
    """A round of the loop; what ends after its beginning is news for the next one."""
    host.managing.news.clear()
    decide(host)


def await_next(host: Host, begun: float) -> None:
    """Wait until two seconds after a round's beginning, or until something has ended."""
    is_fencing = any(run.outcome == "running" for run in list(host.fences.runs.values()))
    period = SOON if is_fencing else SUSPECTING if _suspects(host.managing.decision) else PERIOD
    host.managing.news.wait(max(0.0, period - (time.monotonic() - begun)))


def _suspects(decision: Decision | None) -> bool:
    return decision is not None and any(
        node.state == "suspect" for node in decision.status.nodes.values()
    )


def decide(host: Host) -> None:
    """One round of the loop. Unarmed, or with nothing to manage, nobody decides."""
    cluster = host.read()
    is_managed = bool(cluster.ha_vms or cluster.services)
    if is_pair(cluster) and is_managed:
        ha_pair.decide(host)
        return
    ha_pair.forget(host)
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
            ha_work.beside(self._host, repr(action), work, isinstance(action, NEWS))

    def _work(self, action: AnyAction, office: Office) -> ha_work.Work | None:
        """What is done for an action; None for what a node does by itself."""
        host, held = self._host, unchanged(self._keys.manager, office.revision)
        match action:
            case Declare():
                return functools.partial(_declare, host, self._keys, action, held)
            case TakeOver():
                return functools.partial(_take_over, host, action, held)
            case _:
                return ha_work.of(host, action, office.holder.term, [held])


def _declare(host: Host, keys: ClusterKeys, action: Declare, held: Compare) -> None:
    """Call a node offline, and take its lease, if that and the office are as they were."""
    lease = keys.lease(action.node)
    params = {
        "leases": {action.node: action.lease},
        "kind": action.evidence,
        "epoch": secrets.token_hex(8),
        "detail": ha_work.WHO,
    }
    taken = Taken(host.name, action.evidence).encode().encode()
    host.consensus.propose(
        "node.taken",
        params,
        id=host.job.next_change(),
        who=ha_work.WHO,
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
    ha_work.change(host, [held], "vm.take_all", why, **params)


def _is_marked(host: Host, name: str, taker: str, marks: stale_marks.Marks) -> bool:
    """Whether a replica that the VM would run on is marked as behind."""
    found = (marks.get(getattr(disk, "resource", "")) for disk in host.read().vm(name).disks)
    return any(each is not None and each[0].node in ("", taker) for each in found)
