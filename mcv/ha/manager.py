"""The manager: whoever holds the office decides every two seconds, and writes under its term alone.

The office is a key of etcd. Every write that comes of a decision compares its revision, so that of
two who believe that they hold it one changes nothing. It is free where its holder's beat was seen
unchanged for D; who takes it has a valid lease. What was decided is written before any of it is
done: the next manager goes on with it.

A node is as silent as the newest reading shows, counted to before that reading was asked for. A
manager that was held up between its reading and an action lets the action be.
"""

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from msgspec.structs import replace

from mcv.ha import right, timing, values
from mcv.ha.env import Answer, Env, Put, Txn, Unchanged
from mcv.ha.orders import Orders
from mcv.ha.taking import Watch
from mcv.ha.values import Holder
from mcv.rules.ha import status as kept
from mcv.rules.ha.actions import AnyAction
from mcv.rules.ha.decide import Decision, decide
from mcv.rules.ha.snapshot import LeaseSeen, NodeSeen, Snapshot
from mcv.rules.ha.status import Status
from mcv.system.heard import Heard

if TYPE_CHECKING:
    from mcv.ha.pair import Pair

SELDOM = 60.0  # s after which a status is written although nothing but its clock is new


@dataclass(frozen=True)
class Office:
    """The office as this process holds it."""

    holder: Holder
    revision: int

    @property
    def compare(self) -> Unchanged:
        """What every write of the manager's is made under."""
        return Unchanged(values.MANAGER, self.revision)


def _event() -> threading.Event:
    return threading.Event()


@dataclass
class Managing:
    """What a node's mcvd knows of high availability: only in its memory.

    `orders` are what it was ordered to do; after `has_told` all is of the manager, which it may
    be itself. `switching` is by node which others operators switch from there, and when that was
    told.
    """

    orders: Orders = field(default_factory=Orders)
    goes_down: bool = False  # this host, as mcv-guests or systemd has said
    has_told: bool = False  # whoever decides that it does
    manager: "Manager | None" = None
    pair: "Pair | None" = None  # in its place on two nodes without a witness
    decision: Decision | None = None  # the newest, while this node decides
    switching: dict[str, tuple[float, dict[str, str]]] = field(default_factory=dict)
    under_way: set[str] = field(default_factory=set)  # what is being carried out
    news: threading.Event = field(default_factory=_event)  # some of that has ended
    alone: frozenset[str] = frozenset()  # silent nodes without which own guests go on
    reports: Heard = field(default_factory=Heard)  # of every node

    def begin_anew(self, manager: "Manager | None", pair: "Pair | None" = None) -> None:
        """Another manager's life; None: nobody decides here."""
        self.manager, self.pair, self.decision, self.alone = manager, pair, None, frozenset()


class ManagerEnv(Env, Protocol):
    """What the manager may do besides."""

    async def look(self) -> Snapshot:
        """What the document says, and what the nodes tell; leases and time are the manager's."""

    async def begin(self, action: AnyAction, office: Office) -> None:
        """Have an action carried out; what comes of it is seen in a later look.

        What it writes compares the office. One with a `uid` is carried out once.
        """


class Manager:
    """One process of a node that may hold the office."""

    def __init__(self, env: ManagerEnv, watch: Watch, token: str) -> None:
        self._env = env
        self.watch = watch
        self._token = token
        self._beat = (0, 0.0)  # another's: its revision, and since when that is seen
        self._written = Status()
        self._stored = 0  # revision of the status that is known
        self._beats = 0
        self.office: Office | None = None
        self.status = Status()
        self.looked: Snapshot | None = None  # what was decided by last

    async def step(self) -> Decision | None:
        """One round: None where another decides, or nobody may.

        Raises Unknown where etcd does not answer: then nothing is done, and what was written may
        be seen in the next round.
        """
        asked = await self._env.now()
        read = await self.watch.look(values.HA)
        if not await right.has_lease(self._env):
            self.office = None
            return None
        answer = read if self._holds(read) else await self._take(read)
        return await self._decide(answer, asked) if answer is not None else None

    def _holds(self, answer: Answer) -> bool:
        entry = answer.entries.get(values.MANAGER)
        if self.office is not None and (entry is None or entry.revision != self.office.revision):
            self.office = None
        return self.office is not None

    # The office

    async def _take(self, answer: Answer) -> Answer | None:
        """Take the office where it is free, with what was kept last under the one before."""
        entry = answer.entries.get(values.MANAGER)
        holder = _holder(entry.value) if entry is not None else None
        if holder is not None and not await self._is_free(holder, answer):
            return None
        term = max(holder.term if holder is not None else 0, _status(answer).term) + 1
        mine = Holder(self._env.node, self._token, term)
        revision = entry.revision if entry is not None else 0
        free, put = Unchanged(values.MANAGER, revision), Put(values.MANAGER, mine.encode())
        taken = await self._env.txn(Txn((free,), (put,), reads=(values.HA,)))
        if not taken.holds:
            return None
        await self._env.say(f"{mine.node} decides from now on, in term {mine.term}")
        self.office = Office(mine, taken.revision)
        self._stored = 0
        return taken

    async def _is_free(self, holder: Holder, answer: Answer) -> bool:
        """An earlier life's, one of a node without a lease, or one whose beat has stopped."""
        if holder.node == self._env.node or holder.node not in self.watch.seen:
            return True
        beat, now = answer.entries.get(values.BEAT), await self._env.now()
        revision = beat.revision if beat is not None else 0
        if revision != self._beat[0] or not self._beat[1]:
            self._beat = (revision, now)
        held = self.watch.seen[holder.node].held
        return now - self._beat[1] >= timing.at_pace(_pace(held.validity)).suspicion

    # A round

    async def _decide(self, answer: Answer, asked: float) -> Decision | None:
        entry = answer.entries.get(values.STATUS)
        if entry is not None and entry.revision != self._stored:
            self.status = self._written = _status(answer)
            self._stored = entry.revision
        assert self.office is not None
        look = completed(await self._env.look(), self.watch, self._env.node, asked)
        look = replace(look, term=self.office.holder.term)
        self.looked = look
        decision = decide(look, self.status)
        if not await self._write(decision.status, self.office):
            self.office = None
            return None
        for action in decision.actions:
            if not await self._may_act(asked, look.suspicion / 2):
                break
            await self._env.begin(action, self.office)
        return decision

    async def _may_act(self, asked: float, fresh: float) -> bool:
        """Whether what was read is new enough, and this node's lease is valid, at this moment."""
        return await self._env.now() - asked < fresh and await right.has_lease(self._env)

    async def _write(self, status: Status, office: Office) -> bool:
        """Keep what was decided, and show that somebody decides; whether the office still holds."""
        self._beats += 1
        puts = [Put(values.BEAT, f"{office.holder.term}.{self._beats}")]
        is_new = not self._stored or is_news(self._written, status)
        if is_new:
            puts.append(Put(values.STATUS, kept.encode(status)))
        written = await self._env.txn(Txn((office.compare,), tuple(puts)))
        if not written.holds:
            return False
        self.status = status
        if is_new:
            self._written, self._stored = status, written.revision
        return True


def completed(look: Snapshot, watch: Watch, node: str, asked: float) -> Snapshot:
    """The look with what the node that decides knows itself: time, and leases."""
    began = watch.began
    return replace(
        look,
        now=asked,
        manager=node,
        suspicion=timing.at_pace(look.ha.pace).suspicion,
        watched=max(0.0, asked - began) if began is not None else 0.0,
        nodes={
            name: replace(
                seen,
                lease=_lease(watch, seen, asked),
                renewed=name in watch.moved,
            )
            for name, seen in look.nodes.items()
        },
    )


def _lease(watch: Watch, node: NodeSeen, asked: float) -> LeaseSeen | None:
    seen = watch.seen.get(node.name)
    if seen is None:
        return None
    held = seen.held
    return LeaseSeen(
        revision=seen.revision,
        boot=held.boot,
        age=watch.age_at(node.name, asked),
        wait=float(timing.wait(held.validity, held.watchdog, held.grain)),
        proves=held.proves,
    )


def is_news(before: Status, now: Status) -> bool:
    """Whether more than the clock is new, or the clock by much."""
    if now.clock - before.clock >= SELDOM:
        return True
    return replace(now, now=before.now, clock=before.clock) != before


def _holder(text: str) -> Holder | None:
    """Who holds the office; None for what is no holder: it is free."""
    try:
        return values.decode_holder(text)
    except ValueError:
        return None


def _status(answer: Answer) -> Status:
    """What was kept; nothing where it is no status, of whatever kind."""
    entry = answer.entries.get(values.STATUS)
    if entry is None:
        return Status()
    try:
        return kept.decode(entry.value)
    except ValueError:
        return Status()


def _pace(validity: float) -> int:
    """The pace at which a lease has this validity."""
    return max(1, round(validity / timing.at_pace(1).validity))
