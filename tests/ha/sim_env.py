"""mcv/ha/env.py over the simulated world; between any two calls a process may be hit."""

import json
from dataclasses import replace

from mcv.ha import failsafe, timing, values
from mcv.ha.env import Answer, Facts, LeaseFile, Leftovers, Put, Txn, Unknown
from mcv.ha.taking import Compose, Successor
from tests.ha.world import FOR_EVER, NODES, REPLICAS, TRY, Killed, Node, Process, Sent, Wait, World

RESOURCE = "r"


class SimEnv:
    """All verbs, for every part; a part uses those that its own protocol names."""

    def __init__(self, process: Process, node: Node | None = None) -> None:
        self._process = process
        self._world: World = process.world
        self._node: Node = node or process.node
        self._asked = 0.0  # true time at which promises were asked for
        self._sent: dict[int, tuple[float, list[Answer | Unknown]]] = {}

    @property
    def node(self) -> str:
        return self._node.name

    @property
    def boot(self) -> str:
        return self._node.boot

    @property
    def world(self) -> World:
        return self._world

    @property
    def periods(self) -> timing.Timing:
        """As the document's pace has them."""
        return timing.at_pace(self._world.pace)

    async def _turn(self, call: str) -> None:
        """Before each call: here the process is killed, stopped, or overtaken by others."""
        process = self._process
        process.calls += 1
        self._world.eyes.before(process, call)
        if process.kill_at == process.calls:
            process.kill_at = None
            self._world.say(f"{self.node} {process.name} is killed at call {process.calls}")
            raise Killed
        if process.is_held:
            await Wait(FOR_EVER, lambda: not process.is_held)
        elif self._world.random.random() < 0.01:
            await Wait(self._world.time + self._world.random.choice((0.01, 0.1, 0.5)))

    async def now(self) -> float:
        await self._turn("now")
        return self._world.clock(self._node)

    async def sleep(self, seconds: float) -> None:
        await Wait(self._world.time + seconds / self._node.rate)

    async def say(self, text: str) -> None:
        self._world.say(f"{self.node} {self._process.name}: {text}")

    async def txn(self, txn: Txn) -> Answer:
        await self._turn("txn")
        answers = self._world.send(self._node, txn)
        await Wait(self._world.time + TRY, lambda: bool(answers))
        await self._turn("answered")
        if not answers or isinstance(answers[0], Unknown):
            raise Unknown
        return answers[0]

    async def lease_file(self) -> LeaseFile | None:
        await self._turn("lease_file")
        return self._node.lease_file

    async def reach(self, point: str) -> None:
        """A point of a program that is no call: faults may be aimed at it."""
        await self._turn(point)

    # mcv-lease

    async def send(self, txn: Txn) -> int:
        await self._turn("send")
        number = len(self._sent) + 1
        sent = self._world.time

        def note(answer: Answer) -> None:
            for put in txn.puts if answer.holds else ():
                held = values.decode(put.value or "")
                if isinstance(held, values.Held):
                    # A round of promises may be newer than a write that was under way.
                    before = self._world.lease_sent.get(self.node)
                    at = max(sent, before.at if before else 0.0)
                    self._world.lease_sent[self.node] = Sent(at, held.validity, held.watchdog)

        self._sent[number] = (sent, self._world.send(self._node, txn, note))
        return number

    async def outcome(self, number: int) -> Answer | Unknown | None:
        await self._turn("outcome")
        sent, answers = self._sent[number]
        if answers:
            return answers[0]
        return Unknown() if self._world.time > sent + TRY else None

    async def promised(self) -> float | None:
        await self._turn("promised")
        file = self._node.promises
        return file.until if file is not None and file.boot == self.boot else None

    async def publish(self, file: LeaseFile) -> bool:
        await self._turn("publish")
        self._node.lease_file = file
        self._world.eyes.after(self._process, "publish")
        return True

    async def withdraw(self) -> None:
        await self._turn("withdraw")
        self._node.lease_file = None

    async def open_watchdog(self, timeout: float, *, or_less: bool = False) -> float:
        await self._turn("open_watchdog")
        world, node = self._world, self._node
        if node.fed is None or not world.keeps_descriptor:
            node.fed = world.time
        node.timeout = min(timeout, node.timeout) if or_less else timeout
        if not world.keeps_descriptor:
            self._process.owned.append(self._closed)
        return node.timeout

    def _closed(self) -> None:
        """Without systemd's copy of the descriptor the end of the process feeds."""
        if self._node.fed is not None:
            self._node.fed = self._world.time

    async def set_watchdog(self, timeout: float) -> None:
        await self._turn("set_watchdog")
        if self._node.fed is not None:
            self._node.fed, self._node.timeout = self._world.time, timeout

    async def feed(self, until: float | None) -> bool:
        await self._turn("feed")
        if until is not None and self._world.clock(self._node) >= until:
            return False
        if self._node.fed is not None:  # one that is not open counts nothing
            self._node.fed = self._world.time
        self._world.eyes.after(self._process, "feed")
        return True

    async def close_watchdog(self) -> None:
        await self._turn("close_watchdog")
        self._node.fed = None

    async def leftovers(self) -> Leftovers:
        await self._turn("leftovers")
        node = self._node
        return Leftovers(
            running=("qemu",) if node.runs and not node.suspended else (),
            stuck=("qemu",) if node.runs and node.suspended else (),
            primary=(RESOURCE,) if node.primary else (),
        )

    async def kill(self) -> None:
        await self._turn("kill")
        self._world.kill_guest(self._node)
        if not self._node.runs and not self._node.gate_shared:
            self._node.primary = False

    async def close_gate(self) -> bool:
        await self._turn("close_gate")
        if self._node.gate_shared:
            return False
        self._node.gate_alone = True
        self._process.owned.append(self._let_go)
        return True

    def _let_go(self) -> None:
        self._node.gate_alone = False

    async def open_gate(self) -> None:
        await self._turn("open_gate")
        self._node.gate_alone = False

    async def reset(self) -> None:
        world, node = self._world, self._node
        world.at(0, lambda: world.power_off(node, "is reset by mcv-lease"))
        raise Killed

    # Promises

    async def members(self) -> frozenset[str]:
        return frozenset(NODES) - {self.node}

    async def is_online(self, node: str) -> bool:
        return node not in json.loads(self._node.head)["offline"]

    async def ask_promises(self, members: frozenset[str], head: str) -> frozenset[str]:
        self._asked = self._world.time
        promised = set()
        for member in sorted(members):
            await self._turn("ask_promise")
            there = self._world.nodes[member]
            is_silent = there.watch is None or there.processes["manager"].is_held
            if is_silent or not self._world.linked(self.node, member):
                continue
            assert there.watch is not None
            env = SimEnv(self._process, there)
            if await failsafe.promise(env, there.watch, self.node, head):
                promised.add(member)
        await self._turn("promises")
        return frozenset(promised)

    async def ask_renewal(self, members: frozenset[str]) -> bool:
        self._asked = self._world.time
        for member in sorted(members):
            await self._turn("ask_renewal")
            there = self._world.nodes[member]
            if there.processes["mcvd"].is_held or not self._world.linked(self.node, member):
                continue
            if await failsafe.renew(SimEnv(self._process, there), self.node, self.boot):
                self._world.relays += 1
                return True
        return False

    async def publish_promises(self, sent: float) -> None:
        await self._turn("publish_promises")
        self._node.promises = LeaseFile(self.boot, sent)
        self._world.rounds += 1
        before = self._world.lease_sent.get(self.node)
        if before is not None and before.at < self._asked:
            self._world.lease_sent[self.node] = replace(before, at=self._asked)

    # The handler

    async def facts(self, resource: str) -> Facts | None:
        await self._turn("facts")
        document = json.loads(self._node.head)
        peer = REPLICAS[self.node == REPLICAS[0]]
        return Facts(document["owner"], peer, peer in document["offline"], self._node.head)

    async def outdate(self, resource: str, peer: str) -> bool | None:
        """The peer is asked by the cluster's network; it obeys the owner in its document."""
        await self._turn("outdate")
        world = self._world
        if not world.linked(self.node, peer) or world.is_frozen(peer):
            return None
        there = world.nodes[peer]
        if json.loads(there.head)["owner"] != self.node or there.primary:
            return False
        world.outdated.add(peer)
        return True

    # Starts

    async def enter_gate(self) -> None:
        await self._turn("enter_gate")
        node = self._node
        await Wait(FOR_EVER, lambda: not node.gate_alone)
        node.gate_shared += 1
        self._process.owned.append(self._left)

    def _left(self) -> None:
        self._node.gate_shared = max(0, self._node.gate_shared - 1)

    async def leave_gate(self) -> None:
        self._process.owned.remove(self._left)
        self._left()

    async def head_here(self) -> str:
        await self._turn("head_here")
        return self._node.head

    async def promote(self) -> bool:
        await self._turn("promote")
        node = self._node
        if node.inconsistent or node.name in self._world.outdated:
            return False
        node.primary = True
        return True

    async def start(self) -> None:
        """libvirt's start, which may take its time."""
        await self._turn("start")
        await Wait(self._world.time + self._world.delay(0.3, 1.0, 5.0, 30.0))
        await self._turn("answered")
        if self._node.primary and not self._node.runs:
            self._world.start_guest(self._node)

    async def learn(self, head: str) -> None:
        """Write config.json."""
        await self._turn("learn")
        self._node.head = head


def without(dead: str) -> Compose:
    """Compose the document that calls a node offline and gives its VM to the other replica."""

    def compose(head: str, marked: frozenset[str]) -> Successor:
        document = json.loads(head)
        document["generation"] += 1
        document["offline"] = sorted({*document["offline"], dead})
        other = REPLICAS[dead == REPLICAS[0]]
        is_lost = document["owner"] == dead and RESOURCE not in marked
        if is_lost and other not in document["offline"]:
            document["owner"] = other
        return Successor((Put(values.HEAD, json.dumps(document)),))

    return compose


def back(node: str) -> Compose:
    """Compose the document in which a node is online again."""

    def compose(head: str, marked: frozenset[str]) -> Successor:
        document = json.loads(head)
        document["generation"] += 1
        document["offline"] = sorted({*document["offline"]} - {node})
        return Successor((Put(values.HEAD, json.dumps(document)),))

    return compose
