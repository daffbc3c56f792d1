"""mcvd of one of two simulated nodes: mcv/ha/pair.py decides, mcv/ha/fence.py switches off."""

from typing import Literal

from mcv.document.availability import Ha
from mcv.document.ha_entries import HaEntry
from mcv.ha.env import Answer, LeaseFile, Txn
from mcv.ha.fence import Action, Fencing, PlugAt, Said, Told, switch_off, switch_on
from mcv.ha.pair import NEVER, Pair, term_of
from mcv.rules.ha.actions import (
    AnyAction,
    Declare,
    Distrust,
    Fence,
    GoOn,
    Start,
    SwitchOn,
    TakeOver,
)
from mcv.rules.ha.snapshot import FenceSeen, NodeSeen, Result, ServiceSeen, Snapshot
from mcv.rules.ha.status import Status
from tests.ha.fence_devices import AGENT, Mode
from tests.ha.shooting import OUTSIDE
from tests.ha.two_world import Node, TwoWorld
from tests.ha.world import Wait

DELAY = 40.0  # s that the second node waits: twice the longest shot of these devices, and more
GUEST = "r"


class Daemon:
    """One life of a node's daemon: what it may do (PairEnv, FenceEnv), and what it knows."""

    def __init__(self, world: TwoWorld, node: Node) -> None:
        self._world, self._node = world, node
        self._fences: dict[str, FenceSeen] = {}
        self._boot = ""  # of the peer, as it told last
        self._ordered: set[str] = set()
        self._result: Result | None = None
        self.node, self.boot = node.name, str(node.boots)

    async def _turn(self) -> None:
        self._world.may_die()
        if self._world.random.random() < 0.02:
            await Wait(self._world.time + self._world.random.choice((0.1, 1.0, 3.0)))

    async def now(self) -> float:
        await self._turn()
        return self._world.time

    async def sleep(self, seconds: float) -> None:
        await Wait(self._world.time + seconds)

    async def say(self, text: str) -> None:
        self._world.say(f"{self.node}: {text}")

    async def txn(self, txn: Txn) -> Answer:
        raise NotImplementedError

    async def lease_file(self) -> LeaseFile | None:
        return None

    # Deciding

    async def term(self, above: int) -> int:
        return term_of(self._node.document.generation, int(self.node == "n2"), above)

    async def kept(self) -> Status:
        return self._node.kept

    async def keep(self, status: Status) -> None:
        await self._turn()
        self._node.kept = status

    async def look(self) -> Snapshot:
        await self._turn()
        node, peer = self._node, self._world.other(self._node)
        told = self._world.are_connected and peer.mcvd is not None
        if self._world.are_connected:
            node.contact, node.goes_on = self._world.time, False
        if told:
            node.met, self._boot = True, str(peer.boots)
        document = node.document
        runs = [each.name for each in (node, peer) if each.runs and (each is node or told)]
        guest = ServiceSeen(
            name=GUEST,
            node=document.owner,
            entry=HaEntry(max_restarts=1000, max_relocates=1000),
            runs=tuple(runs),
            places=dict.fromkeys(self._world.nodes, ""),
            result=self._result,
        )
        return Snapshot(
            now=0.0,
            term=0,
            manager="",
            ha=Ha(armed=True, start_grace=20, on_fence_failure=self._world.on_fence_failure),  # type: ignore[arg-type]
            nodes={
                node.name: NodeSeen(name=node.name, status=_status(node, node.name)),
                peer.name: await self._peer(peer, told),
            },
            services={GUEST: guest},
            changes=told or peer.name in document.offline,
        )

    async def _peer(self, peer: Node, told: bool) -> NodeSeen:
        node, world = self._node, self._world
        is_offline = peer.name in node.document.offline
        silence = NEVER if node.contact is None else world.time - node.contact
        turn = 0.0 if node.document.owner == node.name else DELAY
        void = ""
        if turn and not is_offline and turn <= silence < NEVER:
            said = await self.agent(
                self.node, _order(self.node, ""), _plug(self.node), Action.STATUS
            )
            void = "its own plug says off" if said.said is Said.OFF else ""
        return NodeSeen(
            name=peer.name,
            status=_status(node, peer.name),
            evidence="off" if is_offline else None,
            answers=("mcvd",) if told else ("DRBD",) if world.are_connected else (),
            silence=silence,
            told=told,
            is_empty=not peer.runs if told else None,
            can_fence=peer.name not in world.untested,
            fence=self._fences.get(peer.name),
            turn=turn,
            shot=3 * DELAY,
            void=void,
            boot=self._boot,
            contact=node.met,
        )

    async def begin(self, action: AnyAction, term: int) -> None:
        await self._turn()
        world, node = self._world, self._node
        match action:
            case Fence(uid=uid, node=name):
                known = self._fences.get(name)
                if known is None or (known.uid != uid and known.outcome != "running"):
                    self._fences[name] = FenceSeen(uid=uid, outcome="running")
                    resumed = not uid.startswith(f"{term}.")
                    world.spawn(node, self._shoot(uid, name, resumed))
            case SwitchOn(uid=uid, node=name):
                if uid not in self._ordered:
                    self._ordered.add(uid)
                    world.spawn(node, self._switch_on(uid, name))
            case Declare(node=name, evidence=evidence):
                if not world.are_connected and name not in node.document.offline:
                    world.declare(node, name, evidence)
            case TakeOver(node=name):
                if name in node.document.offline and node.document.owner == name:
                    world.change(node, owner=node.name)
            case Distrust(node=name):
                world.say(f"{node.name} distrusts the plug of {name}")
                world.untested.add(name)
            case GoOn():
                node.goes_on = True
            case Start(uid=uid, node=name):
                if uid not in self._ordered:
                    self._ordered.add(uid)
                    owner = world.nodes[name]
                    if owner is node or world.are_connected:
                        world.spawn(node, self._start(uid, owner))

    async def _start(self, uid: str, owner: Node) -> None:
        await self.sleep(self._world.random.uniform(0.2, 3.0))
        self._world.start(owner)
        self._result = Result(uid=uid, outcome="done" if owner.runs else "failed")

    # Fencing

    async def _shoot(self, uid: str, name: str, resumed: bool) -> None:
        outcome = await switch_off(self, _order(name, uid, resumed))
        said = "off" if outcome.is_off else "failed"
        self._fences[name] = FenceSeen(uid=uid, outcome=said, message=outcome.message)  # type: ignore[arg-type]

    async def _switch_on(self, uid: str, name: str) -> None:
        outcome = await switch_on(self, _order(name, uid))
        said = "failed" if outcome.failures else "on"
        self._fences[name] = FenceSeen(uid=uid, outcome=said)  # type: ignore[arg-type]

    async def askers(self, target: str) -> tuple[str, ...]:
        return (self.node,)

    async def agent(self, asker: str, order: Fencing, plug: PlugAt, action: Action) -> Told:
        await self._turn()
        world = self._world
        await Wait(world.time + AGENT)
        is_on = {name: node.is_up for name, node in world.nodes.items()} | {OUTSIDE: False}
        answer = world.devices.answer(asker, plug, action, is_on)
        host = world.devices.wired.get(str(plug), OUTSIDE)
        lies = world.devices.modes.get(str(plug)) is Mode.LIE_IN_BOTH
        if lies and host in world.nodes and not world.are_connected and world.nodes[host].is_up:
            # It lies as long as the host is in contact: a lie that a test did not find.
            answer.told = Told(Said.FAILED, "the agent failed with 1")
        if answer.switches is not None and host in world.nodes:
            world.at(answer.after, lambda: world.switch(self.node, host, action))
        await Wait(world.time + max(0.0, answer.seconds - AGENT))
        return answer.told


def _status(node: Node, name: str) -> Literal["online", "offline"]:
    return "offline" if name in node.document.offline else "online"


def _plug(node: str) -> PlugAt:
    return PlugAt("pdu", node, True)


def _order(node: str, uid: str, resumed: bool = False) -> Fencing:
    return Fencing(uid, node, ((_plug(node),),), under_lease=False, resumed=resumed)


async def daemon(world: TwoWorld, node: Node) -> None:
    """The loop of mcvd: a round every two seconds."""
    env = Daemon(world, node)
    pair = Pair(env)
    while True:
        await pair.step()
        await env.sleep(world.random.uniform(1.8, 2.5))
