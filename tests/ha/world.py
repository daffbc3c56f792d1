"""A simulated cluster behind mcv/ha/env.py: true time, wrong clocks, one store, lossy links.

Three nodes with a voter of etcd each; n0 and n1 have a replica of the one resource, whose guest
writes on and on. Processes are coroutines: between any two of their calls they may be stopped,
killed or overtaken. What must never be is looked at after every change.
"""

import heapq
import json
import random
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from mcv.ha.env import Answer, Entry, LeaseFile, NothingNewer, Txn, Unchanged, Unknown
from mcv.ha.taking import Watch
from mcv.ha.values import HEAD, LEASES, MANAGER, Taken, decode

TICK = 0.25  # s between two looks at guests, replicas and watchdogs
FOR_EVER = 1e9
TRY = 3.0  # s until a transaction without an answer is given up
DRIFT = 0.01  # by which a clock is wrong at most
REPLICAS = ("n0", "n1")
NODES = ("n0", "n1", "n2")


class Violation(AssertionError):
    """Something was, for a moment, that must never be."""


class Killed(BaseException):
    """The process was killed between two of its calls."""


@dataclass
class Wait:
    """What a coroutine hands to the world: go on when `ready`, or at a moment of true time."""

    until: float
    ready: Callable[[], bool] | None = None

    def __await__(self) -> Generator["Wait", None, None]:
        yield self


class Process:
    """One program of a node; systemd starts it again when it ends or is killed."""

    def __init__(self, world: "World", node: "Node", name: str, program: "Program") -> None:
        self.world, self.node, self.name, self.program = world, node, name, program
        self.coroutine: Coroutine[Wait, None, None] | None = None
        self.is_started = False
        self.life = 0  # counts starts: what was meant for an earlier one is void
        self.stopped_until = 0.0
        self.calls = 0
        self.kill_at: int | None = None  # its call before which it is killed
        self.owned: list[Callable[[], None]] = []  # what its end gives back

    def start(self) -> None:
        """Begin the program at its first turn; what may still run of it ends."""
        self.end(None)
        self.calls = 0
        self.is_started = True
        self.world.at(0, self._resume(self.life))

    @property
    def is_held(self) -> bool:
        """Whether it is stopped, or its host is frozen."""
        now = self.world.time
        return now < self.stopped_until or now < self.node.frozen_until

    def end(self, restart: float | None) -> None:
        """End it without its saying so; started again after a while."""
        self.is_started = False
        if self.coroutine is not None:
            self.coroutine.close()
            self.coroutine = None
        self.life += 1
        for give_back in self.owned:
            give_back()
        self.owned = []
        if restart is not None:
            life = self.life
            self.world.at(restart, lambda: self.start() if self.life == life else None)

    def _resume(self, life: int) -> Callable[[], None]:
        def resume() -> None:
            if life != self.life or not self.is_started or not self.node.is_up:
                return
            if self.is_held:
                self.world.at(0.1, resume)
                return
            if self.coroutine is None:
                self.coroutine = self.program(self)
            try:
                wait = self.coroutine.send(None)
            except StopIteration:
                self.end(1.0)
            except Killed:
                self.end(self.world.random.choice((0.2, 1.0)))
            else:
                self._wait(wait, life)

        return resume

    def _wait(self, wait: Wait, life: int) -> None:
        resume = self._resume(life)
        if wait.ready is None:
            self.world.at(wait.until - self.world.time, resume)
            return

        def look() -> None:
            if life != self.life:
                return
            assert wait.ready is not None
            if wait.ready() or self.world.time >= wait.until:
                resume()
            else:
                self.world.at(0.1, look)

        look()


Program = Callable[[Process], Coroutine[Wait, None, None]]


@lru_cache
def read_document(text: str) -> dict[str, Any]:
    """The same object each time: nobody may change it."""
    return dict(json.loads(text))


class Eyes:
    """What sees each call of each process, and each commit: faults are aimed by it."""

    def before(self, process: Process, call: str) -> None:
        """A process is about to make a call."""

    def after(self, process: Process, call: str) -> None:
        """A process has made it."""

    def committed(self, node: "Node", txn: Txn) -> None:
        """A transaction that a node has sent was committed."""


@dataclass(frozen=True)
class Sent:
    """A committed write of a lease: when it was sent, in true time, and what it announces."""

    at: float
    validity: float
    watchdog: float

    @property
    def bound(self) -> float:
        """When the owner's guests have ended, in true time, at the latest."""
        return self.at + (self.validity + self.watchdog) / (1 - DRIFT) + 1


@dataclass
class Node:
    """A host: its clock, its watchdog, what runs there."""

    name: str
    rate: float
    grain: float
    watchdog_rate: float
    is_up: bool = True
    boots: int = 0
    voter: bool = True
    jump: float = 0.0  # s that its clock has leapt
    frozen_until: float = 0.0
    fed: float | None = None  # true time; None: the watchdog is not open
    timeout: float = 0.0
    lease_file: LeaseFile | None = None
    promises: LeaseFile | None = None  # of a round of failsafe.py
    watch: Watch | None = None  # of its manager
    gate_shared: int = 0
    gate_alone: bool = False
    head: str = ""  # of which config.json is
    runs: bool = False
    mark: int = 0  # the newest write that its replica has
    primary: bool = False
    suspended: bool = False
    handler: str = ""  # "": none, "asked", or "went on"
    inconsistent: bool = False
    processes: dict[str, Process] = field(default_factory=dict)
    asked: Process = field(init=False)  # the fence-peer handler

    @property
    def askable(self) -> list[Process]:
        return [self.asked] if self.name in REPLICAS else []

    @property
    def boot(self) -> str:
        return f"{self.name}-{self.boots}"


class World:
    """True time, and all that is true."""

    def __init__(self, seed: int, *, keeps_descriptor: bool = True) -> None:
        self.seed = seed
        self.random = random.Random(seed)
        self.time = 0.0
        self.keeps_descriptor = keeps_descriptor
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self.nodes = {
            name: Node(
                name,
                rate=1 + self.random.uniform(-DRIFT, DRIFT),
                grain=self.random.uniform(0, 1),
                watchdog_rate=1 + self.random.uniform(-DRIFT, DRIFT),
            )
            for name in NODES
        }
        self._replicas = [self.nodes[name] for name in REPLICAS]
        self.store: dict[str, tuple[str, int]] = {}
        self.revision = 0
        self.cut: set[tuple[str, str]] = set()  # one way each
        self.deaf: set[str] = set()  # nodes that reach no voter, and the daemons of others
        self.link_cut = False  # of replication alone
        self.in_step = True
        self.outdated: set[str] = set()
        self.acknowledged = 0
        self.slow = 1.0  # of etcd
        self.is_quick = False  # all answers come at once, and who waits for a turn has it soon
        # By node: the newest that was committed, or that all members' promises stand for.
        self.lease_sent: dict[str, Sent] = {}
        self.pace = 1
        self.eyes = Eyes()
        self.judge: Callable[[Node, Txn], None] = lambda node, txn: None  # of what was committed
        self.orders: dict[str, str] = {}  # by node: the start that its worker was told
        self.results: dict[str, tuple[float, str, str]] = {}  # by node: when, uid and outcome
        self.lives = 0  # of managers
        self.words: set[str] = set()  # nodes that an operator calls dead, and he may be wrong
        self.excused: set[str] = set()  # taken by a false word: a guest there is the operator's
        self.takeovers = 0
        self.relays = 0  # renewals by other members
        self.rounds = 0  # of promises that all members gave
        self.starts = 0
        self.log: list[str] = []
        self.violation = ""
        document = json.dumps({"owner": "n0", "offline": [], "generation": 1})
        self._put(HEAD, document)
        for node in self.nodes.values():
            node.head = document

    # Time

    def at(self, delay: float, action: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._heap, (self.time + max(delay, 0.0), self._count, action))

    def run(self, until: float) -> None:
        self.at(TICK, self._tick)
        while self._heap and self.time < until:
            self.time, _, action = heapq.heappop(self._heap)
            action()
            self.look()

    def clock(self, node: Node) -> float:
        return self.time * node.rate + node.jump

    def delay(self, least: float, *longer: float) -> float:
        """One of these times, or the least where all is quick."""
        chosen = self.random.choice((least, *longer))
        return least if self.is_quick else chosen

    def say(self, text: str) -> None:
        self.log.append(f"{self.time:8.2f} {text}")

    # Links and the store

    def hears(self, source: str, target: str) -> bool:
        """Whether what `source` sends reaches `target`."""
        if not (self.nodes[source].is_up and self.nodes[target].is_up):
            return False
        return source == target or (source, target) not in self.cut

    def linked(self, one: str, other: str) -> bool:
        return self.hears(one, other) and self.hears(other, one)

    def is_frozen(self, name: str) -> bool:
        return self.time < self.nodes[name].frozen_until

    def _votes(self, name: str) -> bool:
        node = self.nodes[name]
        return node.voter and node.is_up and self.time >= node.frozen_until

    def has_quorum(self, client: str) -> bool:
        """Whether what a client asks is committed and answered."""
        return self.reaches(client) and self.is_reached(client)

    def reaches(self, client: str) -> bool:
        """Whether what a client sends is committed: a voter with a majority hears it."""
        if client in self.deaf:
            return False
        return any(self.hears(client, voter) for voter in self._with_majority())

    def is_reached(self, client: str) -> bool:
        """Whether a voter with a majority is heard by a client."""
        if client in self.deaf:
            return False
        return any(self.hears(voter, client) for voter in self._with_majority())

    def _with_majority(self) -> list[str]:
        alive = [name for name in NODES if self._votes(name)]
        if not self.cut:
            return alive if len(alive) >= 2 else []
        return [one for one in alive if sum(self.linked(one, other) for other in alive) >= 2]

    @property
    def document(self) -> dict[str, Any]:
        """The newest one."""
        return read_document(self.store[HEAD][0])

    def _put(self, key: str, value: str | None) -> None:
        if value is None:
            self.store.pop(key, None)
        else:
            self.store[key] = (value, self.revision)

    def commit(self, txn: Txn) -> Answer:
        holds = all(self._holds(compare) for compare in txn.compares)
        if holds and txn.puts:
            self.revision += 1
            for put in txn.puts:
                self._put(put.key, put.value)
        entries = {
            key: Entry(value, revision)
            for key, (value, revision) in self.store.items()
            if any(key.startswith(prefix) for prefix in txn.reads)
        }
        return Answer(holds, self.revision, entries)

    def _holds(self, compare: Unchanged | NothingNewer) -> bool:
        if isinstance(compare, Unchanged):
            return self.store.get(compare.key, ("", 0))[1] == compare.revision
        return all(
            revision <= compare.revision
            for key, (_, revision) in self.store.items()
            if key.startswith(compare.prefix)
        )

    def send(
        self, node: Node, txn: Txn, note: Callable[[Answer], None] | None = None
    ) -> list[Answer | Unknown]:
        """Send a transaction; the list gets the answer, if one comes."""
        answers: list[Answer | Unknown] = []
        there = self.slow * self.delay(0.01, 0.05, 0.1, 0.2, 0.9, 3.0)
        back = self.delay(0.01, 0.05, 0.1, 0.3, 0.8, 2.0)
        boots = node.boots

        def arrive() -> None:
            # A request that has left its host may be committed after the host is gone.
            is_alive = node.boots == boots and self.reaches(node.name)
            is_under_way = node.boots != boots and self.random.random() < 0.3
            if not (is_alive or is_under_way) or not self._with_majority():
                return
            answer = self.commit(txn)
            if note is not None:
                note(answer)
            if answer.holds and txn.puts:
                self._excuse(txn)
                self.judge(node, txn)
                self.eyes.committed(node, txn)
            self.at(back, lambda: return_(answer))

        def return_(answer: Answer) -> None:
            if node.boots == boots and self.is_reached(node.name):
                answers.append(answer)

        self.at(there, arrive)
        return answers

    def _excuse(self, txn: Txn) -> None:
        """Who takes by a word that is false has two guests; the data stays one all the same."""
        for put in txn.puts:
            is_lease = put.key.startswith(LEASES) and put.key != MANAGER
            if is_lease and put.value is not None:
                found = decode(put.value)
                if isinstance(found, Taken) and found.evidence == "word":
                    self.excused.add(put.key.removeprefix(LEASES))

    # Hosts

    def power_off(self, node: Node, why: str, back_in: float | None = None) -> None:
        """Sudden death of a host, which boots again after a while."""
        self.say(f"{node.name} {why}")
        node.is_up = False
        node.boots += 1
        for process in node.processes.values():
            process.end(None)
        for process in node.askable:
            process.end(None)
        node.runs = node.primary = node.suspended = node.gate_alone = False
        node.gate_shared = 0
        node.handler = ""
        node.fed = None
        node.lease_file = node.promises = None
        node.jump = 0.0
        node.frozen_until = 0.0
        self.excused.discard(node.name)
        self.at(back_in or self.delay(5.0, 15.0, 30.0, 45.0, 60.0), lambda: self._power_on(node))

    def _power_on(self, node: Node) -> None:
        if not node.is_up:
            node.is_up = True
            for process in node.processes.values():
                process.start()

    # Guests and replicas

    def _tick(self) -> None:
        self.at(TICK, self._tick)
        zero, one = (self.nodes[name] for name in REPLICAS)
        # Two Primaries do not connect: DRBD finds two data generations, and stands alone.
        both = zero.primary and one.primary
        connected = self.linked(*REPLICAS) and not self.link_cut and not both
        for node in self.nodes.values():
            is_due = node.fed is not None and (
                self.time - node.fed >= node.timeout * node.watchdog_rate + node.grain
            )
            if node.is_up and is_due:
                self.power_off(node, "is reset by its watchdog")
        for name in REPLICAS:
            node, other = self.nodes[name], self.nodes[REPLICAS[name == "n0"]]
            if self.random.random() < 0.002:
                self.end_guest(node)
            if not node.runs or self.is_frozen(name):
                continue
            if connected:
                self._write_both(node, other)
            else:
                self._write_alone(node)
        if connected and not self.in_step and self.random.random() < 0.03:
            self._resynced()

    def _write_both(self, node: Node, other: Node) -> None:
        if not self.in_step:
            other.inconsistent = True
        node.suspended, node.handler = False, ""
        self.acknowledged += 1
        node.mark = self.acknowledged
        if self.in_step:
            other.mark = self.acknowledged

    def _write_alone(self, node: Node) -> None:
        self.in_step = False
        if node.handler != "went on":
            node.suspended = True
            if not node.handler:
                node.handler = "asked"
                node.asked.start()
            return
        node.suspended = False
        owner = self.document["owner"]
        if owner != node.name:
            raise Violation(f"{node.name} acknowledges writes alone, and {owner} has the guest")
        self.acknowledged += 1
        node.mark = self.acknowledged

    def _resynced(self) -> None:
        zero, one = (self.nodes[name] for name in REPLICAS)
        source = zero if zero.runs or (not one.runs and zero.mark >= one.mark) else one
        target = one if source is zero else zero
        target.mark, target.inconsistent, source.inconsistent = source.mark, False, False
        self.outdated.clear()
        self.in_step = True

    def end_guest(self, node: Node) -> None:
        """Its guest powers itself off, or an operator stops it."""
        if node.runs and not node.suspended:
            self._end_guest(node, "guest ends")

    def _end_guest(self, node: Node, why: str) -> None:
        self.say(f"{node.name} {why}")
        self.excused.discard(node.name)
        node.runs = node.primary = node.suspended = False
        if node.handler == "asked":
            node.asked.end(None)
        node.handler = ""

    def kill_guest(self, node: Node) -> None:
        """SIGKILL: a guest whose write waits in suspended I/O does not end."""
        if node.runs and not node.suspended:
            self._end_guest(node, "kills its guest")

    def start_guest(self, node: Node) -> None:
        node.runs = True
        node.handler = ""
        self.starts += 1
        self.say(f"{node.name} starts the guest with {node.mark} of {self.acknowledged}")
        if node.mark < self.acknowledged:
            raise Violation(f"{node.name} runs with {node.mark} of {self.acknowledged} writes")

    # What must never be

    def look(self) -> None:
        running = [
            node
            for node in self._replicas
            if node.runs and node.is_up and node.name not in self.excused
        ]
        if len(running) > 1:
            raise Violation("the guest runs twice")
        for node in running:
            sent = self.lease_sent.get(node.name)
            if sent is not None and self.time > sent.bound + 2 * TICK:
                late = self.time - sent.bound
                raise Violation(f"the guest outlives the lease of {node.name} by {late:.1f} s")

    def close(self) -> None:
        """End all programs."""
        for node in self.nodes.values():
            for process in (*node.processes.values(), *node.askable):
                process.end(None)
