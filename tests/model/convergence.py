"""After the storm: links whole, hosts up but for those gone for good; all must come right."""

from tests.model.checks import Violation, version
from tests.model.network import CALM
from tests.model.node import SimNode
from tests.model.walk import Walk

ROUNDS = 14
SECONDS = 20.0  # of each round


class Convergence:
    """What an operator does after a bad night: documented commands alone."""

    def __init__(self, walk: Walk) -> None:
        self.walk = walk
        self.world = walk.world
        self.gone: set[str] = set()

    def make(self) -> None:
        """Heal all; raise Violation where something does not settle, or changes do not go on."""
        self._choose_the_gone()
        self._heal()
        for number in range(ROUNDS):
            self.walk.world.scheduler.run(SECONDS, self.walk.after)
            if not self.wrong():
                break
            self._mend(give_up=number > ROUNDS // 2)
        else:
            self._stuck("; ".join(self.wrong()))
        self._go_on()

    def living(self) -> list[SimNode]:
        return [node for name, node in self.world.nodes.items() if name not in self.gone]

    def _choose_the_gone(self) -> None:
        """Some hosts stay dead, but never all of those who were online last."""
        newest, chance = self.world.checks.newest, self.world.chance
        names = sorted(self.world.nodes)
        kept = chance.choice(newest.online if newest is not None else names)
        self.gone = {name for name in names if name != kept and chance.random() < 0.3}
        self.world.say(f"--- peace, without {sorted(self.gone)}")

    def _heal(self) -> None:
        world = self.world
        world.network.conditions = CALM
        world.load = 0.0
        world.network.cut.clear()
        self.walk.crash_at = None
        for name, node in world.nodes.items():
            if name in self.gone:
                if node.host_up:
                    world.crash(name, host=True)
            elif node.daemon is None:
                world.boot(name)
            else:
                world.scheduler.thaw(node.life)

    def wrong(self) -> list[str]:
        """What has not settled, a line each."""
        found = []
        documents = {}
        for node in self.living():
            if node.daemon is None:
                return [f"{node.name} has no daemon"]
            host = node.daemon.host
            document, hash_ = host.consensus.committed()
            documents[hash_] = f"{node.name}: {version(document)}"
            if host.consensus.proposal() is not None:
                found.append(f"{node.name} holds a proposal")
            if node.name not in document.online or not node.daemon.consensus.in_contact:
                found.append(f"{node.name} is not online and in contact")
            found += [f"{node.name}: left: {one.title}" for one in host.journal.entries()]
            for things in (document.vms, document.nodes):
                found += [f"{key} is claimed" for key, one in things.items() if one.claim]
            found += [
                f"{vm.name} belongs to {vm.node}, which is gone"
                for vm in document.vms.values()
                if vm.node in self.gone
            ]
            found += [f"{one} is gone and online" for one in document.online if one in self.gone]
        if len(documents) > 1:
            found.append(" | ".join(documents.values()))
        return found

    def _mend(self, give_up: bool) -> None:
        """The commands that help, on nodes drawn by lot; in the end the rest is given up."""
        world = self.world
        for node in self.living():
            if node.daemon is None:
                world.boot(node.name)
        member = world.chance.choice(
            [one for one in self.living() if self.walk.is_member(one.name)] or self.living()
        )
        if self._is_foreign(member):
            return
        assert member.daemon is not None
        both = member.daemon.host.both()
        dead = sorted(name for name in self.gone if any(name in one.online for one in both))
        if dead:
            world.operate(member.name, "node.offline", names=dead, confirm_dead=True)
            return
        document = both[0]
        for name, one in document.nodes.items():
            if one.maintenance and name not in self.gone:
                world.operate(member.name, "node.online", name=name)
        for vm in document.vms.values():
            if vm.node in self.gone or self._is_foreign(world.nodes[vm.node]):
                world.operate(member.name, "vm.register", name=vm.name, node=member.name)
        for node in self.living():
            if node.daemon is None:
                continue
            if self._is_stranded(node) and node is not member:
                params = {"node": node.name, "force": True}
                world.operate(member.name, "cluster.remove_node", **params)
                world.crash(node.name, host=True)
                node.install()
            elif node.name in document.nodes and self._is_foreign(node):
                params = {"node": node.name, "force": True}
                world.operate(member.name, "cluster.remove_node", **params)
            elif node.name not in document.nodes:
                if node.daemon.consensus.rejected_by:
                    world.operate(node.name, "cluster.leave")
                own = node.document().permissions.superusers if self._is_foreign(node) else ()
                for user in own:
                    world.operate(node.name, "permission.remove", user=user)
                params = {"node": node.name, "ip_address": node.address}
                world.operate(member.name, "cluster.add_node", **params)
        world.operate(member.name, "repair")
        if give_up:
            for things in (document.vms, document.nodes):
                for key, thing in things.items():
                    if thing.claim is not None and thing.claim.node not in self.gone:
                        world.operate(thing.claim.node, "locks.clear", name=key)

    def _is_foreign(self, node: SimNode) -> bool:
        """Whether a node is in a cluster of its own, or on its way there."""
        if node.daemon is None:
            return False
        return node.document().epochs[0].id != self.world.checks.root or self._is_stranded(node)

    def _is_stranded(self, node: SimNode) -> bool:
        """Whether a node knows another by a key from before it was installed anew: then
        nobody who is left can tell it better, and it has to be installed anew as well."""
        known = node.document().nodes
        others = {one.name: one for one in self.living() if one.name in known}
        return not self.is_newest(node) and any(
            known[name].certificate != one.certificate for name, one in others.items()
        )

    def is_newest(self, node: SimNode) -> bool:
        newest = self.world.checks.newest
        return newest is None or node.document().generation >= newest.generation - 1

    def _go_on(self) -> None:
        """Changes are made again wherever they are asked for, and VMs start where they belong."""
        for node in self.living():
            self.walk.add_user(node.name)
            self._expect(self.walk.pending[-1][2], f"a change asked of {node.name}")
        document = self.living()[0].document()
        for vm in document.vms.values():
            owner = self.world.nodes[vm.node]
            if not owner.domains.is_active(vm.name) and not vm.locked:
                told = self.world.operate(owner.name, "vm.start", name=vm.name)
                self._expect(told, f"starting {vm.name} on {owner.name}")
        wrong = self.wrong()
        if wrong:
            self._stuck(f"after a change: {'; '.join(wrong)}")

    def _expect(self, told: list[object], what: str) -> None:
        self.world.scheduler.run(SECONDS, self.walk.after)
        if not told or (isinstance(told[0], dict) and "class" in told[0]):
            self._stuck(f"{what}: {told[0] if told else 'no word'}")

    def _stuck(self, why: str) -> None:
        self.world.say(f"!! stuck: {why}")
        raise Violation("stuck", why)
