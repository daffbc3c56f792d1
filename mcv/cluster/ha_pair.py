"""mcvd's part in deciding on two nodes without a witness: see mcv/ha/pair.py."""

import functools
import logging
from pathlib import Path

from mcv.cluster import ha_pair_look, ha_work, members
from mcv.drbd import handler_file
from mcv.errors import McvError, Refused
from mcv.ha.at_once import at_once
from mcv.ha.env import Unknown
from mcv.ha.pair import Pair, term_of
from mcv.host import Host
from mcv.rules.ha import status as kept
from mcv.rules.ha.actions import AnyAction, Declare, TakeOver
from mcv.rules.ha.snapshot import Snapshot
from mcv.rules.ha.status import Status
from mcv.system import files, lease

log = logging.getLogger(__name__)

FILE = "decisions.json"  # beside the journal


def decide(host: Host) -> None:
    """One round of the loop on two nodes whose fence devices are armed."""
    managing = host.managing
    if managing.pair is None:
        managing.begin_anew(None, Pair(HostPairEnv(host)))
    assert managing.pair is not None
    try:
        managing.decision = at_once(managing.pair.step())
    except Unknown as unknown:
        managing.decision = None
        log.debug("nothing is decided: %s", unknown)
    _forget_back(host)


def forget(host: Host) -> None:
    """What was counted ends with the armed two: a name may come to mean another VM."""
    if (path := _path(host)).exists():
        files.remove(path)


def _forget_back(host: Host) -> None:
    """A node that is heard again, or offline, is no reason any more to go on without it."""
    looked = host.managing.pair.looked if host.managing.pair is not None else None
    if looked is None or not host.managing.alone:
        return
    silent = {
        name
        for name, seen in looked.nodes.items()
        if seen.status == "online" and seen.silence >= looked.suspicion
    }
    if host.managing.alone - silent:
        host.managing.alone &= silent
        handler_file.write(host)


def _path(host: Host) -> Path:
    return files.child(host.settings.state, FILE)


class HostPairEnv:
    """What a node may do that decides for two: see PairEnv."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._boots: dict[str, str] = {}
        self._contact: set[str] = set()
        self.node = host.name

    async def now(self) -> float:
        return lease.now()

    async def look(self) -> Snapshot:
        seen = ha_pair_look.look(self._host, self._boots)
        contact = {name for name, node in seen.nodes.items() if node.contact}
        if contact - self._contact:
            # That there was contact in this boot outlives a daemon that is killed.
            self._host.observations.save(at_once=True)
        self._contact = contact
        return seen

    async def term(self, above: int) -> int:
        cluster = self._host.read()
        return term_of(cluster.generation, sorted(cluster.nodes).index(self.node), above)

    async def kept(self) -> Status:
        text = files.read_or_none(_path(self._host))
        try:
            return kept.decode(text) if text else Status()
        except ValueError as error:
            log.warning("what was decided before: %s", error)
            return Status()

    async def keep(self, status: Status) -> None:
        files.write_atomically(_path(self._host), kept.encode(status))

    async def begin(self, action: AnyAction, term: int) -> None:
        work = self._work(action, term)
        if work is not None:
            is_news = isinstance(action, Declare | TakeOver)
            ha_work.beside(self._host, repr(action), work, is_news)

    def _work(self, action: AnyAction, term: int) -> ha_work.Work | None:
        match action:
            case Declare():
                return functools.partial(_declare, self._host, action)
            case TakeOver():
                return functools.partial(_take_over, self._host, action)
            case _:
                return ha_work.of(self._host, action, term)


def _declare(host: Host, action: Declare) -> None:
    """Call the other node offline by this evidence, unless it answers in any way."""
    why = f"{action.node} is dead: {action.evidence}"
    change = host.job.next_change()
    evidence = action.evidence
    members.declare(host, [action.node], change, ha_work.WHO, why, evidence=evidence)


def _take_over(host: Host, action: TakeOver) -> None:
    """Have this node own what it can run, as its replicas are now: one change for all of it."""
    cluster = host.read()
    takers = {
        name: taker
        for name, taker in action.takers.items()
        if name in cluster.services or (name in cluster.vms and _is_taken(host, name, taker))
    }
    if not takers:
        raise Refused(f"{host.name} can run none of {', '.join(sorted(action.takers))} now.")
    why = f"take over from {action.node}: {', '.join(sorted(takers))}"
    ha_work.change(host, (), "vm.take_all", why, name=action.node, takers=takers)


def _is_taken(host: Host, name: str, taker: str) -> bool:
    try:
        vm = host.read().vm(name)
        return taker == host.name and not ha_pair_look.why_not_taken(host, vm)
    except McvError as error:
        log.warning("%s is not taken over now: %s", name, error)
        return False
