"""Being in contact: whether this node has heard enough since its start for its word to count."""

import logging
from collections.abc import Iterable

from mcv.document.store import Store
from mcv.errors import Diverged, PeerUnreachable, Refused, ways_out

log = logging.getLogger(__name__)


class Contact:
    """What one node knows of the others, since its start alone."""

    def __init__(self, me: str, store: Store) -> None:
        self.me = me
        self.store = store
        self.diverged: dict[str, str] = {}  # who holds another document, and its hash
        self.removed_by: set[str] = set()  # who says that this node is no member
        self.heard: set[str] = set()
        self._all_heard = False

    def forget(self) -> None:
        """Be as after a start: this node has become a member, or is none any more."""
        self.heard.clear()
        self.removed_by.clear()
        self._all_heard = False

    def note_divergence(self, node: str, hash_: str) -> None:
        if self.diverged.get(node) != hash_:
            log.error("%s holds another document than %s: %s", node, self.me, hash_)
        self.diverged[node] = hash_

    def keep_members(self) -> None:
        """Forget what was heard of those who are none any more in the newest document."""
        document = self.store.read()
        self.removed_by &= set(document.online)
        self.diverged = {key: one for key, one in self.diverged.items() if key in document.nodes}

    @property
    def is_whole(self) -> bool:
        """Whether everyone whom the newest document calls online has answered since the start.

        In a divergence nobody is, nor one that a member calls no member, nor one that is
        offline in the document, or will be once the proposal is settled.
        """
        if self.diverged or self.removed_by:
            return False
        both = self.store.both()
        if any(self.me not in one.online for one in both):
            return False
        if not self._all_heard:
            self._all_heard = set(both[0].online) - {self.me} <= self.heard
        return self._all_heard

    def require(self) -> None:
        """Raise Refused, or Diverged, with what helps, unless this node is in contact."""
        if self.removed_by:
            raise Refused(
                f"{names(sorted(self.removed_by))} says that {self.me} is no member any more.",
                "Make this node blank with: mcv cluster leave; it can be added again then.",
            )
        if self.diverged:
            raise Diverged(
                f"{names(sorted(self.diverged))} holds another document than {self.me}, "
                "so nothing new is started.",
                "See how with: mcv cluster check; settle it with: mcv cluster sync --from NODE",
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
                f"Start {names(silent) or 'them'}, or, if dead: "
                f"mcv node offline {' '.join(silent) or 'NODE'} --confirm-dead",
            )


def names(nodes: Iterable[str]) -> str:
    """Nodes in a sentence."""
    return " and ".join(nodes)


def unreachable(nodes: list[str]) -> PeerUnreachable:
    """Who does not answer before anything was changed, with both ways out."""
    verb = "does" if len(nodes) == 1 else "do"
    return PeerUnreachable(
        f"{names(nodes)} {verb} not answer, so nothing was changed.", ways_out(*nodes)
    )
