"""Clauses left out, one at a time: each must be found by the simulator, from a recorded seed."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import pytest

from mcv.ha import peer_loss, right, taking, timing
from mcv.ha.env import Put, Txn
from mcv.ha.lease import Lease, Sent
from tests.ha.sim_env import SimEnv

Patch = pytest.MonkeyPatch


class Mutation(NamedTuple):
    leave_out: Callable[[Patch], None]
    aim: str
    seeds: tuple[int, ...]
    keeps_descriptor: bool = True


def counted_from_the_answer(patch: Patch) -> None:
    """The lease is valid from when the answer came, not from before the write was sent."""

    async def counted_from(self: Lease, sent: Sent) -> float:
        return await self._env.now()

    patch.setattr(Lease, "_counted_from", counted_from)


def watchdog_after_the_lease(patch: Patch) -> None:
    """The watchdog is opened once there is a lease."""

    async def begin(self: Lease) -> None:
        await self._inherit()
        if self.until > await self._env.now():
            await self._env.sleep(0.5)
            await self._env.open_watchdog(self.wanted.watchdog)
            self._is_open = True

    patch.setattr(Lease, "_begin", begin)


def fed_without_a_lease(patch: Patch) -> None:
    """The watchdog is fed whatever the lease says."""

    async def feed(self: Lease) -> bool:
        await self._env.feed(None)
        return False

    real = Lease._feed

    async def both(self: Lease) -> bool:
        return await real(self) or await feed(self)

    patch.setattr(Lease, "_feed", both)


def no_start_gate(patch: Patch) -> None:
    """An empty host feeds although a start may be under way."""

    async def nothing_can_begin(self: Lease) -> bool:
        return True

    patch.setattr(Lease, "_nothing_can_begin", nothing_can_begin)


def opening_feeds_for_ever(patch: Patch) -> None:
    """A new process looks at nothing before it opens the watchdog."""

    async def inherit(self: Lease) -> None:
        return

    patch.setattr(Lease, "_inherit", inherit)


def start_without_a_lease(patch: Patch) -> None:
    """A start asks etcd alone whether it may."""

    async def has_lease(env: object) -> bool:
        return True

    patch.setattr(right, "has_lease", has_lease)


def alone_without_a_mark(patch: Patch) -> None:
    """The handler lets the owner go on alone without having told etcd."""

    async def mark(*_: object) -> bool:
        return True

    patch.setattr(peer_loss, "_mark", mark)


def alone_although_taken(patch: Patch) -> None:
    """The handler's mark does not compare the lease and the document."""

    async def mark(env: SimEnv, resource: str, facts: object, seen: object) -> bool:
        put = Put(f"stale/{resource}", "peer")
        return (await env.txn(Txn((), (put,)))).holds

    patch.setattr(peer_loss, "_mark", mark)
    patch.setattr(peer_loss, "_is_held", lambda *_: True)

    async def has_lease(env: object) -> bool:
        return True

    patch.setattr(peer_loss, "has_lease", has_lease)


def waits_for_half_the_watchdog(patch: Patch) -> None:
    """T = V + W / 2."""
    patch.setattr(timing, "wait", lambda v, w, g: v + w / 2)


def taken_without_a_look_at_marks(patch: Patch) -> None:
    """The taking does not compare the marks of stale replicas, nor read them."""
    patch.setattr(taking, "marked", lambda _: frozenset())
    patch.setattr(taking, "NothingNewer", lambda prefix, _: taking_all(prefix))


def taken_although_marked_meanwhile(patch: Patch) -> None:
    """The taking reads the marks, and does not compare that none was written since."""
    patch.setattr(taking, "NothingNewer", lambda prefix, _: taking_all(prefix))


def taking_all(prefix: str) -> object:
    from mcv.ha.env import NothingNewer

    return NothingNewer(prefix, 10**9)


def taken_although_renewed(patch: Patch) -> None:
    """The taking does not compare the lease."""
    real = taking.take

    async def take(env, seen, node, evidence, compose):  # type: ignore[no-untyped-def]
        answer = await env.txn(Txn(reads=("lease/" + node,)))
        entry = answer.entries.get("lease/" + node)
        now = taking.Seen(entry.revision if entry else 0, seen.held, seen.since)
        return await real(env, now, node, evidence, compose)

    patch.setattr(taking, "take", take)


def counted_from_before_the_reading(patch: Patch) -> None:
    """The taker counts from six seconds before its first reading came back."""
    real = taking.Watch.age

    async def age(self: taking.Watch, node: str) -> float:
        return await real(self, node) + 6

    patch.setattr(taking.Watch, "age", age)


def longest_validity_counts(patch: Patch) -> None:
    """V falls, and the lease counts by the longer one until its shorter one is confirmed."""

    async def shorten(self: Lease) -> None:
        if self.wanted.watchdog < self._in_force.watchdog:
            await self._env.set_watchdog(self.wanted.watchdog)
        self._in_force = replace(self._in_force, watchdog=self.wanted.watchdog)

    patch.setattr(Lease, "_shorten", shorten)


def inherited_validity_counts(patch: Patch) -> None:
    """V falls, and a new process counts by what an earlier one has published."""
    patch.setattr(Lease, "_bound_what_is_inherited", lambda *_: None)


def rising_periods_count_at_once(patch: Patch) -> None:
    """V and W rise, and a new process counts by them before its first write is committed."""

    async def begin(self: Lease) -> None:
        await self._inherit()
        await self._env.open_watchdog(self.wanted.watchdog)
        self._in_force = self.wanted
        self._is_open = True

    patch.setattr(Lease, "_begin", begin)


def watchdog_shortened_after(patch: Patch) -> None:
    """W falls, and the device keeps the longer one until its lease is confirmed."""

    async def shorten(self: Lease) -> None:
        validity = min(self.wanted.validity, self._in_force.validity)
        self._in_force = replace(self._in_force, validity=validity)

    patch.setattr(Lease, "_shorten", shorten)


def an_old_document_is_enough(patch: Patch) -> None:
    """A start does not ask whether its document is etcd's newest."""

    async def require(env: SimEnv) -> None:
        if not await right.has_lease(env):
            raise right.NoRight(right.Why.NO_LEASE)

    patch.setattr(right, "require", require)


def inconsistent_is_promoted(patch: Patch) -> None:
    """The kernel makes a replica Primary that is Inconsistent or Outdated."""

    async def promote(self: SimEnv) -> bool:
        self._node.primary = True
        return True

    patch.setattr(SimEnv, "promote", promote)


def promise_that_is_not_kept(patch: Patch) -> None:
    """The taker goes on counting from its first reading."""

    async def promise(self: taking.Watch, node: str) -> None:
        return

    patch.setattr(taking.Watch, "promise", promise)


def promises_of_some(patch: Patch) -> None:
    """One member that promises is enough."""
    real = SimEnv.ask_promises

    async def ask(self: SimEnv, members: frozenset[str], head: str) -> frozenset[str]:
        return members if await real(self, members, head) else frozenset()

    patch.setattr(SimEnv, "ask_promises", ask)


# Each with the aim that finds it, and seeds of which each does.
MUTATIONS: dict[str, Mutation] = {
    "counted from the answer": Mutation(counted_from_the_answer, "last feeding", (1, 2, 5, 8)),
    "watchdog after the lease": Mutation(watchdog_after_the_lease, "not yet open", (2, 3, 4, 12)),
    "fed without a lease": Mutation(fed_without_a_lease, "start hangs", (1, 2, 3, 4)),
    "no start gate": Mutation(no_start_gate, "start hangs", (1, 2, 3, 4)),
    "opening feeds for ever": Mutation(
        opening_feeds_for_ever, "dies every second", (1, 3, 6, 7), keeps_descriptor=False
    ),
    "start without a lease": Mutation(start_without_a_lease, "not yet open", (2, 5, 7)),
    "an old document is enough": Mutation(
        an_old_document_is_enough, "moved meanwhile", (1, 3, 4, 5)
    ),
    "alone without a mark": Mutation(alone_without_a_mark, "parted and killed", (1, 2, 3, 5)),
    "alone although taken": Mutation(alone_although_taken, "false word", (1, 2, 3, 5)),
    "marks are not looked at": Mutation(
        taken_without_a_look_at_marks, "parted and killed", (1, 2, 3, 5)
    ),
    "marks are not compared": Mutation(
        taken_although_marked_meanwhile, "mark in between", (1, 2, 3, 5)
    ),
    "T is V and half of W": Mutation(waits_for_half_the_watchdog, "last feeding", (1, 2, 3, 4)),
    "taken although renewed": Mutation(taken_although_renewed, "taken too late", (1, 2, 3, 5)),
    "counted from before": Mutation(counted_from_before_the_reading, "last feeding", (1, 2, 3, 4)),
    "the longest V counts": Mutation(longest_validity_counts, "falling pace", (3, 4, 5, 6)),
    "an inherited V counts": Mutation(inherited_validity_counts, "falls and dies", (2, 3, 4, 5)),
    "a rising W counts at once": Mutation(
        rising_periods_count_at_once, "rises and dies", (1, 2, 3, 4)
    ),
    "a rising V counts at once": Mutation(
        rising_periods_count_at_once, "rises as etcd goes", (1, 2, 5, 6)
    ),
    "W falls after the write": Mutation(watchdog_shortened_after, "falling pace", (2, 3, 4, 5)),
    "Inconsistent is promoted": Mutation(
        inconsistent_is_promoted, "dies in a resync", (1, 2, 3, 5)
    ),
    "a promise is not kept": Mutation(promise_that_is_not_kept, "etcd gone", (1, 2, 6, 7)),
    "promises of some": Mutation(promises_of_some, "etcd gone and apart", (1, 2, 3, 5)),
}
