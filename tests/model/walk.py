"""A random walk: what happens next, drawn from the seed, and the peace after it."""

from collections.abc import Callable

from mcv.cluster import leaving
from tests.model.world import World

REFUSALS = {"Refused", "Busy", "PeerUnreachable", "NotFound", "LookAgain"}


class Walk:
    """The rules: each does one thing to the world, where it can be done."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.users = 0
        self.pending: list[tuple[str, str, list[object]]] = []
        self.crash_at: tuple[int, str, bool] | None = None
        self.rules: list[tuple[float, Callable[[str], None]]] = [
            (10, self.add_user),
            (12, self.start),
            (6, self.stop),
            (12, self.move),
            (4, self.read),
            (3, self.update),
            (4, self.create_or_delete),
            (4, self.crash_soon),
            (2, self.crash),
            (12, self.boot),
            (3, self.cut),
            (4, self.heal),
            (2, self.freeze),
            (4, self.declare),
            (4, self.take_over),
            (2, self.maintain),
            (2, self.member),
            (2, self.repair),
            (2, self.shut_down),
            (4, self.lose_the_keeper),
        ]

        if world.lies:
            self.rules = [one for one in self.rules if one[1] != self.member]

    def step(self) -> None:
        """Let things run for a while, then do one thing."""
        world, chance = self.world, self.world.chance
        self.turns(chance.choice([0, 2, 8, 30, 90]))
        if chance.random() < 0.2:
            world.scheduler.run(chance.choice([0.5, 4.0, 12.0]), self.after)
        weights = [weight for weight, _ in self.rules]
        rule = chance.choices([one for _, one in self.rules], weights)[0]
        rule(self.somebody(serving=rule not in (self.boot, self.cut, self.heal)))
        self.after()

    def somebody(self, serving: bool) -> str:
        """A node: for most rules one that serves, if any does."""
        nodes = self.world.nodes
        wanted = [name for name in sorted(nodes) if nodes[name].serves == serving]
        if not serving and self.world.chance.random() < 0.3:
            wanted = []
        return self.world.chance.choice(wanted or sorted(nodes))

    def owner(self, name: str, vm: str) -> str:
        """The node that owns a VM, mostly, where it is known."""
        newest = self.world.checks.newest
        if newest is None or vm not in newest.vms or self.world.chance.random() < 0.3:
            return name
        return newest.vms[vm].node

    def after(self) -> None:
        """After every turn: what must be true is, and a crash that is due comes."""
        world = self.world
        if self.crash_at is not None and world.scheduler.turns >= self.crash_at[0]:
            _, name, host = self.crash_at
            self.crash_at = None
            if world.nodes[name].daemon is not None:
                world.crash(name, host)
        for node in world.nodes.values():
            if node.life.off and node.daemon is not None:
                world.crash(node.name, host=True)
        self.hear()
        world.checks.look()

    def hear(self) -> None:
        """What operators were told counts from then on."""
        for one in list(self.pending):
            name, user, told = one
            if not told:
                continue
            self.pending.remove(one)
            end = told[0]
            if not isinstance(end, dict):
                continue
            if "class" not in end:
                daemon = self.world.nodes[name].daemon
                if daemon is not None:
                    self.world.checks.acknowledged(user, daemon.host.read())
            elif end["class"] in REFUSALS:
                self.world.checks.refused(user)

    # The rules

    def add_user(self, name: str) -> None:
        self.users += 1
        user = f"u{self.users}"
        told = self.world.operate(name, "permission.add", user=user)
        self.pending.append((name, user, told))

    def vm(self) -> str:
        """A VM by lot, seldom one that is not there."""
        newest, chance = self.world.checks.newest, self.world.chance
        there = sorted(newest.vms) if newest is not None else ["web1", "web2"]
        return chance.choice(there) if there and chance.random() < 0.95 else "web3"

    def start(self, name: str) -> None:
        vm = self.vm()
        self.world.operate(self.owner(name, vm), "vm.start", name=vm)

    def stop(self, name: str) -> None:
        vm = self.vm()
        self.world.operate(self.owner(name, vm), "vm.stop", name=vm)

    def move(self, name: str) -> None:
        """Move a VM, mostly one that is stopped; another start of it may come in between."""
        vm, chance = self.vm(), self.world.chance
        name = self.owner(name, vm)
        to = chance.choice(sorted(set(self.world.nodes) - {name}))
        if self.world.nodes[name].active(vm) and chance.random() < 0.7:
            self.world.operate(name, "vm.stop", name=vm)
            self.world.scheduler.run(0.2, self.after)
        start = chance.random() < 0.5
        self.world.operate(name, "vm.migrate", name=vm, to=to, start_after_migration=start)
        if chance.random() < 0.6:
            for where in (name, to):
                self.turns(chance.randint(1, 160))
                self.world.operate(where, "vm.start", name=vm)

    def update(self, name: str) -> None:
        vm, cpus = self.vm(), self.world.chance.randint(1, 9)
        self.world.operate(self.owner(name, vm), "vm.update", name=vm, cpus=cpus)

    def create_or_delete(self, name: str) -> None:
        if not self.is_member(name):
            return
        newest = self.world.checks.newest
        if newest is None or "web3" not in newest.vms:
            self.world.operate(name, "vm.create", name="web3", memory="64MiB")
        else:
            self.world.operate(name, "vm.delete", name="web3")

    def read(self, name: str) -> None:
        """Reads answer in time, whichever peers are dead, cut off or hung."""
        node = self.world.nodes[name]
        if not node.serves:
            return
        began = self.world.scheduler.now
        life, hung = node.life, node.life.hung
        what = self.world.chance.choice(["cluster.info", "vm.list", "config.history"])
        told = self.world.operate(name, what)

        def late() -> None:
            if life.alive and not told and life.hung == hung:
                self.world.checks.fail("slow read", f"{what} on {name} since {began:.2f}")
            if told and isinstance(told[0], dict) and "class" in told[0]:
                self.world.checks.fail("read refused", f"{what} on {name}: {told[0]}")

        self.world.scheduler.spawn(life, late, "late", 3.0)

    def crash(self, name: str) -> None:
        if self.world.nodes[name].daemon is not None:
            self.world.crash(name, host=self.world.chance.random() < 0.6)

    def lose_the_keeper(self, name: str) -> None:
        """During a change the coordinator is cut off from somebody, dies, and is declared."""
        world, chance = self.world, self.world.chance
        newest = world.checks.newest
        coordinator = newest.coordinator if newest is not None else name
        others = sorted(set(world.nodes) - {coordinator})
        self.add_user(chance.choice([name, coordinator]))
        self.turns(chance.randint(1, 90))
        if chance.random() < 0.7:
            world.network.cut.add(frozenset((coordinator, chance.choice(others))))
            self.turns(chance.randint(0, 60))
            world.scheduler.run(chance.choice([0.0, 3.0, 8.0]), self.after)
        if world.nodes[coordinator].daemon is not None:
            world.crash(coordinator, host=chance.random() < 0.8)
        world.scheduler.run(chance.choice([0.0, 4.0]), self.after)
        self.declare(chance.choice(others))

    def turns(self, count: int) -> None:
        for _ in range(count):
            self.world.scheduler.turn(self.world.scheduler.now + 0.5)
            self.after()

    def crash_soon(self, name: str) -> None:
        """Crash in the midst of what comes next."""
        turns = self.world.scheduler.turns + self.world.chance.randint(1, 60)
        self.crash_at = (turns, name, self.world.chance.random() < 0.5)

    def boot(self, name: str) -> None:
        world = self.world
        if world.nodes[name].daemon is not None:
            world.scheduler.thaw(world.nodes[name].life)
            return
        if world.declared(name):
            # What was called dead must not come back where it cannot reach the others.
            world.network.cut = {pair for pair in world.network.cut if name not in pair}
        world.boot(name)

    def cut(self, name: str) -> None:
        other = self.world.chance.choice(sorted(set(self.world.nodes) - {name}))
        self.world.network.cut ^= {frozenset((name, other))}
        self.world.say(f"the link {name}-{other} changes")

    def heal(self, name: str) -> None:
        self.world.network.cut.clear()
        self.world.say("all links are whole")

    def freeze(self, name: str) -> None:
        """Stop a daemon as SIGSTOP does; its host answers, its VMs run on."""
        node = self.world.nodes[name]
        if node.daemon is not None and not node.life.frozen:
            self.world.say(f"{name}: the daemon hangs")
            self.world.scheduler.freeze(node.life)

    def dead(self, name: str) -> list[str]:
        """Whom an operator on this node may call dead: honest, those whose host is off."""
        world = self.world
        node = world.nodes[name]
        if node.daemon is None:
            return []
        document = node.daemon.host.both()[-1]
        if world.lies:
            return [
                one
                for one in document.nodes
                if one != name
                and (not world.nodes[one].host_up or not world.network.linked(name, one))
            ]
        return [one for one in document.nodes if not world.nodes[one].host_up]

    def stale(self, asked: str, names: list[str]) -> bool:
        """Whether the living who would decide without the dead have all missed something.

        An operator who names whoever was online last, on a node that was not, gives up
        what they had settled since; an honest one starts one of those.
        """
        world = self.world
        newest = world.checks.newest
        if newest is None:
            return False
        return not any(
            node.daemon is not None
            and name not in names
            and world.network.linked(asked, name)
            and node.daemon.host.read().generation >= newest.generation - 1
            and name in newest.online
            for name, node in world.nodes.items()
        )

    def declare(self, name: str) -> None:
        names = self.dead(name)
        if not names:
            return
        if len(names) > 1 and self.world.chance.random() < 0.3:
            names = [self.world.chance.choice(names)]
        if self.world.lies:
            self.world.lied = True
        elif self.stale(name, names):
            return
        self.world.operate(name, "node.offline", names=names, confirm_dead=True)

    def take_over(self, name: str) -> None:
        self.world.operate(name, "vm.register", name=self.vm(), node=name)

    def maintain(self, name: str) -> None:
        node = self.world.nodes[name]
        other = self.world.chance.choice(sorted(self.world.nodes))
        if node.daemon is None:
            return
        known = node.daemon.host.read().nodes
        if other in known and known[other].status == "offline":
            self.world.operate(name, "node.online", name=other)
        else:
            self.world.operate(name, "node.offline", names=[other])

    def member(self, name: str) -> None:
        """Remove a member, or add a host that is installed anew."""
        world = self.world
        other = world.chance.choice(sorted(set(world.nodes) - {name}))
        node = world.nodes[name]
        if node.daemon is None:
            return
        if other in node.daemon.host.read().nodes:
            force = not world.nodes[other].host_up
            if world.chance.random() < 0.3:
                world.operate(name, "cluster.remove_node", node=other, force=force)
            return
        if not self.is_member(name) or self.is_member(other):
            return
        there = world.nodes[other]
        if there.daemon is None:
            there.install()
            world.boot(other)
        world.operate(name, "cluster.add_node", node=other, ip_address=there.address)

    def is_member(self, name: str) -> bool:
        newest = self.world.checks.newest
        return newest is None or name in newest.nodes

    def shut_down(self, name: str) -> None:
        """Shut a host down in good order: its domains first, then its daemon, then power off."""
        world = self.world
        node = world.nodes[name]
        if node.daemon is None:
            return
        node.domains.active.clear()
        daemon, life = node.daemon, node.life
        world.say(f"{name}: the host shuts down")

        def work() -> None:
            leaving.leave_in_order(daemon.host)
            world.say(f"{name}: leaves{'' if name not in node.document().online else ' as online'}")
            world.scheduler.sleep(world.chance.choice([0.0, 0.5, 6.0]))
            life.off = True

        world.scheduler.spawn(life, work, "shut down")

    def repair(self, name: str) -> None:
        self.world.operate(name, "repair")
