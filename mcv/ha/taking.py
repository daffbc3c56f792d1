"""Taking the lease of a node whose guests have ended, by evidence.

A lease counts as ended once it has stayed unchanged for T by the taker's clock, from when the
first reading of it came back. The taking is one transaction with the change of the document that
calls the node offline and gives its VMs to others; a renewal, another change and a mark of a
stale replica that come first refuse it.
"""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum, auto

from mcv.ha import timing, values
from mcv.ha.env import Answer, Compare, Env, NothingNewer, Put, Txn, Unchanged
from mcv.ha.values import Held, Taken


class Evidence(StrEnum):
    """What says that a node runs no guest."""

    OFF = auto()  # a tested fence device: off, and asked again
    LEASE = auto()  # its watchdog has reset it, or nothing runs there
    WORD = auto()  # an operator's


@dataclass(frozen=True)
class Seen:
    """A lease as it was read: its revision, what it says, and when that was read first."""

    revision: int
    held: Held
    since: float


class Watch:
    """What one process has seen of the other nodes' leases."""

    def __init__(self, env: Env) -> None:
        self._env = env
        self.seen: dict[str, Seen] = {}
        self.moved: frozenset[str] = frozenset()  # nodes whose lease was seen to be renewed
        self.has_looked = False
        self.began: float | None = None  # when the first reading came back
        self._promised: dict[str, float] = {}
        self._revision = 0  # of the store, at the newest reading
        self._lock = threading.Lock()

    async def look(self, *besides: str) -> Answer:
        """Read all leases, and keys of other prefixes besides, which are handed back.

        Raises Unknown, and then knows what it knew before.
        """
        answer = await self._env.txn(Txn(reads=(values.LEASES, *besides)))
        now = await self._env.now()
        with self._lock:
            # Another thread may have read later, and be here first.
            if answer.revision >= self._revision:
                self._revision = answer.revision
                self._saw(answer, now)
        return answer

    def _saw(self, answer: Answer, now: float) -> None:
        found = {}
        for key, entry in answer.entries.items():
            node = key.removeprefix(values.LEASES)
            held = _held(entry.value) if key.startswith(values.LEASES) else None
            if node == self._env.node or held is None:
                continue
            before = self.seen.get(node)
            is_same = before is not None and before.revision == entry.revision
            found[node] = before if before and is_same else Seen(entry.revision, held, now)
        if self.began is None:
            self.began = now
        else:
            self.moved |= {node for node, seen in found.items() if seen is not self.seen.get(node)}
        self.seen = found
        self.has_looked = True

    async def promise(self, node: str) -> None:
        """Count the node's lease as seen anew now; see failsafe.py."""
        self._promised[node] = await self._env.now()

    async def age(self, node: str) -> float:
        """For how long the lease has been seen unchanged, in seconds of this node's clock.

        A promise counts as a change.
        """
        seen = self.seen.get(node)
        return 0.0 if seen is None else self.age_at(node, await self._env.now())

    def age_at(self, node: str, moment: float) -> float:
        """The same at a moment before the newest reading came back; 0 where it was seen later."""
        seen = self.seen.get(node)
        if seen is None:
            return 0.0
        return max(0.0, moment - max(seen.since, self._promised.get(node, 0.0)))

    async def has_ended(self, node: str) -> bool:
        """Whether the lease itself is evidence that the node's guests have ended."""
        seen = self.seen.get(node)
        return seen is not None and seen.held.proves and await self.is_quiet(node)

    async def is_quiet(self, node: str) -> bool:
        """Whether the lease was seen unchanged for T, whatever its watchdog proves.

        True for a node without a lease, and for one whose lease was taken; False before leases
        were read.
        """
        seen = self.seen.get(node)
        if seen is None:
            return self.has_looked
        held = seen.held
        return await self.age(node) >= timing.wait(held.validity, held.watchdog, held.grain)


def _held(text: str) -> Held | None:
    """A lease that a node holds; None for what is taken, or is no lease at all."""
    try:
        found = values.decode(text)
    except ValueError:
        return None
    return found if isinstance(found, Held) else None


@dataclass(frozen=True)
class Successor:
    """The next document: what its keys hold."""

    puts: tuple[Put, ...]


Compose = Callable[[str, frozenset[str]], Successor]  # (head, resources that are marked stale)


async def take(
    env: Env,
    seen: Seen,
    node: str,
    evidence: Evidence,
    compose: Compose,
    also: tuple[Compare, ...] = (),
) -> bool:
    """Call a node offline and take its VMs; whether that was done.

    Raises Unknown where the outcome is open. `compose` makes the document, without the VMs whose
    replica elsewhere is marked stale. `also` is compared besides, as the taker's office is.
    """
    lease = values.lease_key(node)
    answer = await env.txn(Txn(reads=(values.HEAD, lease, values.STALE)))
    entry, head = answer.entries.get(lease), answer.entries.get(values.HEAD)
    if entry is None or head is None or entry.revision != seen.revision:
        return False
    document = compose(head.value, marked(answer))
    compares = (
        Unchanged(values.HEAD, head.revision),
        Unchanged(lease, seen.revision),
        NothingNewer(values.STALE, answer.revision),
        *also,
    )
    taken = Put(lease, Taken(env.node, str(evidence)).encode())
    return (await env.txn(Txn(compares, (taken, *document.puts)))).holds


def marked(answer: Answer) -> frozenset[str]:
    """The resources with a replica that is marked stale."""
    return frozenset(_resources(answer.entries))


def _resources(keys: Iterable[str]) -> Iterable[str]:
    return (key.removeprefix(values.STALE) for key in keys if key.startswith(values.STALE))


async def come_back(
    env: Env, boot: str, periods: timing.Timing, compose: Compose, *, proves: bool = True
) -> bool:
    """Be online again with a new lease, in one transaction; whether that was done.

    Precondition: nothing of mcv's runs here, and the start gate is held alone. The new lease is
    valid once mcv-lease has renewed it, after it has opened the watchdog. Raises Unknown.
    """
    lease = values.lease_key(env.node)
    answer = await env.txn(Txn(reads=(values.HEAD, lease, values.STALE)))
    entry, head = answer.entries.get(lease), answer.entries.get(values.HEAD)
    if entry is None or head is None or isinstance(values.decode(entry.value), Held):
        return False
    document = compose(head.value, marked(answer))
    held = Held.by(periods, boot, 0, proves)
    compares = (Unchanged(values.HEAD, head.revision), Unchanged(lease, entry.revision))
    return (await env.txn(Txn(compares, (Put(lease, held.encode()), *document.puts)))).holds
