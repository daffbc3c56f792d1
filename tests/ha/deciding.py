"""The manager in the simulated world: it decides, and workers carry out what it orders.

The one guest is a service with a replica on n0 and n1. A fence device hangs beside the nodes; what
it answers when it is asked for the state is apart from what it answers to `off`.
"""

import contextlib
import functools
import json
from collections.abc import Callable
from dataclasses import dataclass

from mcv.document.availability import Ha
from mcv.document.ha_entries import HaEntry
from mcv.ha import peer_loss, right, taking, values
from mcv.ha.env import NothingNewer, Put, Txn, Unchanged, Unknown
from mcv.ha.manager import Manager, Office
from mcv.ha.taking import Evidence, Successor, Watch
from mcv.rules.ha import status
from mcv.rules.ha.actions import AnyAction, Declare, Fence, Start, TakeOver
from mcv.rules.ha.snapshot import FenceSeen, NodeSeen, Result, ServiceSeen, Snapshot
from tests.ha.sim import PROGRAMS, Programs
from tests.ha.sim_env import RESOURCE, SimEnv, back
from tests.ha.world import NODES, REPLICAS, Node, Process, Program, Violation, World

MODES = ("works", "hangs", "lies", "lies in both", "wrong plug", "none")
HANGS = 20.0  # s until an agent that hangs is given up


@dataclass
class Device:
    """The fence device of all nodes: how it behaves, and whether its plugs were tested."""

    mode: str

    @property
    def is_tested(self) -> bool:
        """A test would have found the wrong plug."""
        return self.mode not in ("wrong plug", "none")

    def off(self, world: World, node: str) -> None:
        """Switch a plug off."""
        if self.mode == "works":
            self._shoot(world, node)

    def _shoot(self, world: World, name: str) -> None:
        node = world.nodes[name]
        sent = world.lease_sent.get(name)
        is_quiet = sent is None or world.time - sent.at > 5.0
        if node.is_up and not is_quiet:
            raise Violation(f"{name}, whose lease was renewed just now, is shot")
        if node.is_up:
            world.power_off(node, "is switched off by its fence device", back_in=30.0)

    def says_off(self, world: World, node: str, by: str) -> bool:
        """What it answers when it is asked for the state afterwards."""
        if self.mode == "wrong plug":
            return True  # it is the plug of a machine outside
        if self.mode == "lies in both" and world.linked(by, node):
            return True
        return not world.nodes[node].is_up


class DecidingEnv(SimEnv):
    """What the manager may do besides, and what workers tell."""

    def __init__(self, process: Process, device: Device) -> None:
        super().__init__(process)
        self._device = device
        self._fences: dict[str, FenceSeen] = {}

    async def look(self) -> Snapshot:
        await self._turn("look")
        read = await self.txn(Txn(reads=(values.HEAD, values.STALE)))
        document = json.loads(read.entries[values.HEAD].value)
        mark = read.entries.get(values.stale_key(RESOURCE))
        told = [name for name in NODES if self._tells(name)]
        results = [self.world.results[name] for name in told if name in self.world.results]
        _, uid, outcome = max(results, default=(0.0, "", ""))
        return Snapshot(
            now=0.0,
            term=0,
            manager=self.node,
            ha=Ha(armed=True, pace=self.world.pace, start_grace=30),
            nodes={name: self._seen(name, document, name in told) for name in NODES},
            services={
                RESOURCE: ServiceSeen(
                    name=RESOURCE,
                    node=document["owner"],
                    entry=HaEntry(max_restarts=1000, max_relocates=1000),
                    runs=tuple(name for name in told if self.world.nodes[name].runs),
                    places={
                        name: self._lacks(name, document["owner"], mark is not None)
                        for name in REPLICAS
                    },
                    result=Result(uid=uid, outcome="done" if outcome == "done" else "failed"),
                )
            },
        )

    def _tells(self, name: str) -> bool:
        there = self.world.nodes[name]
        return self.world.linked(self.node, name) and not there.processes["mcvd"].is_held

    def _seen(self, name: str, document: dict[str, object], told: bool) -> NodeSeen:
        there = self.world.nodes[name]
        offline = document["offline"]
        assert isinstance(offline, list)
        return NodeSeen(
            name=name,
            status="offline" if name in offline else "online",
            evidence="lease" if name in offline else None,
            answers=("mcvd",) if told else (),
            told=told,
            boot=there.boot if told else "",
            is_empty=not (there.runs or there.primary) if told else None,
            can_fence=self._device.is_tested,
            fence=self._fences.get(name),
        )

    @staticmethod
    def _lacks(name: str, owner: str, is_marked: bool) -> str:
        return "its replica is marked stale" if is_marked and name != owner else ""

    async def begin(self, action: AnyAction, office: Office) -> None:
        await self._turn("begin")
        if isinstance(action, Fence):
            self._fence(action)
        elif isinstance(action, Declare):
            await self._declare(action, office)
        elif isinstance(action, TakeOver):
            await self._take_over(action, office)
        elif isinstance(action, Start) and self._tells(action.node):
            self.world.orders[action.node] = action.uid

    def _fence(self, action: Fence) -> None:
        """The agent: off, then asked; it ends with the manager's process."""
        world, life = self.world, self._process.life
        known = self._fences.get(action.node)
        if known is not None and known.uid == action.uid:
            return
        self._fences[action.node] = FenceSeen(uid=action.uid, outcome="running")

        def off() -> None:
            if life == self._process.life and not self._process.is_held:
                self._device.off(world, action.node)

        def asked() -> None:
            is_off = verified_off(self._device, world, action.node, self.node)
            outcome = FenceSeen(uid=action.uid, outcome="off" if is_off else "failed")
            self._fences[action.node] = outcome

        slow = HANGS if self._device.mode == "hangs" else world.delay(0.2, 0.5, 1.0)
        if self._device.mode != "hangs":
            world.at(world.delay(0.05, 0.1), off)
        world.at(slow, asked)

    async def _declare(self, action: Declare, office: Office) -> None:
        watch = self._process.node.watch
        seen = watch.seen.get(action.node) if watch is not None else None
        if seen is None or seen.revision != action.lease:
            return
        await self.reach("take")
        by = Evidence(action.evidence)
        compose = offline(action.node)
        if await taking.take(self, seen, action.node, by, compose, (office.compare,)):
            self.world.say(f"{self.node} declares {action.node} by {action.evidence}")

    async def _take_over(self, action: TakeOver, office: Office) -> None:
        read = await self.txn(Txn(reads=(values.HEAD, values.STALE)))
        document = json.loads(read.entries[values.HEAD].value)
        if action.node not in document["offline"] or document["owner"] != action.node:
            return
        if values.stale_key(RESOURCE) in read.entries:
            return
        document["owner"] = action.takers[RESOURCE]
        document["generation"] += 1
        compares = (
            Unchanged(values.HEAD, read.entries[values.HEAD].revision),
            NothingNewer(values.STALE, read.revision),
            office.compare,
        )
        txn = Txn(compares, (Put(values.HEAD, json.dumps(document)),))
        if (await self.txn(txn)).holds:
            self.world.takeovers += 1
            self.world.say(f"{self.node} gives the guest to {action.takers[RESOURCE]}")


def verified_off(device: Device, world: World, node: str, by: str) -> bool:
    """Whether a fencing counts: the device is asked for the state, apart from `off`."""
    return device.mode != "hangs" and device.says_off(world, node, by)


def offline(dead: str) -> taking.Compose:
    """Compose the document that calls a node offline; owners stay."""

    def compose(head: str, marked: frozenset[str]) -> Successor:
        document = json.loads(head)
        document["generation"] += 1
        document["offline"] = sorted({*document["offline"], dead})
        return Successor((Put(values.HEAD, json.dumps(document)),))

    return compose


def with_device(mode: str) -> Callable[[World], Programs]:
    """The programs of nodes that decide, and the device that hangs beside them."""

    def programs(world: World) -> Programs:
        world.judge = functools.partial(judge, world)
        return {**PROGRAMS, "mcvd": worker, "manager": deciding(Device(mode))}

    return programs


def judge(world: World, node: Node, txn: Txn) -> None:
    """Nobody but the holder of the office writes what the manager keeps."""
    for put in txn.puts:
        if put.key == values.STATUS and put.value is not None:
            holder = values.decode_holder(world.store[values.MANAGER][0])
            if (term := status.decode(put.value).term) != holder.term:
                raise Violation(
                    f"{node.name} writes in term {term}, and {holder.term} is the newest"
                )


def deciding(device: Device) -> Program:
    """The program of a node that may be the manager."""

    async def manager(process: Process) -> None:
        env = DecidingEnv(process, device)
        process.node.watch = watch = Watch(env)
        process.owned.append(lambda: setattr(process.node, "watch", None))
        process.world.lives += 1
        decider = Manager(env, watch, f"{env.boot}.{process.world.lives}")
        while True:
            with contextlib.suppress(Unknown):
                await decider.step()
            await env.sleep(process.world.delay(2.0, 1.5))

    return manager


async def worker(process: Process) -> None:
    """mcvd: take the newest document, carry out orders, be online again, clear marks."""
    env = SimEnv(process)
    while True:
        await env.sleep(process.world.delay(0.3, 0.6, 0.9))
        try:
            answer = await env.txn(Txn(reads=("head", values.LEASES, values.STALE)))
        except Unknown:
            continue
        await env.learn(answer.entries["head"].value)
        document = json.loads(answer.entries["head"].value)
        if env.node in document["offline"]:
            await _come_back(env)
        elif document["owner"] == env.node:
            await _ordered(env)
        mark = answer.entries.get(values.stale_key(RESOURCE))
        if mark is not None and process.world.in_step and document["owner"] == env.node:
            await peer_loss.clear(env, RESOURCE, mark.revision)


async def _come_back(env: SimEnv) -> None:
    if await right.has_lease(env) or await env.leftovers():
        return
    try:
        await taking.come_back(env, env.boot, env.periods, back(env.node))
    except Unknown:
        return


async def _ordered(env: SimEnv) -> None:
    """Start the guest where that is ordered, once for each order."""
    world, node = env.world, env.world.nodes[env.node]
    uid = world.orders.pop(env.node, "")
    if not uid or uid == world.results.get(env.node, (0.0, "", ""))[1]:
        return

    async def act() -> None:
        if not node.runs and await env.promote():
            await env.start()

    with contextlib.suppress(right.NoRight):
        await right.begin(env, act)
    world.results[env.node] = (world.time, uid, "done" if node.runs else "failed")
