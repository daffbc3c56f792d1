"""What must be true after every step, whatever happened."""

from pathlib import Path
from typing import TYPE_CHECKING

from mcv.document.model import Cluster, decode, digest

if TYPE_CHECKING:
    from tests.model.world import World


class Violation(Exception):
    """A promise was broken; the world's log tells how."""

    def __init__(self, kind: str, what: str) -> None:
        self.kind = kind
        super().__init__(f"{kind}: {what}")


class Checks:
    """Remembers what was ever settled and acknowledged, and compares."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.broken: list[Violation] = []
        self.root = ""
        self._versions: dict[tuple[str, int], str] = {}
        self._chain: dict[int, str] = {}
        self.newest: Cluster | None = None
        self._acknowledged: dict[str, int] = {}  # user added: generation that had it
        self._refused: set[str] = set()
        self._parents: dict[str, tuple[str, ...]] = {}
        self._last: dict[str, tuple[int, str]] = {}

    def fail(self, kind: str, what: str) -> None:
        self._world.say(f"!! {kind}: {what}")
        self.broken.append(Violation(kind, what))

    # The document

    def written(self, node: str, path: Path) -> None:
        """A node has written a document: a proposal, a copy in its history, or as settled."""
        document = decode(path.read_bytes())
        if document.epochs[0].id != self.root:
            return
        hash_ = digest(document)
        pasts = document.epochs[-1].also
        self._parents[hash_] = (document.parent, *(past.hash for past in pasts))
        if path.name == "config.json":
            self._settled(node, document, hash_)

    def contains(self, newer: str, older: str) -> bool:
        """Whether a document was made over another, by the parents of all that were written."""
        todo, seen = [newer], set[str]()
        while todo:
            one = todo.pop()
            if one == older:
                return True
            if one not in seen:
                seen.add(one)
                todo.extend(self._parents.get(one, ()))
        return False

    def related(self, one: Cluster, other: Cluster) -> bool:
        mine, theirs = digest(one), digest(other)
        return self.contains(mine, theirs) or self.contains(theirs, mine)

    def _judge_lineage(self, node: str, document: Cluster, hash_: str) -> None:
        """A node's settled document gives way only to one that was made over it."""
        installed = self._world.nodes[node].installed
        before, last = self._last.get(node, (installed, hash_))
        self._last[node] = (installed, hash_)
        if before == installed and not self.contains(hash_, last):
            self.fail("overwritten", f"{node} gave #{last[:6]} up for {version(document)}")

    def _settled(self, node: str, document: Cluster, hash_: str) -> None:
        """A document has become the settled one on a node."""
        self._world.say(f"{node} settles {version(document)} #{hash_[:6]}")
        key = (document.epoch.id, document.generation)
        if self._versions.setdefault(key, hash_) != hash_:
            self.fail("fork", f"two documents settled as {version(document)}")
        self._judge_lineage(node, document, hash_)
        if self._world.lied:
            self._keep_newest(document)
            return
        if self._chain.setdefault(document.generation, hash_) != hash_:
            self.fail("chain", f"{version(document)} is beside another of its generation")
        before = self._chain.get(document.generation - 1)
        if before not in (None, document.parent):
            self.fail("chain", f"{version(document)} does not follow what was settled")
        self._keep_newest(document)
        self._judge_users(document)

    def _keep_newest(self, document: Cluster) -> None:
        if self.newest is None or document.generation > self.newest.generation:
            self.newest = document

    def _judge_users(self, document: Cluster) -> None:
        users = set(document.permissions.superusers)
        for user, generation in self._acknowledged.items():
            if document.generation >= generation and user not in users:
                self.fail("lost", f"{user} was acknowledged and is not in {version(document)}")
        for user in self._refused & users:
            self.fail("refused", f"{user} was refused and is in {version(document)}")

    def acknowledged(self, user: str, document: Cluster) -> None:
        """An operator was told that a change is made, on a node that holds this document."""
        if document.epochs[0].id != self.root:
            return
        if user not in document.permissions.superusers:
            self.fail("acknowledged", f"{user} is not in the document of who said so")
        self._acknowledged[user] = document.generation

    def undone(self, job: str) -> None:
        """An operator was told that a plan failed and was undone: each change was taken back."""
        made = set(self.newest.changes) if self.newest is not None else set()
        for change in made:
            operation, _, number = change.partition(".")
            if operation == job and number.isdigit() and f"{job}.u{number}" not in made:
                self.fail("not undone", f"change {change} was made and not taken back")

    def refused(self, user: str) -> None:
        self._refused.add(user)
        if self.newest is not None and user in self.newest.permissions.superusers:
            self.fail("refused", f"{user} was refused and is settled")

    # Everything else, after every turn

    def look(self) -> None:
        """P1: at most one copy runs, and at most one node may start one."""
        world = self._world
        running: dict[str, str] = {}
        for name, node in world.nodes.items():
            for vm, state in node.domains.active.items():
                if state != "running":
                    continue
                if vm in running and not world.lied:
                    self.fail("two run", f"{vm} runs on {running[vm]} and {name}")
                running[vm] = name
        if not world.lied:
            self._judge_owners()
        if self.broken:
            raise self.broken[0]

    def _judge_owners(self) -> None:
        owners: dict[str, str] = {}
        for name, node in self._world.nodes.items():
            if node.daemon is None or not node.daemon.consensus.in_contact:
                continue
            if node.daemon.consensus.diverged:
                self.fail("divergence", f"{name} sees {sorted(node.daemon.consensus.diverged)}")
            both = node.daemon.host.both()
            for vm in both[0].vms:
                mine = all(vm in one.vms and one.vms[vm].node == name for one in both)
                if mine and owners.setdefault(vm, name) != name:
                    self.fail("two own", f"{vm} is {owners[vm]}'s, and {name}'s too")


def version(document: Cluster) -> str:
    online = "".join(name[-1] for name in document.online)
    change = document.change
    return (
        f"{document.epoch.number}.{document.epoch.id[:3]}/{document.generation} on={online} "
        f"({change.why}, {change.id})"
    )
