"""Contact: whether a node has heard enough since its start to start something new."""

import logging
from collections.abc import Callable, Sequence

from mcv.document.schema import OLDEST, SCHEMA
from mcv.document.store import Store
from mcv.errors import Diverged, McvError, PeerUnreachable, Refused, StoreMoved, wait_for
from mcv.printable import names

# What ends a divergence: nothing else does, whatever the document calls offline.
SYNC = "Keep one of them with: mcv cluster sync --from NODE. See both with: mcv cluster check"

log = logging.getLogger(__name__)


class Contact:
    """What one node has heard of the others since its start; nothing of it is kept on disk."""

    def __init__(self, me: str, store: Store) -> None:
        self.me = me
        self.store = store
        self.diverged: dict[str, str] = {}  # nodes that hold another document, and its hash
        self.rejected_by: set[str] = set()  # online members that reject this node's certificate
        self.heard: set[str] = set()
        self.reads: dict[str, int] = {}  # nodes, and the latest schema that each reads
        self.key_damage: McvError | None = None  # why this node's own key cannot be read
        self._all_heard = False
        self.advice: Callable[..., str] = wait_for  # advice(*nodes): about members without answer

    def forget(self) -> None:
        """Return to the state after a start: this node has become a member, or is none now."""
        self.heard.clear()
        self.rejected_by.clear()
        self._all_heard = False

    def note_divergence(self, node: str, hash_: str) -> None:
        """Note that a node's document neither contains this node's nor is contained in it."""
        if self.diverged.get(node) != hash_:
            log.error("%s holds another document than %s: %s", node, self.me, hash_)
        self.diverged[node] = hash_

    def keep_members(self) -> None:
        """Forget what was heard of nodes that are no members in the newest document."""
        document = self.store.read()
        self.rejected_by &= set(document.online)
        # Another thread may note a divergence meanwhile, so the dict itself stays.
        for node in set(self.diverged) - set(document.nodes):
            self.diverged.pop(node, None)

    @property
    def damage(self) -> McvError | None:
        """What of this node's own state cannot be read, so that it takes part in nothing."""
        return self.key_damage or self.store.damage

    @property
    def is_whole(self) -> bool:
        """Whether every node that the newest document calls online has answered since the start.

        False while documents diverge, while an online member rejects this node's certificate,
        and while the committed document or the proposal calls this node offline.
        """
        if self.damage or self.diverged or self.rejected_by:
            return False
        both = self.store.both()
        if any(self.me not in document.online for document in both):
            return False
        if not self._all_heard:
            self._all_heard = set(both[0].online) - {self.me} <= self.heard
        return self._all_heard

    @property
    def schema(self) -> int:
        """The latest schema of the document that every online member is known to read."""
        others = set(self.store.read().online) - {self.me}
        return min([SCHEMA, *(self.reads.get(name, OLDEST) for name in others)])

    def require(self) -> None:
        """Raise Refused, or Diverged, with what helps, unless this node is in contact."""
        if self.damage:
            raise self.damage
        if self.rejected_by:
            raise Refused(
                f"{said_of(sorted(self.rejected_by), 'says', 'say')} that {self.me} is no member "
                "any more.",
                "Make this node blank with: mcv cluster leave; it can be added again then.",
            )
        if self.diverged:
            raise Diverged(
                f"{said_of(sorted(self.diverged), 'holds', 'hold')} another document than "
                f"{self.me}, "
                "so nothing new is started.",
                SYNC,
            )
        if self.me not in self.store.both()[-1].online:
            raise Refused(
                f"{self.me} is offline in the document.",
                f"It comes back by itself, or: mcv node online {self.me}",
            )
        if not self.is_whole:
            silent = sorted(set(self.store.read().online) - {self.me} - self.heard)
            raise Refused(
                f"{self.me} has not heard from {names(silent) or 'the others'} since it started.",
                self.advice(*silent) if silent else "See: mcv info",
            )

    def unreachable(self, nodes: list[str]) -> PeerUnreachable:
        """The error for nodes that do not answer before anything was changed, with advice."""
        silent = said_of(nodes, "does", "do")
        return PeerUnreachable(f"{silent} not answer, so nothing was changed.", self.advice(*nodes))


def moved_to_etcd() -> StoreMoved:
    """What every side of unanimous agreement says once the document lies in etcd."""
    return StoreMoved("The document lies in etcd.")


def said_of(nodes: Sequence[str], verb: str, plural: str) -> str:
    """Nodes and a verb in their number: "n2 holds", "n2 and n3 hold"."""
    return f"{names(nodes)} {verb if len(nodes) == 1 else plural}"
