"""The lease of a node: its right to run guests, which the watchdog enforces.

The lease is valid until s + V, where s is the moment before the sending of the newest write that
is known to be committed. The watchdog is fed only while the lease is valid, or while nothing of
mcv's runs and nothing can start. A host that does neither in time is reset by its watchdog.

Until the first lease of a boot nothing stands on one: guests that run while the node is being
armed are left alone, and the watchdog is fed.
"""

from dataclasses import dataclass, replace

from mcv.ha import values
from mcv.ha.env import Answer, LeaseEnv, LeaseFile, Put, Txn, Unchanged, Unknown
from mcv.ha.timing import PACES, Timing, at_pace
from mcv.ha.values import Held, Taken
from mcv.ha.values import OnLost as OnLost

STUCK = 2.0  # s after the end of the lease that a task in state D has to end
AGAIN = 1.0  # s between two looks at what is left
RELEASES = 3  # tries to have a lease deleted that is given back


@dataclass(frozen=True)
class Sent:
    """A write of the lease: when it was about to be sent, and the periods that it announces."""

    at: float
    timing: Timing


class Lease:
    """One process's knowledge of its node's lease; `step` is called every quarter of a second."""

    def __init__(
        self,
        env: LeaseEnv,
        timing: Timing,
        *,
        proves: bool = True,
        on_lost: OnLost = OnLost.STOP,
    ) -> None:
        self._env = env
        self._key = values.lease_key(env.node)
        self.proves = proves
        self.on_lost = on_lost
        self.wanted = timing
        self._in_force = timing  # what the lease may be counted by
        self._sequence = 0
        self._revision: int | None = None  # of the key; None until it was read
        self._is_taken = False
        self._sent: dict[int, Sent] = {}  # by sequence
        self._pending: dict[int, int] = {}  # number of a transaction -> sequence
        self._next = 0.0
        self._confirmed: float | None = None  # s
        self._inherited = 0.0  # until when an earlier process of this boot had it
        self._published: LeaseFile | None = None
        self._is_open = False
        self._is_gate_closed = False
        self._has_had_one = False  # a lease, in this boot
        self._lost: float | None = None  # since when there is none
        self._looked = 0.0

    @property
    def until(self) -> float:
        """When the lease ends, by CLOCK_BOOTTIME; 0 without one."""
        if self._is_taken:
            return 0.0
        if self._confirmed is None:
            return self._inherited
        return max(self._confirmed + self._in_force.validity, self._inherited)

    async def step(self) -> None:
        """Hear the answers, renew the lease where it is time, and feed the watchdog or not."""
        if not self._is_open:
            await self._begin()
        await self._hear()
        await self._count_promises()
        now = await self._env.now()
        if now >= self._next:
            self._next = now + self.wanted.renewal
            await self._renew()
        if not await self._feed():
            await self._go_without()

    async def _begin(self) -> None:
        """Take over from an earlier process of this boot, and open the watchdog.

        The watchdog is opened before the lease is asked for: a lease that nothing enforces is
        none. Opening and closing the device feed it, so a process that is started again and
        again could feed for ever: where the lease has ended and something of mcv's is left, the
        host is reset at once.
        """
        await self._inherit()
        wanted = self.wanted
        counts = await self._env.open_watchdog(wanted.watchdog, or_less=self._has_had_one)
        self._in_force = replace(self._in_force, watchdog=counts)
        self._is_open = True

    async def _inherit(self) -> None:
        """Know of a lease that an earlier process had.

        What it has announced is not known before etcd is read, which may not answer. So until a
        write of this one is committed no promise counts for longer than at the usual pace, and
        the watchdog counts what it did: neither is more than was announced.
        """
        file = await self._env.lease_file()
        if file is None or file.boot != self._env.boot:
            return
        self._has_had_one = True
        self._in_force = self.wanted.no_longer_than(at_pace(PACES[0]))
        self._inherited = file.until
        self._published = file
        if await self._env.now() >= file.until and await self._env.leftovers():
            await self._env.say("the lease has ended, and something still runs: reset")
            await self._env.reset()

    async def leave(self) -> bool:
        """Give the lease back if nothing runs and nothing can begin; whether that was done.

        The start gate is then held alone until the process has ended.
        """
        if not self._is_open or await self._env.leftovers() or not await self._nothing_can_begin():
            return False
        await self._env.withdraw()
        await self.give_back()
        return True

    async def give_back(self) -> None:
        """Delete the lease, and have the watchdog count no more.

        Precondition: nothing runs and nothing can begin, or no node is armed by the document.
        A lease that cannot be deleted ends by itself.
        """
        tries = RELEASES
        while tries and self._revision and not self._is_taken and not await self._release():
            tries -= 1
            await self._env.feed(None)
        await self._env.withdraw()
        if self._is_open:
            await self._env.close_watchdog()

    async def _release(self) -> bool:
        """Delete the key, unless somebody else has written it; whether that is known."""
        assert self._revision is not None
        compare = Unchanged(self._key, self._revision)
        try:
            answer = await self._env.txn(Txn((compare,), (Put(self._key, None),), (self._key,)))
        except Unknown:
            return False
        await self._learn(answer)
        return answer.holds or self._is_taken

    # The lease in etcd

    async def _renew(self) -> None:
        if self._revision is None or self._is_taken:
            await self._send(Txn(reads=(self._key,)), 0)
            return
        await self._shorten()
        self._sequence += 1
        timing = self.wanted
        held = Held.by(timing, self._env.boot, self._sequence, self.proves)
        sent = Sent(await self._env.now(), timing)
        self._bound_what_is_inherited(sent)
        self._forget_ended(sent.at)
        self._sent[self._sequence] = sent
        compare = Unchanged(self._key, self._revision)
        put = Put(self._key, held.encode())
        await self._send(Txn((compare,), (put,), (self._key,)), self._sequence)

    async def _send(self, txn: Txn, sequence: int) -> None:
        self._pending[await self._env.send(txn)] = sequence

    async def _shorten(self) -> None:
        """Shorter periods hold from before the write that announces them.

        A taker counts by what the lease says, and the write may be committed unheard.
        """
        if self.wanted.watchdog < self._in_force.watchdog:
            await self._env.set_watchdog(self.wanted.watchdog)
        self._in_force = self.wanted.no_longer_than(self._in_force)

    def _bound_what_is_inherited(self, sent: Sent) -> None:
        """An earlier process of this boot may have counted by a longer period than this write says.

        A taker counts by what the lease says, from after this moment.
        """
        self._inherited = min(self._inherited, sent.at + sent.timing.validity)

    def _forget_ended(self, now: float) -> None:
        """Writes that would make no lease valid any more: without etcd they would pile up."""
        sent = self._sent.items()
        self._sent = {one: each for one, each in sent if now < each.at + each.timing.validity}

    async def _hear(self) -> None:
        for number in list(self._pending):
            outcome = await self._env.outcome(number)
            if outcome is None:
                continue
            del self._pending[number]
            if not isinstance(outcome, Unknown):
                await self._learn(outcome)

    async def _learn(self, answer: Answer) -> None:
        """Know what stands at the key, unless something newer is known already.

        An answer that was lost is found here by the next one: the boot id and the sequence at
        the key tell which write was committed.
        """
        entry = answer.entries.get(self._key)
        revision = entry.revision if entry else 0
        if self._revision is not None and revision < self._revision:
            return
        if self._revision is None:
            self._next = 0.0
        self._revision = revision
        if entry is None:
            return
        try:
            found = values.decode(entry.value)
        except ValueError as error:
            await self._env.say(f"what stands at {self._key} is written over: {error}")
            return
        if isinstance(found, Taken):
            if not self._is_taken:
                await self._env.say(f"the lease was taken by {found.by}: {found.evidence}")
            self._is_taken = True
            self._confirmed = None
            self._inherited = 0.0
            return
        self._is_taken = False
        if found.boot == self._env.boot:
            await self._confirm(found.sequence)

    async def _confirm(self, sequence: int) -> None:
        self._sequence = max(self._sequence, sequence)
        sent = self._sent.get(sequence)
        if sent is None:
            return
        self._confirmed = max(self._confirmed or sent.at, await self._counted_from(sent))
        self._sent = {one: each for one, each in self._sent.items() if one > sequence}
        if sent.timing == self.wanted and self.wanted != self._in_force:
            await self._env.set_watchdog(self.wanted.watchdog)
            self._in_force = self.wanted

    async def _counted_from(self, sent: Sent) -> float:
        return sent.at

    async def _count_promises(self) -> None:
        """Count what all members have promised as a write that was sent before they were asked.

        Only while the lease is valid: then no taking is under way, and none begins within T of
        the promises. See failsafe.py.
        """
        last = self._confirmed or 0.0
        if await self._env.now() < last + self._in_force.renewal:
            return
        sent = await self._env.promised()
        is_newer = (sent or 0.0) > last and not self._is_taken
        if is_newer and await self._env.now() < self.until:
            self._confirmed = sent

    # The watchdog

    async def _feed(self) -> bool:
        """Feed the watchdog if the lease is valid; its end is published before."""
        if await self._env.now() >= self.until:
            return False
        file = LeaseFile(self._env.boot, self.until)
        if file != self._published:
            if await self._env.publish(file):
                self._published = file
            elif not self._has_had_one:
                return False
        self._lost = None
        self._has_had_one = True
        if self._is_gate_closed:
            await self._env.open_gate()
            self._is_gate_closed = False
        return await self._env.feed(self.until)

    async def _go_without(self) -> None:
        """Look after what is left, once a second; before the first lease there is no hurry."""
        if not self._has_had_one:
            await self._env.feed(None)
        now = await self._env.now()
        if self._lost is None:
            self._lost = now
        if now < self._looked + AGAIN:
            return
        self._looked = now
        if self._has_had_one:
            await self._end(is_patient=now < self._lost + STUCK)
        elif not await self._env.leftovers():
            await self._nothing_can_begin()

    async def _end(self, is_patient: bool) -> None:
        """Without a lease: end what runs, then feed only while nothing can begin.

        SIGKILL does not end a task whose write waits in a suspended replica: the host is reset,
        and the write makes no new data generation.
        """
        left = await self._env.leftovers()
        if left and self.on_lost is OnLost.RESET:
            await self._env.reset()
        if left.stuck and not is_patient:
            await self._env.say(f"{', '.join(left.stuck)} cannot be ended: reset")
            await self._env.reset()
        if left:
            await self._env.kill()
        elif await self._nothing_can_begin():
            await self._env.feed(None)

    async def _nothing_can_begin(self) -> bool:
        """Whether the start gate is held alone, and nothing came through it before."""
        if not self._is_gate_closed:
            self._is_gate_closed = await self._env.close_gate()
        return self._is_gate_closed and not await self._env.leftovers()
