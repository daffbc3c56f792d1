"""A member's side: answer polls, accept proposals, install newer documents."""

import logging
import threading
from collections.abc import Callable, Sequence

import mcv
from mcv.consensus.unanimous.contact import SYNC, Contact, moved_to_etcd
from mcv.consensus.unanimous.judge import Judge, linked
from mcv.consensus.unanimous.newest import acceptors, writer
from mcv.consensus.unanimous.wire import Accepted, Committed, Copy, Observation, Questions
from mcv.document.changes import CHANGES, RECORDED
from mcv.document.lineage import contains, descends, relation
from mcv.document.model import Cluster, decode, digest, encode
from mcv.document.schema import SCHEMA
from mcv.errors import Diverged, LookAgain, McvError, Refused
from mcv.system import room

log = logging.getLogger(__name__)


class Member:
    """The part of every node in the protocol, the coordinator included."""

    def __init__(self, contact: Contact, questions: Questions, judge: Judge) -> None:
        self.me = contact.me
        self.judge = judge
        self.store = contact.store
        self.contact = contact
        self.questions = questions
        self.writing = threading.RLock()
        self.shown = ""  # hash of a document that is not taken until all members show it
        self.on_commit: Callable[[], None] = lambda: None
        self.in_contact: Callable[[], bool] = lambda: self.contact.is_whole
        self.from_etcd: Callable[[str], None] = lambda id: None  # take what etcd has, if it answers

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
            in_contact=self.in_contact(),
            reads=SCHEMA,
            changes=sorted(CHANGES),
            shown=self.shown,
            problem=self.room(),
        )

    def room(self) -> str:
        """Why this node could write nothing down, in a few words; "" where it could."""
        return room.problem(self.store.path.parent)

    def fetch(self, since: str = "", proposal: bool = False) -> Copy:
        """Answer config.fetch: the documents, the generations after the hash `since`, and
        those between the committed document and the proposal."""
        (committed, hash_), *open_ = self.store.held()
        shown = open_[0][0] if open_ and proposal else None
        return Copy(
            document=encode(committed),
            proposal=encode(shown) if shown else None,
            between=[encode(each) for each in self.store.since(since)] if since else [],
            under=[encode(each) for each in self.store.since(hash_, of=shown)] if shown else [],
        )

    def accept(self, document: str, sender: str, between: Sequence[str] = ()) -> Accepted:
        """Answer config.accept: write a proposal durably.

        Precondition: the proposal follows the committed document of this node by changes
        that their authors may make, its sender may write it, and no other proposal stands in
        its way. `between` are the proposals that a declaration was made over. A document that
        this node has accepted or committed before is accepted again without effect.
        Raises LookAgain where the precondition does not hold, Refused for a document that is
        not what its change makes of its parent.
        """
        new = decode(document)
        chain = linked([*map(decode, between), new])
        new_hash = digest(new)
        with self.writing:
            committed, hash_ = self.store.committed()
            leaves_etcd = new.change.name == "store.survivors"
            if committed.store is not None and new_hash != hash_ and not leaves_etcd:
                raise moved_to_etcd()
            proposal = self.store.proposal()
            if new_hash == hash_ or (proposal and proposal[1] == new_hash):
                return Accepted(accepted=True)
            begins_epoch = new.epoch.number > committed.epoch.number
            follows = descends(new, committed, hash_) if begins_epoch else new.parent == hash_
            # A declaration is the survivors' to accept; the members that it names are not asked.
            takes_part = self.me in new.online or not begins_epoch
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
            if not (follows and takes_part and is_from_writer and may_be_written):
                raise self._look_again()
            self._require_valid(committed, hash_, chain)
            for each in chain[:-1]:
                self.store.remember(each)
            self.store.propose(new)
        return Accepted(accepted=True)

    def _look_again(self) -> LookAgain:
        return LookAgain(f"{self.me} does not hold what this proposal was made from.")

    def _require_valid(self, committed: Cluster, hash_: str, chain: list[Cluster]) -> None:
        """Raise Refused, or LookAgain, unless a chain leads by valid changes to its end.

        It begins at the committed document. The end of a divergence begins at a document
        that this node's excludes, so there the last change alone is judged.
        """
        parents = [each.parent for each in chain]
        if hash_ in parents:
            self.judge.require_chain(committed, chain[parents.index(hash_) :])
        elif chain[-1].change.name == "cluster.sync" and len(chain) > 1:
            self.judge.require(chain[-2], chain[-1])
        elif max(committed.schema, chain[-1].schema) >= RECORDED:
            raise self._look_again()

    def commit(self, hash_: str, sender: str) -> Committed:
        """Answer config.commit: commit the held proposal if it has this hash.

        Without effect at the word of a node that may not write the proposal.
        """
        with self.writing:
            proposal = self.store.proposal()
            may_commit = (
                proposal is not None
                and proposal[1] == hash_
                and sender == writer(proposal[0], self.store.read())
            )
            if may_commit:
                self.store.commit()
        if may_commit:
            self.on_commit()
        return Committed(hash=self.store.hash())

    def install(self, document: str, between: list[str]) -> Committed:
        """Answer config.install: see `take`."""
        self.take(decode(document), [decode(text) for text in between])
        return Committed(hash=self.store.hash())

    def take(self, new: Cluster, between: list[Cluster]) -> None:
        """Replace the committed document by a newer one; an older one has no effect.

        Precondition: every generation from this node's document on is its parent and one
        change that its author may make. Over a gap, and into another epoch, all members that
        answer have to show the document too.
        Raises Diverged where neither document contains the other: documents are never merged.
        Raises Refused where the precondition does not hold.
        """
        # What lies in etcd was accepted by a majority of its voters, and by no member: it is
        # taken from there, and has no effect here.
        for store in filter(None, (self.store.read().store, new.store)):
            self.from_etcd(store.id)
        chain, new_hash = linked([*between, new]), digest(new)
        while not self._take(chain, new_hash, self._judged(chain, new_hash)):
            log.debug("%s took another document meanwhile", self.me)

    def _judged(self, chain: list[Cluster], new_hash: str) -> str:
        """The hash of the committed document, by which the end of a chain has been judged."""
        (committed, hash_), *proposal = self.store.held()
        new = chain[-1]
        is_newer = relation(committed, hash_, new, new_hash) == "newer"
        is_accepted = bool(proposal) and proposal[0][1] == new_hash
        is_recorded = max(committed.schema, new.schema) >= RECORDED
        if is_newer and is_recorded and not is_accepted:
            parents = [each.parent for each in chain]
            has_gap = hash_ not in parents
            if not has_gap:
                self.judge.require_chain(committed, chain[parents.index(hash_) :])
            if has_gap or new.epoch != committed.epoch:
                self._require_shown(committed, new, new_hash)
        return hash_

    def _require_shown(self, committed: Cluster, new: Cluster, new_hash: str) -> None:
        """Raise Refused while a member that answers does not show a document.

        A member that the document calls online has accepted it, this node included. Another
        member contradicts while it is in contact, unless the document calls this node offline
        and that member was shown the same epoch: both may have been declared dead.
        """
        is_online = self.me in new.online
        if is_online and self.contact.is_whole:
            raise Refused(f"{self.me} has not accepted the document that it was shown.")
        others = sorted(set(committed.nodes) - {self.me})
        for name, answer in self.questions.poll_all(others).items():
            if isinstance(answer, McvError) or new_hash in (answer.hash, answer.proposal):
                continue
            was_shown = answer.shown == new.epoch.id and not is_online
            if name in new.online or (answer.in_contact and not was_shown):
                self.shown = new.epoch.id
                raise Refused(f"{name} does not show the document that {self.me} was shown.")

    def _take(self, chain: list[Cluster], new_hash: str, judged: str) -> bool:
        """Take the end of a chain that was judged by a hash; False where that is outdated."""
        new = chain[-1]
        with self.writing:
            committed, hash_ = self.store.committed()
            if hash_ != judged:
                return False
            proposal = self.store.proposal()
            how = relation(committed, hash_, new, new_hash)
            if how == "newer" and proposal and proposal[1] == new_hash:
                self.store.commit()
            elif how == "newer":
                child = proposal if proposal and proposal[0].parent == new_hash else None
                self.store.adopt(new, chain[:-1])
                if child:
                    self.store.propose(child[0])
            elif how == "diverged":
                raise Diverged(f"{self.me} holds another document.", SYNC)
        if how == "newer":
            self.shown = ""
            self.on_commit()
        return True

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
            level = logging.WARNING if isinstance(error, Refused) else logging.DEBUG
            log.log(level, "catching up from %s: %s", node, error)
            return False
        self.contact.diverged.pop(node, None)
        return True
