"""Faults that are aimed: each strikes in the one moment that a clause of the design is there for.

A history has one aim, and a fault by chance now and then; the aim "chance" has those alone. With
all clauses in place nothing comes of any of them.
"""

import json

from mcv.ha import values
from mcv.ha.env import Put, Txn
from tests.ha.faults import Faults
from tests.ha.world import REPLICAS, Eyes, Node, Process, World

HEALED_AFTER = 60.0  # s


class Aim(Eyes):
    """Strikes once it is ready, mends all a minute later, and is ready again after a while."""

    pause = 6.0  # between faults by chance, as a factor

    def __init__(self, world: World, faults: Faults) -> None:
        self.world, self.random, self.faults = world, world.random, faults
        self.victim: Node | None = None
        self.ready_at = self.random.uniform(5, 20)
        self.begin()

    def begin(self) -> None:
        """Prepare the world."""

    @property
    def is_ready(self) -> bool:
        return self.victim is None and self.world.time >= self.ready_at

    @property
    def is_well(self) -> bool:
        """Whether the guest runs, both replicas are in step, and all nodes are online."""
        world, document = self.world, self.world.document
        is_whole = world.in_step and not (world.cut or world.link_cut or world.outdated)
        is_marked = any(key.startswith(values.STALE) for key in world.store)
        return self.owner().runs and is_whole and not (is_marked or document["offline"])

    def strike(self, node: Node, *, quick: bool = False) -> None:
        """Have a victim; in a minute all is as before."""
        self.world.say(f"aimed at {node.name}")
        self.world.is_quick = quick
        self.victim = node
        self.world.at(HEALED_AFTER, self._end)

    def _end(self) -> None:
        self.victim = None
        self.world.is_quick = False
        self.ready_at = self.world.time + self.random.uniform(20, 40)
        self.faults.heal(self.world.nodes["n0"])

    def stop(self, process: Process, seconds: float) -> None:
        process.stopped_until = self.world.time + seconds

    def owner(self) -> Node:
        return self.world.nodes[self.world.document["owner"]]

    def is_owner(self, process: Process) -> bool:
        return process.node is self.owner()


def written(txn: Txn, node: str) -> values.Held | values.Taken | None:
    """What a transaction writes of a node's lease."""
    for put in txn.puts:
        if put.key == values.lease_key(node) and put.value is not None:
            return values.decode(put.value)
    return None


class Chance(Aim):
    """At nothing."""

    pause = 1.0


class LastFeeding(Aim):
    """A cut-off owner's mcv-lease is stopped right after it has fed the watchdog a last time."""

    def after(self, process: Process, call: str) -> None:
        node = process.node
        if call == "publish" and self.is_ready and node.runs and self.is_well:
            self.strike(node, quick=True)
            self.faults.cut_off(node)
        if call == "feed" and self.victim is node and self._is_last(node):
            self.stop(process, 50.0)

    def _is_last(self, node: Node) -> bool:
        left = node.lease_file.until - self.world.clock(node) if node.lease_file else 0.0
        return 0 < left < 0.3


class DiesEverySecond(Aim):
    """A cut-off owner's mcv-lease dies again and again, right after it has opened the watchdog."""

    def before(self, process: Process, call: str) -> None:
        if self.is_ready and self.is_owner(process) and self.is_well:
            self.strike(process.node)
            self.faults.cut_off(process.node)
            self.world.at(0, lambda: process.node.processes["lease"].end(0.5))
        if self.victim is process.node and call == "open_watchdog":
            process.kill_at = process.calls + 1


class GuestsEnd(Aim):
    """A guest ends by itself, so that its owner starts it again."""

    def begin(self) -> None:
        self.world.at(1.0, self._end_a_guest)

    def _end_a_guest(self) -> None:
        self.world.at(1.0, self._end_a_guest)
        if self.is_ready:
            self.world.end_guest(self.owner())


class StartHangs(GuestsEnd):
    """An owner's mcvd hangs in the middle of a start that it had the right to, and is cut off."""

    def before(self, process: Process, call: str) -> None:
        if call == "promote" and self.is_ready:
            self.strike(process.node)
            self.faults.cut_off(process.node)
            self.stop(process, self.random.choice((30.0, 45.0)))


class NotYetOpen(Aim):
    """mcv-lease is stopped in its first steps after a boot, or where a lease is not enforced.

    The owner is cut off once its guest runs.
    """

    def begin(self) -> None:
        self.at_call = 0
        self.world.at(1.0, self._look)

    def _look(self) -> None:
        self.world.at(0.25, self._look)
        owner = self.owner()
        if self.is_ready and owner.is_up and owner.runs:
            self.strike(owner)
            self.at_call = self.random.randrange(5, 60)
            self.world.power_off(owner, "dies", back_in=4.0)
        elif self.victim is not None and self.victim.runs:
            self.faults.cut_off(self.victim)

    def before(self, process: Process, call: str) -> None:
        if process.node is not self.victim or process.name != "lease":
            return
        if process.calls == self.at_call or self._is_unenforced(process.node):
            self.at_call = 0
            self.stop(process, 50.0)

    def _is_unenforced(self, node: Node) -> bool:
        is_valid = node.lease_file is not None and self.world.clock(node) < node.lease_file.until
        return is_valid and node.fed is None and not node.gate_alone


class FalseWord(Aim):
    """The replicas are parted; the owner is called dead, and its handler is about to mark."""

    def begin(self) -> None:
        self.transactions = 0

    def before(self, process: Process, call: str) -> None:
        if self.is_ready and self.is_owner(process) and self.is_well:
            self.strike(process.node, quick=True)
            self.transactions = 0
            self.world.cut |= {REPLICAS, REPLICAS[::-1]}
        if process.name == "handler" and call == "txn" and process.node is self.victim:
            self.transactions += 1
            if self.transactions == 2:
                self.stop(process, 8.0)
                self.world.words.add(process.node.name)

    def committed(self, node: Node, txn: Txn) -> None:
        if self.victim is None:
            return
        if isinstance(written(txn, self.victim.name), values.Taken):
            self.world.words.clear()
            self.victim.asked.stopped_until = 0.0
            self.stop(self.victim.processes["lease"], 5.0)

    def _end(self) -> None:
        self.world.words.clear()
        super()._end()


class MarkInBetween(FalseWord):
    """The owner's handler marks after the taker has read the marks, and before it takes."""

    def begin(self) -> None:
        super().begin()
        self.takers: dict[Process, int] = {}  # transactions since one began to take

    def before(self, process: Process, call: str) -> None:
        super().before(process, call)
        if self.victim is None or process.name != "manager":
            return
        if call == "take":
            self.takers[process] = 0
        elif call == "txn" and process in self.takers:
            self.takers[process] += 1
            if self.takers[process] == 2:
                del self.takers[process]
                self.stop(process, 2.0)
                self.victim.asked.stopped_until = 0.0

    def committed(self, node: Node, txn: Txn) -> None:
        super().committed(node, txn)
        if any(put.key.startswith(values.STALE) for put in txn.puts):
            for each in self.world.nodes.values():
                each.processes["manager"].stopped_until = 0.0


class PartedAndKilled(Aim):
    """The replicas lose each other; the owner goes on alone, and dies."""

    def before(self, process: Process, call: str) -> None:
        if self.is_ready and self.is_owner(process) and self.is_well:
            owner = process.node
            self.strike(owner, quick=True)
            self.world.cut |= {REPLICAS, REPLICAS[::-1]}
            self.world.at(self.random.uniform(2, 6), lambda: self._kill(owner))

    def _kill(self, owner: Node) -> None:
        if owner.is_up:
            self.world.power_off(owner, "dies", back_in=50.0)


class TakenTooLate(Aim):
    """A cut-off owner comes back after it was found ended, and before it is taken."""

    def begin(self) -> None:
        self.world.at(1.0, self._look)
        self.until = 0.0

    def _look(self) -> None:
        self.world.at(1.0, self._look)
        if self.is_ready and self.is_well:
            self.strike(self.owner(), quick=True)
            self.until = 0.0
            self.faults.cut_off(self.owner())

    def before(self, process: Process, call: str) -> None:
        if call != "take" or self.victim is None:
            return
        if not self.until:
            self.until = self.world.time + 12.0
            self.faults.heal(self.victim)
        process.stopped_until = max(process.stopped_until, self.until)

    def committed(self, node: Node, txn: Txn) -> None:
        if self.victim is not None and isinstance(written(txn, self.victim.name), values.Taken):
            self.stop(self.victim.processes["lease"], 6.0)


class FallingPace(LastFeeding):
    """The pace falls, and the owner is cut off as soon as its first shorter lease is committed."""

    def begin(self) -> None:
        self.world.pace = 2

    def after(self, process: Process, call: str) -> None:
        if call == "publish" and self.is_ready and process.node.runs and self.is_well:
            self.strike(process.node, quick=True)
            self.world.pace = 1
        if call == "feed" and self.victim is process.node and self._is_last(process.node):
            self.stop(process, 50.0)

    def committed(self, node: Node, txn: Txn) -> None:
        held = written(txn, node.name)
        if node is self.victim and isinstance(held, values.Held) and held.validity < 24:
            self.faults.cut_off(node)

    def _end(self) -> None:
        self.world.pace = 2
        super()._end()


class FallsAndDies(FallingPace):
    """The same, and mcv-lease is killed before it announces the shorter lease."""

    def before(self, process: Process, call: str) -> None:
        if self.is_ready and self.is_owner(process) and self.is_well and process.name == "mcvd":
            self.strike(process.node, quick=True)
            self.world.pace = 1
            process.node.processes["lease"].end(0.2)


class RisesAndDies(LastFeeding):
    """The pace rises, and mcv-lease dies; the owner is cut off before the next one announces it."""

    def before(self, process: Process, call: str) -> None:
        if self.is_ready and self.is_owner(process) and self.is_well and process.name == "mcvd":
            self.strike(process.node, quick=True)
            self.world.pace = 2
            process.node.processes["lease"].end(0.2)
        if self.victim is process.node and call == "open_watchdog":
            self.faults.cut_off(process.node)

    def after(self, process: Process, call: str) -> None:
        if call == "feed" and self.victim is process.node and self._is_last(process.node):
            self.stop(process, 50.0)

    def _end(self) -> None:
        self.world.pace = 1
        super()._end()


class MovedMeanwhile(GuestsEnd):
    """An operator moves the VM while its owner's mcvd is between its reading and a start."""

    def before(self, process: Process, call: str) -> None:
        if call == "enter_gate" and self.is_ready and self._may_move(process):
            self.strike(process.node)
            self.stop(process, self.random.choice((5.0, 10.0)))
            document = dict(self.world.document)
            document["owner"] = REPLICAS[process.node.name == REPLICAS[0]]
            document["generation"] += 1
            self.world.commit(Txn(puts=(Put(values.HEAD, json.dumps(document)),)))

    def _may_move(self, process: Process) -> bool:
        nodes = [self.world.nodes[name] for name in REPLICAS]
        quiet = not any(node.runs or node.gate_shared or node.primary for node in nodes)
        return quiet and self.world.in_step and self.is_owner(process)


class DiesInAResync(Aim):
    """The replication link alone is lost for a while; the owner dies when it is back."""

    def begin(self) -> None:
        self.world.at(1.0, self._look)

    def _look(self) -> None:
        self.world.at(0.25, self._look)
        owner = self.owner()
        if self.is_ready and self.is_well:
            self.strike(owner)
            self.world.link_cut = True
            self.world.at(self.random.uniform(4, 8), self._link_is_back)
        elif self.victim is owner and self._is_resynced() and owner.is_up:
            self.world.power_off(owner, "dies in the resync", back_in=50.0)

    def _link_is_back(self) -> None:
        self.world.link_cut = False

    def _is_resynced(self) -> bool:
        return any(self.world.nodes[name].inconsistent for name in REPLICAS)


class EtcdGone(Aim):
    """etcd has no quorum for a while, all mcvds answer; the owner is cut off as etcd returns."""

    gone = 40.0  # s

    def after(self, process: Process, call: str) -> None:
        owner = self.owner()
        if call == "publish" and self.is_ready and process.node is owner and self.is_well:
            self.strike(owner, quick=True)
            # Others have read the newest write by then, and the next one comes too late.
            self.world.at(1.7, lambda: self._votes(False))
            self.world.at(self.gone - 0.1, lambda: self.faults.cut_off(owner))
            self.world.at(self.gone, lambda: self._votes(True))
            self.part(owner)

    def part(self, owner: Node) -> None:
        """What else befalls the owner meanwhile."""

    def _votes(self, are_there: bool) -> None:
        self.world.say(f"etcd {'returns' if are_there else 'is gone'}")
        for node in self.world.nodes.values():
            node.voter = are_there


class ReachesNoEtcd(Aim):
    """The owner reaches no voter for a while, but the daemon of one member; then it is cut off."""

    for_long = 40.0  # s

    def after(self, process: Process, call: str) -> None:
        owner = self.owner()
        if call == "publish" and self.is_ready and process.node is owner and self.is_well:
            self.strike(owner, quick=True)
            self.world.cut |= {(owner.name, "n2"), ("n2", owner.name)}  # not all promise
            self.world.at(1.7, lambda: self._reaches(owner, False))
            self.world.at(self.for_long - 0.1, lambda: self.faults.cut_off(owner))
            self.world.at(self.for_long, lambda: self._reaches(owner, True))

    def _reaches(self, owner: Node, does: bool) -> None:
        self.world.say(f"etcd {'returns' if does else 'is gone'} for {owner.name}")
        (self.world.deaf.discard if does else self.world.deaf.add)(owner.name)

    def _end(self) -> None:
        self.world.deaf.clear()
        super()._end()


class RisesAsEtcdGoes(EtcdGone):
    """The same, and the pace rises and mcv-lease dies: nothing is announced any more."""

    def part(self, owner: Node) -> None:
        self.world.at(1.8, lambda: self._rise(owner))

    def _rise(self, owner: Node) -> None:
        self.world.pace = 2
        owner.processes["lease"].end(0.2)

    def _end(self) -> None:
        self.world.pace = 1
        super()._end()


class EtcdGoneAndApart(EtcdGone):
    """The same, and the owner and the node without a replica do not reach each other."""

    def part(self, owner: Node) -> None:
        self.world.cut |= {(owner.name, "n2"), ("n2", owner.name)}


AIMS: dict[str, type[Aim]] = {
    "chance": Chance,
    "last feeding": LastFeeding,
    "dies every second": DiesEverySecond,
    "start hangs": StartHangs,
    "not yet open": NotYetOpen,
    "false word": FalseWord,
    "mark in between": MarkInBetween,
    "parted and killed": PartedAndKilled,
    "taken too late": TakenTooLate,
    "falling pace": FallingPace,
    "falls and dies": FallsAndDies,
    "rises and dies": RisesAndDies,
    "moved meanwhile": MovedMeanwhile,
    "dies in a resync": DiesInAResync,
    "etcd gone": EtcdGone,
    "etcd gone and apart": EtcdGoneAndApart,
    "rises as etcd goes": RisesAsEtcdGoes,
    "reaches no etcd": ReachesNoEtcd,
}


def aimed(world: World, aim: str | type[Aim]) -> None:
    """Let faults befall a world."""
    kind = AIMS[aim] if isinstance(aim, str) else aim
    world.eyes = kind(world, Faults(world, kind.pause))
