"""The coordinator's side: one proposal at a time is accepted by all online members or by none."""

import logging
import threading
from collections.abc import Callable

from mcv.consensus.unanimous import timeouts
from mcv.consensus.unanimous.contact import moved_to_etcd
from mcv.consensus.unanimous.declaration import LEFT_ETCD, Declaration
from mcv.consensus.unanimous.newest import writer
from mcv.consensus.unanimous.rounds import Rounds
from mcv.consensus.unanimous.wire import Proposed
from mcv.document.lineage import relation
from mcv.document.model import Cluster, decode, digest
from mcv.errors import Busy, LookAgain, McvError, OutcomeOpen, Refused

log = logging.getLogger(__name__)

REMEMBERED_ATTEMPTS = 256

Outcome = Proposed | McvError


class Coordinator:
    """The part of a node while it is the first online member by name."""

    def __init__(self, rounds: Rounds, declaration: Declaration) -> None:
        self._rounds = rounds
        self._declaration = declaration
        self._member = rounds.member
        self._me = rounds.me
        self._store = rounds.store
        self._outcomes: dict[str, Outcome] = {}  # of attempts, the oldest first
        self._noting = threading.Lock()
        self.poll: Callable[[], None] = lambda: None  # one round of polling the others

    def propose(self, document: str, attempt: str, sender: str) -> Proposed:
        """Answer config.propose: have a document accepted by all online members, and commit it.

        Precondition: this node is the coordinator, in contact, and the document is its
        committed document and one change, which the sender may make. `attempt` identifies the
        message: a duplicate gets the outcome of the first, so that a proposal that was refused
        is not carried out by its duplicate.
        Raises LookAgain, Busy, Refused or PeerUnreachable where nothing was changed, and
        OutcomeOpen from the coordinator's own write on.
        """
        new = decode(document)
        if not self._rounds.turn.acquire(timeout=timeouts.PROPOSE - timeouts.ACCEPT):
            busy = Busy("Another change is under way.", "Try again.")
            return _answer(self._note(attempt, busy) or busy)
        try:
            under_way = OutcomeOpen("This proposal was taken up and not carried to its end.")
            if (outcome := self._note(attempt, under_way)) is None:
                outcome = self._outcomes[attempt] = self._carried(new, sender)
            return _answer(outcome)
        finally:
            self._rounds.turn.release()

    def finish_open(self, answered: set[str]) -> None:
        """Finish this node's own open proposal, unless a change is under way.

        `answered` names the nodes that have answered in this round of polling.
        """
        if self._store.proposal() is None or not self._rounds.turn.acquire(blocking=False):
            return
        try:
            self._finish_open(answered)
        except McvError as error:
            log.info("an open change: %s", error)
        finally:
            self._rounds.turn.release()

    def _note(self, attempt: str, outcome: Outcome) -> Outcome | None:
        """Note the outcome of an attempt that has none yet; return the one noted before."""
        with self._noting:
            known = self._outcomes.get(attempt)
            if known is None:
                self._outcomes[attempt] = outcome
                while len(self._outcomes) > REMEMBERED_ATTEMPTS:
                    self._outcomes.pop(next(iter(self._outcomes)))
            return known

    def _carried(self, new: Cluster, sender: str) -> Outcome:
        try:
            if not self._rounds.contact.is_whole:
                self.poll()  # a join may have made this node the coordinator a moment ago
            self._rounds.contact.require()
            self._finish_earlier(new)
            base, hash_ = self._store.committed()
            if base.store is not None:
                raise moved_to_etcd()
            if base.coordinator != self._me or new.parent != hash_:
                raise LookAgain("The document has moved on.")
            _require_member(new.change.node, base, new)
            if new.epoch != base.epoch and new.change.name != "store.etcd":
                raise Refused("An epoch begins with a declaration, or with: mcv cluster sync")
            self._rounds.judge.require(base, new, sender)
            self._carry(base, hash_, new)
        except McvError as error:
            return error
        return Proposed(hash=digest(new), generation=new.generation)

    def _carry(self, base: Cluster, hash_: str, new: Cluster) -> None:
        members = self._members(base, new)
        self._rounds.poll(members, hash_, new)
        with self._member.writing:
            if self._store.hash() != hash_ or self._store.proposal() is not None:
                raise LookAgain("The document has moved on.")
            self._rounds.write_proposal(new)
        self._rounds.collect(members, new)

    def _members(self, base: Cluster, new: Cluster) -> list[str]:
        """The other acceptors of a change: all members online before it or after it."""
        return sorted({*base.online, *new.online} - {self._me})

    def _finish_earlier(self, new: Cluster) -> None:
        """Finish the open proposal before another is taken.

        Raises OutcomeOpen where the open proposal is of the same change, Busy where it is of
        another.
        """
        try:
            self._finish_open()
        except McvError as error:
            proposal = self._store.proposal()
            if proposal is None:
                raise
            if new.change.id in proposal[0].changes:
                raise OutcomeOpen(error.message, error.hint) from error
            raise Busy(
                f"An earlier change ({proposal[0].change.why}) is still open: {error.message}",
                error.hint,
            ) from error

    def _finish_open(self, answered: set[str] | None = None) -> None:
        """Have this node's own open proposal accepted again; drop a proposal that is over.

        A proposal that does not follow the committed document is contained in it or excluded
        by it. Raises Busy for the open proposal of another writer.
        """
        moot = self._moot()
        with self._member.writing:
            proposal = self._store.proposal()
            if proposal is None:
                return
            new, new_hash = proposal
            base, hash_ = self._store.committed()
            over = new_hash == moot or relation(base, hash_, new, new_hash) != "newer"
            if over or new.change.id in base.changes:
                log.info("the change %s (%s) is over", new.change.id, new.change.why)
                self._store.drop_proposal()
                return
        if self._me != writer(new, base):
            raise Busy(f"An earlier change ({new.change.why}) is still open.", "Try again.")
        if new.epoch.number > base.epoch.number:
            self._declaration.finish(new, new_hash, answered)
        else:
            self._rounds.collect(self._members(base, new), new)

    def _moot(self) -> str:
        """Hash of this node's own open proposal to leave etcd, where etcd has a majority again.

        No other node has committed it: its writer is the first to.
        """
        base, proposal = self._store.read(), self._store.proposal()
        if base.store is None or proposal is None or proposal[0].change.name != LEFT_ETCD:
            return ""
        is_own = writer(proposal[0], base) == self._me
        return proposal[1] if is_own and self._rounds.etcd_serves(base.store.id) else ""


def _require_member(proposer: str, base: Cluster, new: Cluster) -> None:
    """Raise Refused for the change of a node that is offline, except its own return.

    The proposer may not know that it is offline: it may have been declared dead while its
    daemon was stopped.
    """
    if proposer not in base.online and proposer not in new.online:
        raise Refused(
            f"{proposer} is offline in the document, so nothing is changed at its word.",
            f"It comes back by itself, or: mcv node online {proposer}",
        )


def _answer(outcome: Outcome) -> Proposed:
    if isinstance(outcome, McvError):
        raise outcome
    return outcome
