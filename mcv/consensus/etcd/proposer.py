"""A proposer's side: build the next document, swap it in, and see what came of a lost answer."""

import random
import time
from collections.abc import Callable
from typing import Any

from mcv.consensus.etcd.door import ALONE, Beside, Shown
from mcv.consensus.etcd.quorum import no_quorum
from mcv.consensus.etcd.reader import Reader
from mcv.consensus.etcd.traces import traces
from mcv.consensus.unanimous import timeouts
from mcv.document.generation import made_now
from mcv.document.model import Cluster, digest
from mcv.errors import (
    Busy,
    CallLost,
    LookAgain,
    McvError,
    OutcomeOpen,
    PeerUnreachable,
    Refused,
    StoreMoved,
    SystemFailed,
)
from mcv.system import room

LOST = 10.0  # s in which the outcome of a swap without an answer is looked up


class Proposer:
    """The part of a node that is asked for a change.

    `silent` names the voters that do not answer now; it is asked where there is no majority.
    """

    def __init__(self, reader: Reader, silent: Callable[[], list[str]]) -> None:
        self._reader = reader
        self._me = reader.contact.me
        self._store = reader.store
        self._silent = silent
        self.deaf: set[str] = set()  # members that did not answer when they were told last

    def propose(
        self,
        name: str,
        params: dict[str, Any],
        id: str,
        who: str,
        why: str,
        beside: Beside = ALONE,
        look: Callable[[], None] = lambda: None,
    ) -> Cluster:
        """Have a change committed; `look` is asked right before, and may refuse it."""
        if damage := self._reader.contact.damage:
            raise damage
        until = time.monotonic() + timeouts.RETRY
        while True:
            shown = self.refreshed()
            base = self._store.read()
            if id in base.changes:
                return base
            if base.store is None or base.store.id != self._reader.door.keys.id:
                raise StoreMoved("The document does not lie in this etcd any more.")
            made = made_now(self._me, id=id, who=who, why=why)
            new = self._reader.judge.make(base, name, params, made)
            if new is base:
                return base
            self._require_may_write(base, new)
            look()
            if new.parent == shown.head.hash and self._swapped(shown, new, beside):
                self._tell(base, new)
                return self._store.read()
            if time.monotonic() > until:
                raise Busy("The document keeps changing.", "Try again.")
            time.sleep(random.uniform(0.005, 0.05))

    def _tell(self, base: Cluster, new: Cluster) -> None:
        """Have the members read the change before its proposer goes on, and wait a moment for it.

        What comes next may be a step that one of them serves under a claim of this change. A
        member that did not answer last time is not waited for: it reads the change by itself.
        """
        others = {*base.online, *new.online} - {self._me} - self.deaf
        self.deaf |= {*self._reader.questions.commit_all(sorted(others), digest(new))}

    def _require_may_write(self, base: Cluster, new: Cluster) -> None:
        """Raise Refused where the readers would not take the change, or it cannot be kept here."""
        self._reader.judge.require(base, new)
        if problem := room.problem(self._store.path.parent):
            raise Refused(
                f"{self._me} can write nothing down ({problem}), so nothing was changed.",
                f"Make room on {self._me}: df -h",
            )

    def refreshed(self) -> Shown:
        try:
            return self._reader.refresh()
        except (PeerUnreachable, CallLost) as error:
            raise self._no_quorum(error) from error

    def _no_quorum(self, error: McvError) -> PeerUnreachable:
        document = self._store.read()
        voters = [*(document.store.voters if document.store else ())]
        if document.witness is not None:
            voters.append(document.witness.name)
        return no_quorum(voters, self._silent(), error.message)

    def _swapped(self, shown: Shown, new: Cluster, beside: Beside) -> bool:
        """Put a document in the place of its parent; False where another came before."""
        try:
            is_done = self._swap(shown, new, beside)
        except PeerUnreachable as error:
            raise self._no_quorum(error) from error
        except CallLost as lost:
            is_done = self._outcome(shown, new, beside, lost)
        return is_done and self._written_down(new)

    def _swap(self, shown: Shown, new: Cluster, beside: Beside) -> bool:
        """The same, with the keys of what the change removes."""
        door = self._reader.door
        return door.swap(shown, new, beside, traces(door, self._store.read(), new))

    def _outcome(self, shown: Shown, new: Cluster, beside: Beside, lost: CallLost) -> bool:
        """The outcome of a swap without an answer; raise OutcomeOpen where it stays unknown.

        While the head is the old one the same swap is tried again: only one of them can succeed.
        """
        until = time.monotonic() + LOST
        while time.monotonic() < until:
            try:
                now = self._reader.refresh()
                if new.change.id in self._store.read().changes:
                    return True
                if now.revision != shown.revision:
                    return False
                return self._swap(shown, new, beside)
            except (PeerUnreachable, CallLost, LookAgain):
                time.sleep(0.2)
        raise OutcomeOpen(
            f"etcd did not say whether the change was made ({lost.message.rstrip('.')}).",
            "It is known as soon as a majority answers: mcv repair",
        )

    def _written_down(self, new: Cluster) -> bool:
        """Keep here what is committed there. True: the document of this node contains it."""
        try:
            if not self._reader.adopt(new) and new.change.id not in self._store.read().changes:
                self.refreshed()
        except SystemFailed as error:
            raise OutcomeOpen(
                f"The change is made, and {self._me} cannot write that down: {error.message}",
                f"It is written by itself when there is room on {self._me}: df -h",
            ) from error
        return True
