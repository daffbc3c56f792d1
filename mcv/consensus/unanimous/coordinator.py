"""The coordinator's side: one offer at a time is carried through, all online members or none."""

import logging
import threading
from collections.abc import Callable
from typing import Any

from mcv.consensus.unanimous import timeouts
from mcv.consensus.unanimous.declaration import Declaration
from mcv.consensus.unanimous.newest import writer
from mcv.consensus.unanimous.rounds import Rounds
from mcv.document.lineage import relation
from mcv.document.model import Cluster, decode, digest
from mcv.errors import Busy, LookAgain, McvError, OutcomeOpen, Refused

log = logging.getLogger(__name__)

OFFERED = 256  # attempts that the coordinator remembers

Outcome = dict[str, Any] | McvError


class Coordinator:
    """What a node does while it is the first online member by name."""

    def __init__(self, rounds: Rounds, declaration: Declaration) -> None:
        self._rounds = rounds
        self._declaration = declaration
        self._member = rounds.member
        self._me = rounds.me
        self._store = rounds.store
        self._outcomes: dict[str, Outcome] = {}  # of attempts, the oldest first
        self._noting = threading.Lock()
        self.look: Callable[[], None] = lambda: None  # one round of looking at the others

    def offer(self, document: str, attempt: str) -> dict[str, Any]:
        """Carry an offered document through the agreement: all online members, or none.

        `attempt` is the proposer's word for this one try: a double of its message gets the
        answer of the first, so that what was refused, and told so, is not made by it.
        """
        new = decode(document)
        if not self._rounds.turn.acquire(timeout=timeouts.OFFER - timeouts.ACCEPT):
            busy = Busy("Another change is under way.", "Try again.")
            return _answer(self._note(attempt, busy) or busy)
        try:
            under_way = OutcomeOpen("This offer was taken up and not carried to its end.")
            if (outcome := self._note(attempt, under_way)) is None:
                outcome = self._outcomes[attempt] = self._carried(new)
            return _answer(outcome)
        finally:
            self._rounds.turn.release()

    def finish_open(self, answered: set[str]) -> None:
        """Finish one's own open proposal, unless a change is under way; `answered` says who
        has answered in this round of looking."""
        if self._store.proposed() is None or not self._rounds.turn.acquire(blocking=False):
            return
        try:
            self._finish_open(answered)
        except McvError as error:
            log.info("an open change: %s", error)
        finally:
            self._rounds.turn.release()

    def _note(self, attempt: str, outcome: Outcome) -> Outcome | None:
        """Note how an attempt ends, unless that is known already; what was noted before."""
        with self._noting:
            known = self._outcomes.get(attempt)
            if known is None:
                self._outcomes[attempt] = outcome
                while len(self._outcomes) > OFFERED:
                    self._outcomes.pop(next(iter(self._outcomes)))
            return known

    def _carried(self, new: Cluster) -> Outcome:
        try:
            if not self._rounds.contact.is_whole:
                self.look()  # it may be the coordinator since a moment ago, by having joined
            self._rounds.contact.require()
            self._finish_earlier(new)
            base, hash_ = self._store.settled()
            if base.coordinator != self._me or new.parent != hash_:
                raise LookAgain("The document has moved on.")
            _require_member(new.change.node, base, new)
            self._carry(base, hash_, new)
        except McvError as error:
            return error
        return {"hash": digest(new), "generation": new.generation}

    def _carry(self, base: Cluster, hash_: str, new: Cluster) -> None:
        members = self._members(base, new)
        self._rounds.look(members, hash_)
        with self._member.writing:
            if self._store.hash() != hash_ or self._store.proposed() is not None:
                raise LookAgain("The document has moved on.")
            self._store.propose(new)
        self._rounds.collect(members, new)

    def _members(self, base: Cluster, new: Cluster) -> list[str]:
        """Who else takes part in a change: all online members, before it or after."""
        return sorted({*base.online, *new.online} - {self._me})

    def _finish_earlier(self, new: Cluster) -> None:
        """Finish what is open before taking an offer; the same one again stays open, another
        is refused."""
        try:
            self._finish_open()
        except McvError as error:
            proposal = self._store.proposed()
            if proposal is None:
                raise
            if new.change.id in proposal[0].changes:
                raise OutcomeOpen(error.message, error.hint) from error
            raise Busy(
                f"An earlier change ({proposal[0].change.why}) is still open: {error.message}",
                error.hint,
            ) from error

    def _finish_open(self, answered: set[str] | None = None) -> None:
        """Offer one's own open proposal again, before any other; wait for nobody else's.

        One that does not follow what is settled is over, contained or excluded.
        """
        with self._member.writing:
            proposal = self._store.proposed()
            if proposal is None:
                return
            new, new_hash = proposal
            base, hash_ = self._store.settled()
            over = relation(base, hash_, new, new_hash) != "newer"
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


def _require_member(proposer: str, base: Cluster, new: Cluster) -> None:
    """Raise Refused for the change of a node that is offline, but for its coming back.

    It may not know: a daemon that stood still was called dead meanwhile.
    """
    if proposer not in base.online and proposer not in new.online:
        raise Refused(
            f"{proposer} is offline in the document, so nothing is changed at its word.",
            f"It comes back by itself, or: mcv node online {proposer}",
        )


def _answer(outcome: Outcome) -> dict[str, Any]:
    if isinstance(outcome, McvError):
        raise outcome
    return outcome
