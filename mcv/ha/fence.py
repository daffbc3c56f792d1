"""Switching a node's power off by its fence devices, and what counts as having done so.

A level of a node is one or several plugs, all of which have to be off: a host may have two power
supplies. Levels are tried in their order, by this node first, then by others that are in contact,
never by the node itself. A level has switched the node off once every agent's `off` has succeeded,
and a `status` after it says off, for every plug. Only plugs that were tested count: an untested
one may be another host's. `reboot` is never used: nobody could tell when the host was off.

Precondition of all of it: the uid of the fencing is written where the next manager reads it, and
there is no other fencing of the node.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum, auto
from typing import Protocol

from mcv.ha.env import Env
from mcv.ha.right import has_lease

CONFIRM = 20.0  # s in which `status` has to say off, from the end of `off` on
AGAIN = 1.0  # s between two looks


class Action(StrEnum):
    """What a plug's device is asked for."""

    OFF = auto()
    ON = auto()
    STATUS = auto()


class Said(StrEnum):
    """What became of it: `off` and `on` are done, or are what `status` says."""

    DONE = auto()
    ON = auto()
    OFF = auto()
    FAILED = auto()


@dataclass(frozen=True)
class Told:
    """A device's answer by its agent, and in words why there is none."""

    said: Said
    message: str = ""


@dataclass(frozen=True)
class PlugAt:
    """A plug of a device; `tested`: it was seen to switch that very node."""

    device: str
    port: str
    tested: bool

    def __str__(self) -> str:
        return f"{self.device}:{self.port}" if self.port else self.device


Level = tuple[PlugAt, ...]


@dataclass(frozen=True)
class Fencing:
    """An order to switch a node off.

    `under_lease`: this node looks at its own lease before each call of an agent, and makes no
    call without it. `resumed`: another manager may have begun with it, so `status` comes first.
    `untested`: a test, for which plugs count that were never tested.
    """

    uid: str
    node: str
    levels: tuple[Level, ...]
    under_lease: bool = True
    resumed: bool = False
    untested: bool = False


@dataclass(frozen=True)
class Outcome:
    """Whether the node is off: by which level, the first being 1, and by whose call.

    `seconds` is what that level took. `failures` has a line for each thing that went wrong.
    """

    is_off: bool
    level: int = 0
    by: str = ""
    seconds: float = 0.0
    failures: tuple[str, ...] = field(default=())

    @property
    def message(self) -> str:
        return "; ".join(self.failures)


class FenceEnv(Env, Protocol):
    """What whoever fences a node may do besides."""

    async def askers(self, target: str) -> tuple[str, ...]:
        """The nodes that can ask the target's devices: this one first, then those in contact."""

    async def agent(self, asker: str, order: Fencing, plug: PlugAt, action: Action) -> Told:
        """Have a node's agent ask a plug's device. Ends by itself: a time-out is a failure.

        Under a lease a call that is under way on this node ends with the lease.
        """


class LeaseEnded(Exception):
    """This node's lease has ended: the fencing is another manager's."""


class _NotOff(Exception):
    """A level has failed, in words."""


async def switch_off(env: FenceEnv, order: Fencing) -> Outcome:
    """Switch a node off, level by level. Raises LeaseEnded."""
    failures: list[str] = []
    levels = list(_that_count(order))
    if not levels:
        return Outcome(False, failures=(f"no level of {order.node} has tested plugs alone",))
    askers = [asker for asker in await env.askers(order.node) if asker != order.node]
    if not askers:
        return Outcome(False, failures=(f"no other node can ask {order.node}'s devices",))
    if order.resumed and (found := await _found_off(env, order, askers, levels)):
        return found
    for asker in askers:
        for number, level in levels:
            begun = await env.now()
            try:
                await _switch_level_off(env, order, asker, level)
            except _NotOff as error:
                failures.append(f"level {number}, asked by {asker}: {error}")
                await env.say(f"{order.node} is not switched off: {failures[-1]}")
                continue
            seconds = await env.now() - begun
            return Outcome(True, number, asker, seconds, tuple(failures))
    return Outcome(False, failures=tuple(failures))


def _that_count(order: Fencing) -> Iterator[tuple[int, Level]]:
    """The levels by number whose being off says that the node is."""
    for number, level in enumerate(order.levels, start=1):
        if level and (order.untested or all(plug.tested for plug in level)):
            yield number, level


async def _found_off(
    env: FenceEnv, order: Fencing, askers: list[str], levels: list[tuple[int, Level]]
) -> Outcome | None:
    """What an earlier manager has done already: a level whose plugs are all off."""
    for asker in askers:
        for number, level in levels:
            begun = await env.now()
            told = [await _call(env, order, asker, plug, Action.STATUS) for plug in level]
            if all(each.said is Said.OFF for each in told):
                return Outcome(True, number, asker, await env.now() - begun)
    return None


async def _switch_level_off(env: FenceEnv, order: Fencing, asker: str, level: Level) -> None:
    """All plugs are switched off first, and then asked: all have to be off together."""
    for plug in level:
        told = await _call(env, order, asker, plug, Action.OFF)
        if told.said is not Said.DONE:
            raise _NotOff(f"{plug} does not switch off: {told.message or told.said}")
    until = await env.now() + CONFIRM
    for plug in level:
        await _confirm(env, order, asker, plug, until)


async def _confirm(env: FenceEnv, order: Fencing, asker: str, plug: PlugAt, until: float) -> None:
    while True:
        told = await _call(env, order, asker, plug, Action.STATUS)
        # An answer that comes too late is none: the power may be on again.
        if await env.now() > until:
            raise _NotOff(f"{plug} was not seen off within {CONFIRM:.0f} s: {_in_words(told)}")
        if told.said is Said.OFF:
            return
        await env.sleep(AGAIN)


def _in_words(told: Told) -> str:
    return told.message or f"its status is {told.said}"


async def switch_on(env: FenceEnv, order: Fencing) -> Outcome:
    """Switch every plug of a node on, by whichever node can. Raises LeaseEnded.

    All levels: what a level has switched off that then failed comes on as well. `is_off` is False
    in any case; no failures: it is on.
    """
    plugs = list(dict.fromkeys(plug for level in order.levels for plug in level))
    askers = [asker for asker in await env.askers(order.node) if asker != order.node]
    failures = []
    for plug in plugs:
        told = Told(Said.FAILED, f"no other node can ask {order.node}'s devices")
        for asker in askers:
            told = await _call(env, order, asker, plug, Action.ON)
            if told.said is Said.DONE:
                break
        if told.said is not Said.DONE:
            failures.append(f"{plug} does not switch on: {told.message or told.said}")
    return Outcome(False, failures=tuple(failures))


async def _call(env: FenceEnv, order: Fencing, asker: str, plug: PlugAt, action: Action) -> Told:
    """A call of an agent, which nobody makes whose lease has ended. Raises LeaseEnded."""
    if order.under_lease and not await has_lease(env):
        raise LeaseEnded
    return await env.agent(asker, order, plug, action)
