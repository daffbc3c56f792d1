"""How the members agree on the document: the keeper's protocol, all sides of it.

The first online member by name is the keeper. Whoever wants a change makes the next
document and offers it to the keeper: a compare-and-swap on the parent's hash. The keeper
looks round, writes the proposal itself first, has every online member write it, and then
settles it by one rename. From its own proposal on, a change is not taken back.
"""

import logging
import random
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import mcv
from mcv.clock import timestamp
from mcv.cluster.newest import Held, contains, needed, newest
from mcv.config import changes
from mcv.config.store import Store
from mcv.errors import (
    Busy,
    CallLost,
    Diverged,
    LookAgain,
    McvError,
    NotMember,
    OutcomeOpen,
    PeerUnreachable,
    Refused,
    ways_out,
)
from mcv.model import ChangeMade, Cluster, decode, descends, digest, encode
from mcv.together import ask_all

log = logging.getLogger(__name__)

Ask = Callable[..., Any]  # ask(node, operation, /, timeout=…, **params)

LOOK = 3.0  # seconds that a member has to say what it holds
ACCEPT = 6.0  # seconds that it has to write a proposal down
SETTLE = 2.0  # seconds that the keeper waits for members that it told
OFFER = 25.0  # seconds that the asker waits for the keeper
OFFERED = 256  # offers that the keeper remembers
PATIENCE = 30.0  # seconds of looking again before the asker gives up


def relation(mine: Cluster, my_hash: str, other: Cluster, other_hash: str) -> str:
    """Say how another settled document stands to mine: same, newer, older or diverged."""
    if my_hash == other_hash:
        return "same"
    if mine.epoch == other.epoch and mine.generation == other.generation:
        return "diverged"
    if descends(other, mine, my_hash):
        return "newer"
    return "older" if descends(mine, other, other_hash) else "diverged"


class Found(NamedTuple):
    """What a look round before a declaration found: who survives, the newest document that
    one of them holds, and what this node itself held then."""

    survivors: list[str]
    newest: Cluster
    mine: Held


class Agreement:
    """One node's part in the protocol: asker, keeper and member."""

    def __init__(self, me: str, store: Store, ask: Ask) -> None:
        self.me = me
        self.store = store
        self.diverged: dict[str, str] = {}
        self.removed_by: set[str] = set()
        self.on_settled: Callable[[], None] = lambda: None
        self._ask = ask
        self._turn = threading.Lock()
        self._writing = threading.RLock()
        self._heard: set[str] = set()
        self._in_touch = False
        self._offered: dict[str, None] = {}
        self._carried: set[str] = set()  # declarations that this node began since its start
        self.is_alive: Callable[[str], bool] = lambda name: False

    # The asker

    def update(self, name: str, params: dict[str, Any], *, id: str, who: str, why: str) -> Cluster:
        """Make a change and return the settled document that has it.

        Raises Refused where the change makes no sense (any more) or a member does not
        answer: nothing was changed. Raises OutcomeOpen when nobody knows yet.
        """
        until = time.monotonic() + PATIENCE
        while True:
            base = self.store.read()
            if id in base.changes:
                return base
            made = ChangeMade(id=id, who=who, when=timestamp(), why=why, node=self.me)
            new = changes.apply(base, name, params, made)
            if new is base:
                return base
            try:
                self._offer(base.keeper, new)
                return self._see_settled(base.keeper, id)
            except LookAgain:
                if time.monotonic() > until:
                    raise Busy("The document keeps changing.", "Try again.") from None
                self._catch_up(base.keeper)
                time.sleep(random.uniform(0.005, 0.05))
            except CallLost as lost:
                self._wait_for_outcome(base, id, lost)

    def _offer(self, keeper: str, new: Cluster) -> None:
        if not keeper:
            raise Refused("No node is online in the document.")
        if keeper == self.me:
            self.serve_offer(encode(new))
            return
        # A keeper that hangs is found out by a question: only what was offered is open.
        try:
            self._ask(keeper, "config.look", timeout=LOOK)
        except NotMember:
            self.removed_by.add(keeper)
            self.require_touch()
        except (PeerUnreachable, CallLost) as error:
            raise self._unreachable([keeper]) from error
        # From here on the keeper's own words count: they name the member that is silent.
        self._ask(keeper, "config.offer", document=encode(new), timeout=OFFER)

    def _see_settled(self, keeper: str, id: str) -> Cluster:
        until = time.monotonic() + ACCEPT
        while id not in (settled := self.store.read()).changes:
            if time.monotonic() > until:
                raise OutcomeOpen(f"The change is made, but {self.me} has not seen it yet.")
            if not self._catch_up(keeper):
                time.sleep(0.1)
        return settled

    def _wait_for_outcome(self, base: Cluster, id: str, lost: CallLost) -> None:
        """Wait a while for an offer without an answer; return when it may be made anew."""
        until = time.monotonic() + ACCEPT
        while time.monotonic() < until:
            self._catch_up(base.keeper)
            settled = self.store.read()
            if id in settled.changes or settled.generation > base.generation:
                return
            time.sleep(0.3)
        raise OutcomeOpen(
            f"{base.keeper} did not say whether the change was made ({lost}).",
            "It is settled when that node is back: mcv repair",
        )

    def _catch_up(self, node: str) -> bool:
        """Take what a node has if it is newer; whether its document is contained in mine now."""
        if node == self.me:
            return True
        try:
            answer = self._ask(node, "config.fetch", since=self.store.hash(), timeout=LOOK)
            self.serve_bring(answer["document"], answer["between"])
        except Diverged:
            theirs = decode(answer["document"])
            # A blank node, joining or just removed, has a cluster of its own.
            if self.me in theirs.nodes:
                self._note_divergence(node, digest(theirs))
            return False
        except McvError as error:
            log.debug("catching up from %s: %s", node, error)
            return False
        self.diverged.pop(node, None)
        return True

    def _note_divergence(self, node: str, hash_: str) -> None:
        if self.diverged.get(node) != hash_:
            log.error("%s holds another document than %s: %s", node, self.me, hash_)
        self.diverged[node] = hash_

    # The keeper

    def serve_offer(self, document: str) -> dict[str, Any]:
        """Carry an offered document through the agreement: all online members, or none."""
        new = decode(document)
        self._take_once(digest(new))
        if not self._turn.acquire(timeout=OFFER - ACCEPT):
            raise Busy("Another change is under way.", "Try again.")
        try:
            self.require_touch()
            self._finish_earlier(new)
            base, hash_ = self.store.settled()
            if base.keeper != self.me or new.parent != hash_:
                raise LookAgain("The document has moved on.")
            self._carry(base, hash_, new)
            return {"hash": digest(new), "generation": new.generation}
        finally:
            self._turn.release()

    def _take_once(self, hash_: str) -> None:
        """Take an offer up once: one that was refused, and told so, is not made by a double."""
        with self._writing:
            if hash_ in self._offered:
                raise LookAgain("This offer has been taken up before.")
            self._offered[hash_] = None
            while len(self._offered) > OFFERED:
                self._offered.pop(next(iter(self._offered)))

    def _carry(self, base: Cluster, hash_: str, new: Cluster) -> None:
        members = sorted({*base.online, *new.online} - {self.me})
        self._look_round(members, hash_)
        with self._writing:
            if self.store.hash() != hash_ or self.store.proposed() is not None:
                raise LookAgain("The document has moved on.")
            self.store.propose(new)
        self._collect(members, new)

    def _collect(self, members: Iterable[str], new: Cluster) -> None:
        """Have every member write the proposal; settle it when all have."""
        missing = self._each(members, "config.accept", ACCEPT, document=encode(new))
        if missing:
            raise OutcomeOpen(
                f"Whether the change is made is not known yet: {_names(missing)} did not answer.",
                f"It is settled by itself when {_names(missing)} is back, or: "
                f"mcv node offline {' '.join(missing)} --confirm-dead",
            )
        with self._writing:
            proposal = self.store.proposed()
            if proposal is not None and proposal[1] == digest(new):
                self.store.settle()
            elif new.change.id not in self.store.read().changes:
                raise OutcomeOpen("Another document came before the change was settled.")
        self.on_settled()
        self._each(members, "config.settle", SETTLE, hash=digest(new))

    def _look_round(self, members: list[str], hash_: str) -> None:
        answers = ask_all(self._ask, members, "config.look", LOOK)
        silent = [name for name in members if isinstance(answers[name], McvError)]
        if silent:
            raise self._unreachable(silent)
        for name, answer in answers.items():
            if answer["hash"] != hash_:
                self._bring_up_to_date(name, answer)

    def _bring_up_to_date(self, name: str, answer: dict[str, Any]) -> None:
        """Bring a member what it lacks; raise LookAgain if it is I who lack something."""
        theirs = self._ask(name, "config.fetch", since=self.store.hash(), timeout=LOOK)
        document = decode(theirs["document"])
        mine, my_hash = self.store.settled()
        how = relation(mine, my_hash, document, digest(document))
        if how == "newer":
            self.serve_bring(theirs["document"], theirs["between"])
            raise LookAgain("The document has moved on.")
        if how == "diverged":
            self._note_divergence(name, digest(document))
            raise Diverged(
                f"{name} holds another document than {self.me}.",
                "See both with: mcv cluster check",
            )
        between = [encode(one) for one in self.store.since(answer["hash"])]
        self._ask(name, "config.bring", document=encode(mine), between=between, timeout=ACCEPT)

    def _finish_earlier(self, new: Cluster) -> None:
        """Finish what is open before taking an offer; the same one again stays open, another
        is refused."""
        try:
            self._finish_open()
        except McvError as error:
            proposal = self.store.proposed()
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
        with self._writing:
            proposal = self.store.proposed()
            if proposal is None:
                return
            new, new_hash = proposal
            base, hash_ = self.store.settled()
            over = relation(base, hash_, new, new_hash) != "newer"
            if over or new.change.id in base.changes:
                log.info("the change %s (%s) is over", new.change.id, new.change.why)
                self.store.drop_proposal()
                return
        if self.me != _writer(new, base):
            raise Busy(f"An earlier change ({new.change.why}) is still open.", "Try again.")
        if new.epoch.number > base.epoch.number:
            self._finish_declaration(base, new, new_hash, answered)
        else:
            self._collect(sorted({*base.online, *new.online} - {self.me}), new)

    def _finish_declaration(
        self, base: Cluster, new: Cluster, hash_: str, answered: set[str] | None
    ) -> None:
        """Offer one's own declaration again, among the survivors: it does not wait for the dead.

        After a restart one who was called dead may have gone on without this node: if its host
        is up, it is waited for. Where the survivors hold something newer, or something that
        excludes it and may be settled, it is made anew over that.
        """
        names = sorted(set(base.online) - set(new.online))
        if not names:
            # It calls nobody dead: it settles a divergence.
            self._collect(sorted(set(new.online) - {self.me}), new)
            return
        if hash_ not in self._carried and answered is not None:
            back = [name for name in names if name not in answered and self.is_alive(name)]
            if back:
                raise Busy(f"Before {new.change.why} is settled, {_names(back)} is waited for.")
        found = self._survivors(set(names), set())
        if digest(found.newest) == hash_:
            self._collect(sorted(set(new.online) - {self.me}), new)
        elif found.survivors[0] == self.me and found.mine[-1][1] == hash_:
            self._declare_over(found, names, new.change, list)

    def _each(
        self, members: Iterable[str], operation: str, timeout: float, **params: Any
    ) -> list[str]:
        answers = ask_all(self._ask, list(members), operation, timeout, **params)
        for name, answer in answers.items():
            if isinstance(answer, McvError):
                log.info("%s to %s: %s", operation, name, answer)
        return [name for name, answer in answers.items() if isinstance(answer, McvError)]

    # An operator's word about the dead

    def declare(
        self,
        names: list[str],
        *,
        id: str,
        who: str,
        why: str,
        alive: Callable[[], list[str]],
        survivors: Iterable[str] = (),
    ) -> Cluster:
        """Call members dead: the survivors all take part, and it begins an epoch.

        Whoever is asked looks round and hands over to the first survivor, who looks round
        among as many. It is made over the newest proposal that one of them holds, which may
        have been acknowledged: both become settled in one rename. `alive` is asked again when
        the proposal is written here and before anybody else has it: whom it names withdraws it.
        """
        with self._turn:
            if not self.in_touch:
                self._look_at_the_rest(set(names))
            found = self._survivors(set(names), set(survivors))
            first = found.survivors[0]
            if first == self.me:
                made = ChangeMade(id=id, who=who, when=timestamp(), why=why, node=self.me)
                return self._declare_over(found, names, made, alive)
        params = {"names": names, "change": id, "who": who, "why": why}
        self._ask(first, "config.declare", timeout=OFFER, survivors=found.survivors, **params)
        self._catch_up(first)
        return self.store.read()

    def _declare_over(
        self, found: Found, names: list[str], made: ChangeMade, alive: Callable[[], list[str]]
    ) -> Cluster:
        base = found.newest
        if base is found.mine[0][0] and not set(names) & set(base.online):
            return self.store.read()
        params = {"names": names, "survivor": self.me, "epoch": secrets.token_hex(8)}
        new = changes.apply(base, "node.dead", params, made)
        others = [name for name in found.survivors if name != self.me]
        with self._writing:
            if self.store.held() != found.mine:
                raise LookAgain("The document has moved on.", "Try again.")
            before = self.store.proposed()
            self.store.remember(base)
            self.store.propose(new)
        self._carried.add(digest(new))
        if back := alive():
            with self._writing:
                if (now := self.store.proposed()) is not None and now[1] == digest(new):
                    self.store.drop_proposal()
                    if before is not None:
                        self.store.propose(before[0])
            raise Refused(f"{_names(back)} answers now, so it is not dead.")
        self._heard.update(others)
        self._collect(others, new)
        return self.store.read()

    def _look_at_the_rest(self, dead: set[str]) -> None:
        """Learn what members hold who may have gone on without this node: its own document
        may not call them online. One that is up and does not say is waited for."""
        document = self.store.read()
        others = sorted(set(document.nodes) - dead - {self.me})
        for name, answer in ask_all(self._ask, others, "config.fetch", LOOK).items():
            # One that is offline in the document says nothing by it: it may be blank.
            if isinstance(answer, NotMember) and name not in document.online:
                continue
            if not isinstance(answer, McvError):
                # A blank node, joining or just removed, has a cluster of its own.
                if self.me in decode(answer["document"]).nodes:
                    self.serve_bring(answer["document"], answer["between"])
            elif self.is_alive(name):
                raise PeerUnreachable(
                    f"{name} is up, but does not say what it holds, so nothing was changed.",
                    f"Try again, or ask there: {self.me} may have missed something.",
                )

    def _survivors(self, names: set[str], asked: set[str]) -> Found:
        """Look round until everyone whom the newest document found calls online, and who is
        not named, has answered."""
        asked = (asked | set(self.store.both()[-1].online)) - names - {self.me}
        while True:
            held = self._held_by(sorted(asked))
            mine = held[self.me] = self.store.held()
            base = newest(*mine[0], held)
            survivors = (set(base.online) - names) or {self.me}
            if survivors - {self.me} <= asked:
                return Found(sorted(survivors), base, mine)
            asked |= survivors - {self.me}

    def _held_by(self, names: list[str]) -> dict[str, Held]:
        """What other members hold; the newest settled document is taken, and brought to all."""
        while True:
            hash_ = self.store.hash()
            answers = ask_all(self._ask, names, "config.fetch", LOOK, proposal=True)
            silent = [name for name in names if isinstance(answers[name], McvError)]
            if silent:
                raise self._unreachable(silent)
            held: dict[str, Held] = {}
            for name, answer in answers.items():
                texts = [answer["document"], answer["proposal"]]
                documents = [decode(text) for text in texts if text]
                held[name] = [(one, digest(one)) for one in documents]
                self.serve_bring(answer["document"], answer["between"])
            if self.store.hash() == hash_:
                break
        for name, theirs in held.items():
            if theirs[0][1] != hash_:
                self._bring_up_to_date(name, {"hash": theirs[0][1]})
        return held

    def impose(self, base: Cluster, new: Cluster) -> Cluster:
        """Have a document that begins an epoch over base agreed by all whom it calls online.

        For what settles a divergence: whatever each of them holds, it descends from it.
        """
        with self._turn:
            self.store.remember(base)
            self.store.propose(new)
            self._collect(sorted(set(new.online) - {self.me}), new)
            self.diverged.clear()
            return self.store.read()

    # The member

    def serve_look(self) -> dict[str, Any]:
        """Say what this node holds: never waits, and answers whoever is a peer."""
        (settled, hash_), *proposal = self.store.held()
        return {
            "version": mcv.__version__,
            "epoch": settled.epoch.number,
            "epoch_id": settled.epoch.id,
            "generation": settled.generation,
            "hash": hash_,
            "proposal": proposal[0][1] if proposal else None,
            "in_touch": self.in_touch,
        }

    def serve_fetch(self, since: str = "", proposal: bool = False) -> dict[str, Any]:
        (settled, _), *open_ = self.store.held()
        return {
            "document": encode(settled),
            "proposal": encode(open_[0][0]) if open_ and proposal else None,
            "between": [encode(one) for one in self.store.since(since)] if since else [],
        }

    def serve_accept(self, document: str, sender: str) -> dict[str, Any]:
        """Write a proposal down, if it follows what this node holds and the keeper sends it."""
        new = decode(document)
        with self._writing:
            settled, hash_ = self.store.settled()
            proposal = self.store.proposed()
            new_hash = digest(new)
            if new_hash == hash_ or (proposal and proposal[1] == new_hash):
                return {"accepted": True}
            dead = new.epoch.number > settled.epoch.number
            first = _writer(new, settled)
            follows = descends(new, settled, hash_) if dead else new.parent == hash_
            # One that needs the sender, who has made another, was never settled: it gives way.
            bound = proposal is not None and not (
                dead
                and (contains(new, new_hash, *proposal) or sender in needed(proposal[0], settled))
            )
            if not follows or sender != first or bound:
                raise LookAgain(f"{self.me} does not hold what this proposal was made from.")
            self.store.propose(new)
        return {"accepted": True}

    def serve_settle(self, hash: str) -> dict[str, Any]:
        with self._writing:
            proposal = self.store.proposed()
            if proposal and proposal[1] == hash:
                self.store.settle()
        self.on_settled()
        return {"hash": self.store.hash()}

    def serve_bring(self, document: str, between: list[str]) -> dict[str, Any]:
        """Take a settled document that descends from one's own; never merge."""
        new = decode(document)
        with self._writing:
            mine, my_hash = self.store.settled()
            proposal = self.store.proposed()
            new_hash = digest(new)
            how = relation(mine, my_hash, new, new_hash)
            if how == "newer" and proposal and proposal[1] == new_hash:
                self.store.settle()
            elif how == "newer":
                keep = proposal if proposal and proposal[0].parent == new_hash else None
                self.store.adopt(new, [decode(one) for one in between])
                if keep:
                    self.store.propose(keep[0])
            elif how == "diverged":
                raise Diverged(f"{self.me} holds another document.", "See: mcv cluster check")
        if how == "newer":
            self.on_settled()
        return {"hash": self.store.hash()}

    # Being in touch

    @property
    def heard_anyone(self) -> bool:
        """Whether some member has been heard since the start, so that its word can count."""
        return bool(self._heard)

    def forget_touch(self) -> None:
        """Be as after a start: this node has become a member, or is none any more."""
        self._heard.clear()
        self.removed_by.clear()
        self._in_touch = False

    @property
    def in_touch(self) -> bool:
        """Whether everyone whom the newest document calls online has answered since the start.

        In a divergence nobody is, nor one that a member calls no member, nor one that is
        offline in the document, or will be once the proposal is settled.
        """
        if self.diverged or self.removed_by:
            return False
        both = self.store.both()
        if any(self.me not in one.online for one in both):
            return False
        if not self._in_touch:
            self._in_touch = set(both[0].online) - {self.me} <= self._heard
        return self._in_touch

    def require_touch(self) -> None:
        if self.removed_by:
            raise Refused(
                f"{_names(sorted(self.removed_by))} says that {self.me} is no member any more.",
                "Make this node blank with: mcv cluster leave; it can be added again then.",
            )
        if self.diverged:
            raise Diverged(
                f"{_names(sorted(self.diverged))} holds another document than {self.me}, "
                "so nothing new is started.",
                "See both with: mcv config history, on each node",
            )
        if self.me not in self.store.both()[-1].online:
            raise Refused(
                f"{self.me} is offline in the document.",
                f"It comes back by itself, or: mcv node online {self.me}",
            )
        if not self.in_touch:
            silent = sorted(set(self.store.read().online) - {self.me} - self._heard)
            raise Refused(
                f"{self.me} has not heard from {_names(silent) or 'the others'} since it started.",
                f"Start {_names(silent) or 'them'}, or, if dead: "
                f"mcv node offline {' '.join(silent) or 'NODE'} --confirm-dead",
            )

    def look_at_others(self) -> None:
        """One round of looking: take what is newer, settle what is known, finish what is open."""
        document = self.store.read()
        others = sorted(set(document.nodes) - {self.me})
        heard, answered = set(), set()
        for name, answer in ask_all(self._ask, others, "config.look", LOOK).items():
            if isinstance(answer, McvError):
                # One that is offline in the document says nothing by it: it may be blank.
                if isinstance(answer, NotMember) and name in document.online:
                    self.removed_by.add(name)
                continue
            self.removed_by.discard(name)
            answered.add(name)
            if answer["hash"] != self.store.hash():
                if not self._catch_up(name):
                    continue
            else:
                self.diverged.pop(name, None)
            if self._knows(answer["proposal"]):
                heard.add(name)
        # What was heard of those who are none any more in the newest document is over.
        document = self.store.read()
        self.removed_by &= set(document.online)
        self.diverged = {key: one for key, one in self.diverged.items() if key in document.nodes}
        # At once, after all: who has answered says nothing while a newer document waits.
        self._heard |= heard
        if self.store.proposed() and self._turn.acquire(blocking=False):
            try:
                self._finish_open(answered)
            except McvError as error:
                log.info("an open change: %s", error)
            finally:
                self._turn.release()

    def _knows(self, proposal: str | None) -> bool:
        """Whether a proposal that another node holds is none, held here too, or settled."""
        mine = self.store.proposed()
        return proposal in (None, self.store.hash(), mine[1] if mine else None)

    def _unreachable(self, names: list[str]) -> PeerUnreachable:
        return PeerUnreachable(
            f"{_names(names)} does not answer, so nothing was changed.",
            ways_out(*names),
        )


def _writer(new: Cluster, base: Cluster) -> str:
    """Who may write a document: the keeper of its parent, or who begins an epoch with it."""
    return new.keeper if new.epoch.number > base.epoch.number else base.keeper


def _names(names: list[str]) -> str:
    return " and ".join(names)
