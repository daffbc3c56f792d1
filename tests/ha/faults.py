"""What befalls the simulated world by chance."""

from tests.ha.world import NODES, REPLICAS, Node, Process, World


class Faults:
    """What befalls the world: some of it aimed at what is under way."""

    def __init__(self, world: World, pause: float = 1.0) -> None:
        self.world = world
        self.pause = pause
        world.at(world.random.uniform(10, 40), self._strike)
        if pause <= 1.0:
            world.at(1.0, self._lurk)

    def _lurk(self) -> None:
        """Aimed at a start that has passed its look at the lease."""
        self.world.at(0.5, self._lurk)
        for name in REPLICAS:
            node = self.world.nodes[name]
            if node.gate_shared and self.world.random.random() < 0.1:
                self.world.say(f"cut off {name} in the middle of a start")
                self.cut_off(node)

    def _strike(self) -> None:
        world, random = self.world, self.world.random
        world.at(self.pause * random.choice((1.0, 5.0, 20.0, 60.0)), self._strike)
        node = world.nodes[random.choice((*REPLICAS, *NODES))]
        fault = random.choice(
            (
                self.cut_off,
                self.cut_one_way,
                self.cut_replication,
                self.heal,
                self.kill_host,
                self.stop,
                self.kill,
                self.kill_between,
                self.crash_loop,
                self.freeze,
                self.jump,
                self.suspend,
                self.etcd_off,
                self.etcd_slow,
                self.cut_and_stop,
                self.cut_and_stop,
                self.cut_and_loop,
                self.cut_and_come_back,
                self.part_and_kill,
            )
        )
        if node.is_up:
            world.say(f"{fault.__name__} {node.name}")
            fault(node)

    def cut_off(self, node: Node) -> None:
        for other in NODES:
            if other != node.name:
                self.world.cut |= {(node.name, other), (other, node.name)}

    def cut_one_way(self, node: Node) -> None:
        other = self.world.random.choice([name for name in NODES if name != node.name])
        self.world.cut.add((node.name, other))

    def cut_replication(self, node: Node) -> None:
        self.world.link_cut = True

    def heal(self, node: Node) -> None:
        self.world.cut.clear()
        self.world.link_cut = False
        self.world.slow = 1.0

    def kill_host(self, node: Node) -> None:
        self.world.power_off(node, "dies")

    def _process(self, node: Node) -> Process:
        return node.processes[self.world.random.choice(("lease", "lease", "mcvd", "manager"))]

    def stop(self, node: Node) -> None:
        seconds = self.world.random.choice((3, 7, 15, 40))
        self._process(node).stopped_until = self.world.time + seconds

    def kill(self, node: Node) -> None:
        self._process(node).end(self.world.random.choice((0.2, 1.0)))

    def kill_between(self, node: Node) -> None:
        process = self._process(node)
        process.kill_at = process.calls + self.world.random.randrange(1, 30)

    def crash_loop(self, node: Node) -> None:
        """mcv-lease dies every second for a while."""
        left = self.world.random.randrange(20, 60)

        def again(left: int) -> None:
            if left and node.is_up:
                node.processes["lease"].end(0.1)
                self.world.at(1.0, lambda: again(left - 1))

        again(left)

    def freeze(self, node: Node) -> None:
        node.frozen_until = self.world.time + self.world.random.choice((5, 30, 60))

    def suspend(self, node: Node) -> None:
        """Nothing of the host runs, and its clock, which counts that, has jumped afterwards."""
        node.frozen_until = self.world.time + self.world.random.choice((1.0, 3.0, 10.0))

    def jump(self, node: Node) -> None:
        """A clock is suddenly wrong, to the side that the design allows for.

        A lease may end too early by it, and others may be watched for too long. The other side is
        what a clock's drift of a hundredth bounds: a taker's clock that leaps takes too early. So
        what watches others is started anew on a node whose clock has leapt.
        """
        seconds = self.world.random.choice((1.0, 10.0))
        if node.name in REPLICAS:
            node.jump += seconds
            node.processes["manager"].end(1.0)
        else:
            node.jump -= seconds

    def cut_and_stop(self, node: Node) -> None:
        """Its lease's process is stopped about when the lease ends."""
        self.world.slow = self.world.random.choice((1.0, 5.0, 10.0))
        self.world.at(3.0, lambda: self.cut_off(node))
        lease, seconds = node.processes["lease"], self.world.random.uniform(8, 16)

        def stop() -> None:
            lease.stopped_until = self.world.time + 40

        self.world.at(seconds, stop)

    def cut_and_loop(self, node: Node) -> None:
        self.cut_off(node)
        self.crash_loop(node)

    def cut_and_come_back(self, node: Node) -> None:
        """The network is back about when the lease may be taken."""
        self.cut_off(node)
        self.world.at(self.world.random.uniform(19, 25), lambda: self.heal(node))

    def part_and_kill(self, node: Node) -> None:
        """The replicas lose each other, and then the one that went on dies."""
        self.world.cut |= {REPLICAS, REPLICAS[::-1]}
        seconds = self.world.random.uniform(1, 12)

        def kill() -> None:
            if node.is_up:
                self.kill_host(node)

        self.world.at(seconds, kill)

    def etcd_off(self, node: Node) -> None:
        node.voter = False
        self.world.at(self.world.random.uniform(2, 40), lambda: setattr(node, "voter", True))

    def etcd_slow(self, node: Node) -> None:
        self.world.slow = self.world.random.choice((3.0, 10.0))
