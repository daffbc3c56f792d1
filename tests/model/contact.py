"""After lies about the dead: what each side did is found out at first contact, and kept."""

from mcv.document.model import Cluster, decode
from tests.model.checks import Violation, version
from tests.model.network import CALM
from tests.model.node import SimNode
from tests.model.walk import Walk

ROUNDS = 10
SECONDS = 30.0


class Contact:
    """Links are whole again: divergences are seen, losing copies paused, nothing destroyed."""

    def __init__(self, walk: Walk) -> None:
        self.walk = walk
        self.world = walk.world
        self.ran: set[tuple[str, str]] = set()
        self.held: dict[str, Cluster] = {}

    def make(self) -> None:
        """Heal all and look; raise Violation where a lie stays hidden or has destroyed a thing."""
        self._heal()
        self.world.scheduler.run(SECONDS, self.walk.after)
        self._judge_divergence()
        for _ in range(ROUNDS):
            if not self.wrong():
                break
            self._mend()
            self.world.scheduler.run(SECONDS, self.walk.after)
        else:
            self._fail("stuck", "; ".join(self.wrong()))
        self._judge_what_is_left()

    def nodes(self) -> list[SimNode]:
        return list(self.world.nodes.values())

    def _heal(self) -> None:
        world = self.world
        world.say("--- contact")
        world.network.conditions = CALM
        world.load = 0.0
        world.network.cut.clear()
        self.walk.crash_at = None
        for node in self.nodes():
            if node.daemon is None:
                world.boot(node.name)
            else:
                world.scheduler.thaw(node.life)
            node.domains.stopped.clear()
            self.ran |= {(node.name, vm) for vm in node.domains.active}
            self.held[node.name] = node.document()

    def _judge_divergence(self) -> None:
        """Whose document excludes another's says so, on both sides, and starts nothing new."""
        checks = self.world.checks
        for one in self.nodes():
            for other in self.nodes():
                if one.daemon is None or other.daemon is None:
                    continue
                mine, theirs = one.document(), other.document()
                if checks.related(mine, theirs):
                    continue
                for node in (one, other):
                    assert node.daemon is not None
                    if not node.daemon.consensus.diverged:
                        self._fail("hidden", f"{node.name}: {version(mine)} | {version(theirs)}")

    def wrong(self) -> list[str]:
        found = []
        documents = {}
        running: dict[str, str] = {}
        for node in self.nodes():
            if node.daemon is None:
                return [f"{node.name} has no daemon"]
            document, hash_ = node.daemon.host.consensus.committed()
            documents[hash_] = f"{node.name}: {version(document)}"
            if node.daemon.host.consensus.proposal() is not None:
                found.append(f"{node.name} holds a proposal")
            if node.name not in document.online:
                found.append(f"{node.name} is not online")
            for vm in node.domains.active:
                if node.active(vm) and running.setdefault(vm, node.name) != node.name:
                    found.append(f"{vm} runs on {running[vm]} and {node.name}")
        if len(documents) > 1:
            found.append(" | ".join(documents.values()))
        return found

    def _mend(self) -> None:
        """An operator's commands: say whose document goes on, end maintenance, repair."""
        world = self.world
        up = [node for node in self.nodes() if node.daemon is not None]
        for node in self.nodes():
            if node.daemon is None:
                world.boot(node.name)
        diverged = [node for node in up if node.daemon and node.daemon.consensus.diverged]
        if diverged:
            node = world.chance.choice(diverged)
            world.operate(node.name, "cluster.sync", node=node.name)
            return
        if not up:
            return
        node = world.chance.choice(up)
        for name, one in node.document().nodes.items():
            if one.maintenance:
                world.operate(node.name, "node.online", name=name)
        world.operate(node.name, "repair")

    def _judge_what_is_left(self) -> None:
        for name, vm in sorted(self.ran):
            domains = self.world.nodes[name].domains
            if vm not in domains.active and vm not in domains.stopped:
                self._fail("destroyed", f"{vm} ran on {name} and is gone")
        for name, document in self.held.items():
            history = self.world.nodes[name].settings.state / "history"
            kept = [decode(path.read_bytes()) for path in history.glob("*.json")]
            if document not in kept:
                self._fail("destroyed", f"{name} has lost {version(document)}")

    def _fail(self, kind: str, why: str) -> None:
        self.world.say(f"!! {kind}: {why}")
        raise Violation(kind, why)
