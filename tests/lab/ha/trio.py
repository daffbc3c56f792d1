"""A cluster of three nodes, and a machine that may be its witness."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from tests.lab import LabError, Node, guests, reality, wait_until
from tests.lab.cluster import is_as_joined, join, mcv, reset, told
from tests.lab.lab import side_by_side
from tests.lab.numbers import Acknowledged, missing, on_disk
from tests.lab.outside import Watcher

WITNESS = 4
VM = "web1"
RESOURCE = "mcv-web1-1"

# By ha.md: a lease ends V after its last write was sent, the watchdog acts W later and its grain.
VALIDITY, WATCHDOG, GRAIN = 12.0, 8.0, 1.0
STUCK = 2.0  # s; what no signal ends has the host reset so long after the end of its lease
RENEWAL = 2.0
WAIT = 22.0  # T: how long a lease has to stay unchanged before it may be taken
# A busy lab hears of an end so much later, and a guest's end takes as long.
LATE = 3.0


@dataclass
class Trio:
    nodes: list[Node]
    witness: Node

    def make_new(self) -> None:
        """Make the cluster anew unless it is as it is to be."""
        if is_as_joined(self.nodes):
            return
        # A node that is armed, and stays so, is made anew by `reset`.
        attempt(lambda: self.nodes[0].run("mcv ha disarm --yes", check=False))
        side_by_side(reset, self.nodes)
        join(self.nodes)

    def make_armed(self) -> None:
        """Have the cluster armed, web1 writing and both its replicas in step.

        What a test left that failed is often so within a minute, which is sooner than made anew.
        """
        if not self._is_ready() and not self._gets_ready():
            self.make_new()
            self.store_in_etcd()
            self.arm()
            self.create()

    def _gets_ready(self) -> bool:
        try:
            if store(self.nodes[0]) != "etcd" or not reality.document(self.nodes[0])["vms"]:
                return False
            one, *_ = self.in_roles()
            wait_until(lambda: all_hold(self.nodes) and are_online(self.nodes), 45, "leases")
            if reality.domain(one, VM) != "running":
                mcv(one, f"start {VM}")
            wait_until(self._is_ready, 30, "both replicas to be in step")
        except (LabError, AssertionError, KeyError, ValueError):
            return False
        return True

    def _is_ready(self) -> bool:
        try:
            return (
                store(self.nodes[0]) == "etcd"
                and all_hold(self.nodes)
                and are_online(self.nodes)
                and reality.domain(self.in_roles()[0], VM) == "running"
                and reality.is_in_step(self.nodes[0], RESOURCE)
            )
        except (LabError, AssertionError, KeyError, ValueError):
            return False

    def come_back(self, node: Node) -> None:
        """What befell a node is over: it is up, armed, and all replicas are in step."""
        node.thaw()
        node.heal()
        if not node.is_running:
            node.boot()
        wait_until(lambda: are_online(self.nodes), 120, "all nodes to be online")
        wait_until(lambda: all_hold(self.nodes), 60, "all nodes to have their lease")
        for replica in self.nodes[:2]:
            wait_until(partial(reality.is_in_step, replica, RESOURCE), 90, "the replicas in step")

    def others(self, node: Node) -> list[Node]:
        return [one for one in self.nodes if one is not node]

    def in_roles(self) -> tuple[Node, Node, Node]:
        """The owner of web1, the node of its other replica, and the one that has none."""
        one, two, three = self.nodes
        return (one, two, three) if owner(three) == one.name else (two, one, three)

    def store_in_etcd(self) -> None:
        mcv(self.nodes[0], "cluster store etcd --yes")
        wait_until(lambda: store(self.nodes[-1]) == "etcd", 30, "the document in etcd")

    def arm(self, options: str = "") -> None:
        """Arm the cluster, whose watchdogs are the kernel's timers: softdog."""
        said = self.nodes[0].run(f"mcv ha arm --trust-softdog {options}", check=False, timeout=180)
        # 4: it is armed, and etcd was too slow for what comes after.
        assert said.code in (0, 4), said
        wait_until(lambda: all_hold(self.nodes), 60, "all nodes to have their lease")
        wait_until(lambda: not claims(self.nodes[0]), 60, "the claim of the arming to end")

    def disarm(self) -> None:
        mcv(self.nodes[0], "ha disarm --yes")

    def move_back(self) -> None:
        mcv(self.nodes[0], "cluster store unanimous --yes")
        wait_until(lambda: store(self.nodes[-1]) == "unanimous", 30, "unanimous agreement")

    def create(self, image: bytes | None = None) -> None:
        """Make web1 with its replicas on node1 and node2, and start it on node1."""
        node = self.nodes[0]
        path = f"/root/{VM}.img"
        node.put(guests.numberer() if image is None else image, path)
        size, memory = ("40MiB", "128MiB") if image is None else ("8MiB", "16MiB")
        mcv(
            node,
            f"create {VM} --memory {memory} --disk {size} --image {path} --network lan "
            "--nodes node1,node2 --node node1",
        )
        wait_until(lambda: reality.is_in_step(node, RESOURCE), 90, "both replicas to be in step")
        mcv(node, f"start {VM}")

    @contextmanager
    def observed(self) -> Iterator["Observed"]:
        """Watch all nodes' guests and what web1 says that its disk has."""
        acknowledged = Acknowledged(VM, self.nodes)
        try:
            with Watcher(self.nodes) as watcher:
                yield Observed(self, watcher, acknowledged)
        finally:
            acknowledged.close()


@dataclass
class Observed:
    """What is seen of web1 from outside, while something befalls its nodes."""

    trio: Trio
    watcher: Watcher
    acknowledged: Acknowledged

    def wait_for_writes(self, node: Node, number: int = 20, timeout: float = 150) -> None:
        """Wait until the guest on a node has written so many more blocks."""
        before = self._count(node)
        wait_until(
            lambda: self._count(node) >= before + number,
            timeout,
            f"{VM} to write on {node.name}; its last number is {self.acknowledged.last}",
        )

    def _count(self, node: Node) -> int:
        return sum(one == node.name for one in list(self.acknowledged.numbers.values()))

    def rebooted(self, node: Node) -> None:
        """Listen to a node that was booted again."""
        self.watcher.watch(node)
        self.acknowledged.listen(node)

    def take_over(self, dead: Node, target: Node) -> None:
        """Have the target take web1 by an operator's word, and start it where it does not run."""
        declare(target, dead)
        if owner(target) != target.name:
            mcv(target, f"register {VM} --node {target.name} --yes")
        if reality.domain(target, VM) != "running":
            mcv(target, f"start {VM}", timeout=180)

    def require_nothing_lost(self, node: Node) -> None:
        """All that the guest was told is written is on the copy that runs, and it ran once."""
        known = set(self.acknowledged.numbers)
        lost = missing(known, on_disk(node, RESOURCE))
        assert known and not lost, f"{len(lost)} of {len(known)} numbers are lost: {lost[:20]}"
        assert not self.watcher.twice, self.watcher.twice[:5]


def declare(node: Node, dead: Node) -> None:
    """Call a node dead, by an operator's word, which waits until its lease has not moved for T."""
    said = ["nothing"]

    def is_declared() -> bool:
        words = f"mcv node offline {dead.name} --confirm-dead --yes"
        result = node.run(words, check=False, timeout=120)
        said.append(f"{result.code}: {result.stdout}{result.stderr}")
        return result.code == 0

    try:
        wait_until(is_declared, WAIT + 15, f"{dead.name} to be declared dead")
    except LabError as error:
        raise AssertionError(said[-1]) from error


def store(node: Node) -> str:
    return str(told(node, "cluster store")["store"])


def owner(node: Node) -> str:
    """The owner of web1, by the document on a node's disk."""
    return str(reality.document(node)["vms"][VM]["node"])


def are_online(nodes: list[Node]) -> bool:
    """Whether all nodes are online, by the document on each node's disk.

    A busy lab's nodes are now and then too slow for each other's questions, which says nothing.
    """
    documents = side_by_side(reality.document, nodes)
    return all(
        member["status"] == "online"
        for document in documents
        for member in document["nodes"].values()
    )


def claims(node: Node) -> list[str]:
    """The nodes that are claimed by an operation, by the document on a node's disk."""
    members = reality.document(node)["nodes"].values()
    return [member["name"] for member in members if member.get("claim")]


def lease_left(node: Node) -> float:
    """For how many seconds a node's lease is valid yet, by what mcv-lease has published."""
    said = node.run("cat /proc/uptime /run/mcv/lease", check=False).stdout.splitlines()
    if len(said) < 2:
        return 0.0
    return float(json.loads(said[1])["until"]) - float(said[0].split()[0])


def holds(node: Node) -> bool:
    return lease_left(node) > 0


def all_hold(nodes: list[Node]) -> bool:
    """Whether each node has a lease that is valid."""
    return all(side_by_side(holds, nodes))


def throughout(is_so: Callable[[], bool], seconds: float, what: str) -> None:
    """Require that something stays so."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert is_so(), what
        time.sleep(0.5)


def attempt(what: Callable[[], object]) -> None:
    """Do it; a node that dies meanwhile cannot answer."""
    try:
        what()
    except LabError:
        return
