"""Two nodes without a witness in true time: a link, a disk each, power, and fence devices beside.

The one guest writes on and on. Its writes are acknowledged once both disks have them, or, where the
handler lets it go on alone, once its own has. Daemons are coroutines: between any two of their
calls they may be killed. What must never be is looked at after every change.
"""

import contextlib
import heapq
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace

from mcv.ha import pair_loss
from mcv.ha.env import Answer, Facts, LeaseFile, Txn
from mcv.ha.fence import Action
from mcv.ha.peer_loss import ALONE, FENCED, OUTDATED
from mcv.rules.ha.status import Status
from tests.ha.fence_devices import Devices, Mode
from tests.ha.world import Killed, Violation, Wait

NODES = ("n1", "n2")
TICK = 0.25  # s between two looks at the guest
NOTICED = 5.0  # s after which DRBD has noticed a loss


@dataclass(frozen=True)
class Document:
    """What both have to agree on while both are online; `epoch` counts declarations of death."""

    epoch: int = 1
    generation: int = 1
    owner: str = "n1"
    offline: frozenset[str] = frozenset()


@dataclass
class Node:
    """A host, its disk, its daemon's memory (`mcvd`), and what outlives that."""

    name: str
    document: Document = Document()
    is_up: bool = True
    boots: int = 1
    runs: bool = False
    suspended: bool = False  # the guest's I/O
    alone: bool = False  # it writes without the peer
    disk: int = 0  # the last write that it holds
    behind: bool = False  # the disk is known to lack writes
    kept: Status = field(default_factory=Status)
    met: bool = False  # in contact with the other since its boot
    contact: float | None = None  # the last one since the daemon began
    goes_on: bool = False  # on-fence-failure has said so
    life: int = 0
    mcvd: Coroutine[Wait, None, None] | None = None
    parts: list[Coroutine[Wait, None, None]] = field(default_factory=list)
    handler: Coroutine[Wait, None, int] | None = None


class TwoWorld:
    """The truth. `program` is a node's daemon."""

    def __init__(
        self,
        seed: int,
        program: Callable[["TwoWorld", Node], Coroutine[Wait, None, None]],
        devices: Devices,
        *,
        deaths: float = 0.0,
        on_fence_failure: str = "wait",
    ) -> None:
        self.random = random.Random(seed)
        self.time = 0.0
        self.devices = devices
        self.deaths = deaths  # the chance that a daemon is killed at a call
        self.on_fence_failure = on_fence_failure
        self.is_linked = True
        self.parted = 0.0  # when the link was cut, or a host lost, last
        self.acknowledged = 0
        self.shots: list[tuple[str, str]] = []  # (by, target), as the power went
        self.log: list[str] = []  # what has happened, for a failed test
        self.violation = ""
        self.untested: set[str] = set()  # nodes whose plugs count for nothing
        self.nodes = {name: Node(name, met=True) for name in NODES}
        self._program = program
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        for node in self.nodes.values():
            self.begin(node)
        self.at(TICK, self._tick)

    # Time, and programs

    def at(self, delay: float, action: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (self.time + delay, self._count, action))

    def run(self, until: float) -> None:
        while self._events and self._events[0][0] <= until:
            self.time, _, action = heapq.heappop(self._events)
            action()
            self._look()
        self.time = until

    def say(self, text: str) -> None:
        self.log.append(f"{self.time:7.2f} {text}")

    def begin(self, node: Node) -> None:
        """The daemon of a node begins anew: what was only in its memory is gone."""
        self._stop(node)
        node.contact, node.goes_on = None, False
        node.mcvd = self._program(self, node)
        self.spawn(node, node.mcvd)

    def restart(self, node: Node) -> None:
        """The same on a host that is up, at an operator's word."""
        if node.is_up:
            self.begin(node)

    def close(self) -> None:
        """The world ends, with every program."""
        for node in self.nodes.values():
            self._stop(node)

    def spawn(self, node: Node, coroutine: Coroutine[Wait, None, None]) -> None:
        """Run a part of the node's daemon, which ends with it."""
        node.parts.append(coroutine)
        life = node.life
        self.at(0.0, lambda: self._step(node, life, coroutine))

    def _stop(self, node: Node) -> None:
        node.life += 1
        node.mcvd = None
        for part in node.parts:
            with contextlib.suppress(ValueError):  # it is the one that ends it
                part.close()
        node.parts = []

    def _step(self, node: Node, life: int, part: Coroutine[Wait, None, None]) -> None:
        if life != node.life:
            return
        try:
            wait = part.send(None)
        except StopIteration:
            return
        except Killed:
            self.say(f"{node.name}'s daemon is killed")
            self._stop(node)
            again = node.life
            self.at(self.random.uniform(1, 6), lambda: self._again(node, again))
            return
        self.at(max(0.0, wait.until - self.time), lambda: self._step(node, life, part))

    def _again(self, node: Node, life: int) -> None:
        if node.life == life and node.is_up:
            self.begin(node)

    def may_die(self) -> None:
        """Between two calls of a daemon."""
        if self.random.random() < self.deaths:
            raise Killed

    # What befalls

    def other(self, node: Node) -> Node:
        return self.nodes["n2" if node.name == "n1" else "n1"]

    @property
    def are_connected(self) -> bool:
        return self.is_linked and all(node.is_up for node in self.nodes.values())

    def cut(self) -> None:
        self.say("the link is cut")
        self.is_linked, self.parted = False, self.time

    def heal(self) -> None:
        self.say("the link is there again")
        self.is_linked = True

    def switch(self, by: str, name: str, action: Action) -> None:
        """A device switches a host."""
        if action is Action.ON:
            self.power_on(self.nodes[name])
        elif self.nodes[name].is_up:
            self.shots.append((by, name))
            self.power_off(self.nodes[name], f"is switched off by {by}'s agent")

    def power_off(self, node: Node, why: str) -> None:
        if not node.is_up:
            return
        self.say(f"{node.name} {why}")
        node.is_up = node.runs = node.suspended = node.alone = node.met = False
        node.handler = None
        self.parted = self.time
        self._stop(node)

    def power_on(self, node: Node) -> None:
        if node.is_up:
            return
        self.say(f"{node.name} boots")
        node.is_up = True
        node.boots += 1
        self.begin(node)

    # The guest

    def start(self, node: Node) -> None:
        """DRBD lets a replica be promoted that is whole; its handler says whether alone."""
        if node.runs or not node.is_up:
            return
        peer = self.other(node)
        is_alone = peer.name in node.document.offline
        if node.document.owner != node.name or not (is_alone or self.are_connected):
            self.say(f"{node.name} may not start the guest")
            return
        self.say(f"the guest starts on {node.name}")
        node.runs, node.alone = True, is_alone and not self.are_connected
        if node.disk < self.acknowledged:
            raise Violation(f"{self.acknowledged - node.disk} acknowledged writes are lost")

    def _tick(self) -> None:
        self.at(TICK, self._tick)
        if self.are_connected:
            self._meet()
        for node in self.nodes.values():
            if node.runs:
                self._write(node)

    def _write(self, node: Node) -> None:
        peer = self.other(node)
        if self.are_connected:
            node.suspended = node.alone = False
            node.handler = None
            node.disk = peer.disk = self.acknowledged = self.acknowledged + 1
        elif node.alone:
            node.disk = self.acknowledged = self.acknowledged + 1
            peer.behind = True
        else:
            self._suspend(node)

    def _suspend(self, node: Node) -> None:
        """Writes stand still; the handler is asked once DRBD has noticed, again when it ends."""
        node.suspended = True
        if self.time < self.parted + NOTICED:
            return
        if node.handler is None:
            node.handler = pair_loss.decide(HandlerView(self, node), "r", 540.0)
        try:
            node.handler.send(None)
        except StopIteration as ended:
            node.handler = None
            if ended.value in (FENCED, OUTDATED, ALONE):
                self.say(f"{node.name} goes on alone: {ended.value}")
                node.suspended, node.alone = False, True

    def _meet(self) -> None:
        """Both see each other: the newer document counts, and the older replica is resynced."""
        one, two = self.nodes.values()
        newest = max(one.document, two.document, key=lambda each: (each.epoch, each.generation))
        one.document = two.document = newest
        for node in (one, two):
            peer = self.other(node)
            if node.runs and node.name != newest.owner:
                raise Violation(f"the guest runs on {node.name}, and {newest.owner} owns it")
            if node.disk < peer.disk:
                node.disk = peer.disk
            node.behind = False
            if node.name in newest.offline:
                self.change(node, offline=newest.offline - {node.name})

    def change(self, node: Node, **values: object) -> bool:
        """A change of the document: all that it calls online take part."""
        peer = self.other(node)
        is_needed = peer.name not in node.document.offline
        if is_needed and (not self.are_connected or peer.mcvd is None):
            return False
        new = replace(node.document, generation=node.document.generation + 1, **values)  # type: ignore[arg-type]
        node.document = new
        if self.are_connected:
            peer.document = new
        return True

    def declare(self, node: Node, name: str, evidence: str) -> None:
        """The dead are not asked; a node without power is dead."""
        old = node.document
        offline = old.offline | {name}
        self.say(f"{node.name} declares {name}: {evidence}")
        node.document = replace(
            old, epoch=old.epoch + 1, generation=old.generation + 1, offline=offline
        )

    def _look(self) -> None:
        if all(node.runs and node.is_up for node in self.nodes.values()):
            if all(not node.suspended for node in self.nodes.values()):
                raise Violation("the guest runs twice, and writes")
            raise Violation("the guest runs twice")


class HandlerView:
    """What the handler of a node sees: see HandlerEnv."""

    def __init__(self, world: TwoWorld, node: Node) -> None:
        self._world, self._node = world, node
        self.node, self.boot = node.name, str(node.boots)

    async def now(self) -> float:
        return self._world.time

    async def sleep(self, seconds: float) -> None:
        await Wait(self._world.time + seconds)

    async def say(self, text: str) -> None:
        self._world.say(f"{self.node}'s handler: {text}")

    async def txn(self, txn: Txn) -> Answer:
        raise NotImplementedError("two nodes have no etcd")

    async def lease_file(self) -> LeaseFile | None:
        return None

    async def facts(self, resource: str) -> Facts:
        document, peer = self._node.document, self._world.other(self._node)
        return Facts(
            owner=document.owner,
            peer=peer.name,
            peer_is_offline=peer.name in document.offline,
            head="",
            waits=not self._node.goes_on,
            is_online=self.node not in document.offline,
        )

    async def outdate(self, resource: str, peer: str) -> bool | None:
        return None


def plugs(mode: Mode = Mode.WELL) -> Devices:
    """A plug for each node, in a mode."""
    return Devices({f"pdu:{name}": name for name in NODES}, {f"pdu:{name}": mode for name in NODES})
