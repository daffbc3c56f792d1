"""A node's reading of the document in etcd: what is newer is judged, then written to its disk."""

import logging
import threading
import time
from collections.abc import Callable

from mcv.consensus.etcd.door import Door, Head, Shown
from mcv.consensus.unanimous.contact import SYNC, Contact
from mcv.consensus.unanimous.judge import Judge, linked
from mcv.consensus.unanimous.wire import Questions
from mcv.document.lineage import relation
from mcv.document.model import Cluster, digest
from mcv.errors import Diverged, LookAgain, McvError, NotUnderstood, Refused

log = logging.getLogger(__name__)

TRIES = 20  # while others replace the document in the middle of a read


class Reader:
    """Keeps this node's copy of the document in step with the one in etcd."""

    def __init__(self, door: Door, contact: Contact, questions: Questions, judge: Judge) -> None:
        self.door = door
        self.judge = judge
        self.store = contact.store
        self.contact = contact
        self.questions = questions
        self.writing = threading.RLock()
        self.read_at = float("-inf")  # when the last read began that a majority answered
        self.unfit = ""  # hash of a document in etcd that does not follow this node's
        self.gap = ""  # why a document was taken whose past this node does not know
        self.on_commit: Callable[[], None] = lambda: None
        self.on_gap: Callable[[str], None] = lambda why: None

    def refresh(self) -> Shown:
        """Take the newest document, and return its head.

        Raises PeerUnreachable without a majority, Diverged where the document in etcd does not
        follow this node's, Refused where there is none.
        """
        for _ in range(TRIES):
            began, (own, hash_) = time.monotonic(), self.store.committed()
            shown = self.door.head()
            if shown is None:
                raise Refused("etcd holds no document of this cluster.", "See: mcv cluster check")
            try:
                if shown.head.hash == hash_ or self._take(shown, own, hash_):
                    self.read_at, self.unfit = began, ""
                    return shown
            except LookAgain:
                continue
            except (Diverged, NotUnderstood) as error:
                self.unfit = shown.head.hash
                log.error("the document in etcd is not taken: %s", error)
                raise Diverged(error.message, SYNC) from error
        raise LookAgain("The document keeps changing.", "Try again.")

    def take_if_newer(self) -> None:
        """Take what the door shows where it is newer than what this node has.

        Raises PeerUnreachable, LookAgain, or Diverged where neither contains the other.
        """
        (own, hash_), shown = self.store.committed(), self.door.head()
        if shown is None or shown.head.hash == hash_:
            return
        new = self.door.chain(shown, hash_)[-1]
        if relation(own, hash_, new, shown.head.hash) != "older":
            self.refresh()

    def adopt(self, new: Cluster) -> bool:
        """Write the child of this node's document down; False where this node has moved on."""
        return self._written(new, [], new.parent)

    def _take(self, shown: Shown, own: Cluster, hash_: str) -> bool:
        """Judge what leads from this node's document to the head, and write it down."""
        chain = self.door.chain(shown, hash_)
        new = chain[-1]
        # This node's document was in etcd before the head was read, so the head contains it.
        if relation(own, hash_, new, shown.head.hash) != "newer":
            raise Diverged("The document in etcd does not contain the one of this node.")
        if hash_ not in [each.parent for each in chain]:
            chain = self._completed(chain, hash_)
        parents = [each.parent for each in chain]
        if hash_ in parents:
            chain = chain[parents.index(hash_) :]
            self._require_chain(own, chain)
        else:
            self._require_shown(shown.head, own)
            self._require_chain(chain[0], chain[1:])
            self.gap = (
                f"{self.contact.me} does not know what led from generation {own.generation} to "
                f"{chain[0].generation}: no member that answered keeps it."
            )
            log.warning("%s", self.gap)
            self.on_gap(self.gap)
        return self._written(new, chain[:-1], hash_)

    def _written(self, new: Cluster, between: list[Cluster], judged: str) -> bool:
        with self.writing:
            if self.store.hash() != judged:
                return False
            self.store.adopt(new, between)
        self.on_commit()
        return True

    def _require_chain(self, base: Cluster, chain: list[Cluster]) -> None:
        try:
            self.judge.require_chain(base, chain)
        except Refused as error:
            raise Diverged(f"The document in etcd is no change of the one before: {error}") from (
                error
            )

    def _require_shown(self, head: Head, own: Cluster) -> None:
        """Raise Diverged where a member in contact holds what does not lead to the head.

        Over a gap nothing can be computed from this node's document.
        """
        others = sorted(set(own.nodes) - {self.contact.me})
        for name, answer in self.questions.poll_all(others).items():
            if isinstance(answer, McvError):
                continue
            if answer.in_contact and answer.hash not in head.bodies:
                raise Diverged(f"The document in etcd is not known to {name}.")

    def _completed(self, chain: list[Cluster], since: str) -> list[Cluster]:
        """The chain with the generations before it, from the first member that keeps them.

        What this node has accepted may be one of them: it was put into etcd with its child.
        """
        proposal = self.store.proposal()
        if proposal is not None and chain[0].parent == proposal[1]:
            chain = [proposal[0], *chain]
            if chain[0].parent == since:
                return chain
        for name in sorted(set(chain[-1].online) - {self.contact.me}):
            try:
                fetched = self.questions.fetch(name, since)
            except McvError as error:
                log.debug("the generations before %s: %s", chain[0].generation, error)
                continue
            first = digest(chain[0])
            before = [*fetched.between, fetched.document]
            hashes = [digest(each) for each in before]
            if first in hashes:
                before = before[: hashes.index(first)]
            longer = linked([*before, *chain])
            if longer and longer[0].parent == since:
                return longer
        return chain
