"""A member's side: answer polls, accept proposals, install newer documents."""

import logging
import threading
from collections.abc import Callable

import mcv
from mcv.consensus.unanimous.contact import Contact
from mcv.consensus.unanimous.newest import acceptors, writer
from mcv.consensus.unanimous.wire import Accepted, Committed, Copy, Observation, Questions
from mcv.document.lineage import contains, descends, relation
from mcv.document.model import Cluster, decode, digest, encode
from mcv.document.schema import SCHEMA
from mcv.errors import Diverged, LookAgain, McvError

log = logging.getLogger(__name__)


class Member:
    """The part of every node in the protocol, the coordinator included."""

    def __init__(self, contact: Contact, questions: Questions) -> None:
        self.me = contact.me
        self.store = contact.store
        self.contact = contact
        self.questions = questions
        self.writing = threading.RLock()
        self.on_commit: Callable[[], None] = lambda: None

    def poll(self) -> Observation:
        """Answer config.poll: the node's hashes and whether it is in contact. Never waits."""
        (committed, hash_), *proposal = self.store.held()
        return Observation(
            version=mcv.__version__,
            epoch=committed.epoch.number,
            epoch_id=committed.epoch.id,
            generation=committed.generation,
            hash=hash_,
            proposal=proposal[0][1] if proposal else None,
            in_contact=self.contact.is_whole,
            reads=SCHEMA,
        )

    def fetch(self, since: str = "", proposal: bool = False) -> Copy:
        """Answer config.fetch: the documents, and the generations after the hash `since`."""
        (committed, _), *open_ = self.store.held()
        return Copy(
            document=encode(committed),
            proposal=encode(open_[0][0]) if open_ and proposal else None,
            between=[encode(each) for each in self.store.since(since)] if since else [],
        )

    def accept(self, document: str, sender: str) -> Accepted:
        """Answer config.accept: write a proposal durably.

        Precondition: the proposal follows the committed document of this node, its sender
        may write it, and no other proposal stands in its way. A document that this node has
        accepted or committed before is accepted again without effect.
        Raises LookAgain where the precondition does not hold.
        """
        new = decode(document)
        new_hash = digest(new)
        with self.writing:
            committed, hash_ = self.store.committed()
            proposal = self.store.proposal()
            if new_hash == hash_ or (proposal and proposal[1] == new_hash):
                return Accepted(accepted=True)
            begins_epoch = new.epoch.number > committed.epoch.number
            follows = descends(new, committed, hash_) if begins_epoch else new.parent == hash_
            is_from_writer = sender == writer(new, committed)
            # The held proposal may only be replaced by a declaration that contains it,
            # or whose sender's acceptance it needed. The sender now proposes another
            # document, so the held proposal cannot have been committed.
            may_be_written = proposal is None or (
                begins_epoch
                and (
                    contains(new, new_hash, *proposal)
                    or sender in acceptors(proposal[0], committed)
                )
            )
            if not (follows and is_from_writer and may_be_written):
                raise LookAgain(f"{self.me} does not hold what this proposal was made from.")
            self.store.propose(new)
        return Accepted(accepted=True)

    def commit(self, hash_: str) -> Committed:
        """Answer config.commit: commit the held proposal if it has this hash."""
        with self.writing:
            proposal = self.store.proposal()
            if proposal and proposal[1] == hash_:
                self.store.commit()
        self.on_commit()
        return Committed(hash=self.store.hash())

    def install(self, document: str, between: list[str]) -> Committed:
        """Answer config.install: see `take`."""
        self.take(decode(document), [decode(text) for text in between])
        return Committed(hash=self.store.hash())

    def take(self, new: Cluster, between: list[Cluster]) -> None:
        """Replace the committed document by a newer one; an older one has no effect.

        Raises Diverged where neither document contains the other: documents are never merged.
        """
        with self.writing:
            committed, hash_ = self.store.committed()
            proposal = self.store.proposal()
            new_hash = digest(new)
            how = relation(committed, hash_, new, new_hash)
            if how == "newer" and proposal and proposal[1] == new_hash:
                self.store.commit()
            elif how == "newer":
                child = proposal if proposal and proposal[0].parent == new_hash else None
                self.store.adopt(new, between)
                if child:
                    self.store.propose(child[0])
            elif how == "diverged":
                raise Diverged(f"{self.me} holds another document.", "See: mcv cluster check")
        if how == "newer":
            self.on_commit()

    def catch_up(self, node: str) -> bool:
        """Take a node's document if it is newer.

        Returns whether this node's document contains that of the node now: False without an
        answer, or in a divergence, which is noted.
        """
        if node == self.me:
            return True
        try:
            fetched = self.questions.fetch(node, self.store.hash())
            self.take(fetched.document, fetched.between)
        except Diverged:
            # A blank node, joining or just removed, has a cluster of its own.
            if self.me in fetched.document.nodes:
                self.contact.note_divergence(node, fetched.hash)
            return False
        except McvError as error:
            log.debug("catching up from %s: %s", node, error)
            return False
        self.contact.diverged.pop(node, None)
        return True
