"""An operator's word about the dead: the survivors all take part, and it begins an epoch."""

import secrets
from collections.abc import Callable, Iterable
from typing import NamedTuple

from mcv.consensus.unanimous import timeouts
from mcv.consensus.unanimous.contact import names, unreachable
from mcv.consensus.unanimous.newest import Held, newest
from mcv.consensus.unanimous.rounds import Rounds
from mcv.document import changes
from mcv.document.model import ChangeMade, Cluster, decode, digest
from mcv.errors import Busy, LookAgain, McvError, NotMember, PeerUnreachable, Refused
from mcv.system.fanout import ask_all
from mcv.timestamps import timestamp


class Found(NamedTuple):
    """What a look round before a declaration found: who survives, the newest document that
    one of them holds, and what this node itself held then."""

    survivors: list[str]
    newest: Cluster
    mine: Held


class Declaration:
    """One node's part in declaring members dead, and in settling a divergence."""

    def __init__(self, rounds: Rounds, is_alive: Callable[[str], bool]) -> None:
        self.is_alive = is_alive
        self._rounds = rounds
        self._member = rounds.member
        self._me = rounds.me
        self._store = rounds.store
        self._contact = rounds.contact
        self._carried: set[str] = set()  # what this node began since its start

    def declare(
        self,
        dead: list[str],
        *,
        id: str,
        who: str,
        why: str,
        alive: Callable[[], list[str]],
        survivors: Iterable[str] = (),
    ) -> Cluster:
        """Call members dead, in agreement with all who are left.

        Whoever is asked looks round and hands over to the first survivor, who looks round
        among as many. It is made over the newest proposal that one of them holds, which may
        have been acknowledged: both become settled in one rename. `alive` is asked again when
        the proposal is written here and before anybody else has it: whom it names withdraws it.
        """
        with self._rounds.turn:
            if not self._contact.is_whole:
                self._look_at_the_rest(set(dead))
            found = self._survivors(set(dead), set(survivors))
            first = found.survivors[0]
            if first == self._me:
                made = ChangeMade(id=id, who=who, when=timestamp(), why=why, node=self._me)
                return self._declare_over(found, dead, made, alive)
        params = {"names": dead, "change": id, "who": who, "why": why}
        self._member.ask(
            first,
            "config.declare",
            timeout=timeouts.OFFER,
            survivors=found.survivors,
            **params,
        )
        self._member.catch_up(first)
        return self._store.read()

    def finish(self, new: Cluster, hash_: str, answered: set[str] | None) -> None:
        """Offer one's own declaration again, among the survivors: it does not wait for the dead.

        After a restart one who was called dead may have gone on without this node: if its host
        is up, it is waited for. Where the survivors hold something newer, or something that
        excludes it and may be settled, it is made anew over that.
        """
        dead = sorted(set(self._store.read().online) - set(new.online))
        if not dead:
            # It calls nobody dead: it settles a divergence.
            self._rounds.collect(sorted(set(new.online) - {self._me}), new)
            return
        if hash_ not in self._carried and answered is not None:
            back = [name for name in dead if name not in answered and self.is_alive(name)]
            if back:
                raise Busy(f"Before {new.change.why} is settled, {names(back)} is waited for.")
        found = self._survivors(set(dead), set())
        if digest(found.newest) == hash_:
            self._rounds.collect(sorted(set(new.online) - {self._me}), new)
        elif found.survivors[0] == self._me and found.mine[-1][1] == hash_:
            self._declare_over(found, dead, new.change, list)

    def impose(self, base: Cluster, new: Cluster) -> Cluster:
        """Have a document that begins an epoch over base agreed by all whom it calls online.

        For what settles a divergence: whatever each of them holds, it descends from it.
        """
        with self._rounds.turn:
            self._store.remember(base)
            self._store.propose(new)
            self._rounds.collect(sorted(set(new.online) - {self._me}), new)
            self._contact.diverged.clear()
            return self._store.read()

    def _declare_over(
        self, found: Found, dead: list[str], made: ChangeMade, alive: Callable[[], list[str]]
    ) -> Cluster:
        base = found.newest
        if base is found.mine[0][0] and not set(dead) & set(base.online):
            return self._store.read()
        params = {"names": dead, "survivor": self._me, "epoch": secrets.token_hex(8)}
        new = changes.apply(base, "node.dead", params, made)
        others = [name for name in found.survivors if name != self._me]
        with self._member.writing:
            if self._store.held() != found.mine:
                raise LookAgain("The document has moved on.", "Try again.")
            before = self._store.proposed()
            self._store.remember(base)
            self._store.propose(new)
        self._carried.add(digest(new))
        if back := alive():
            self._withdraw(new, before[0] if before is not None else None)
            raise Refused(f"{names(back)} answers now, so it is not dead.")
        self._contact.heard.update(others)
        self._rounds.collect(others, new)
        return self._store.read()

    def _withdraw(self, new: Cluster, before: Cluster | None) -> None:
        """Take back a proposal that nobody else has; what was held before is held again."""
        with self._member.writing:
            if (now := self._store.proposed()) is not None and now[1] == digest(new):
                self._store.drop_proposal()
                if before is not None:
                    self._store.propose(before)

    def _look_at_the_rest(self, dead: set[str]) -> None:
        """Learn what members hold who may have gone on without this node: its own document
        may not call them online. One that is up and does not say is waited for."""
        document = self._store.read()
        others = sorted(set(document.nodes) - dead - {self._me})
        answers = ask_all(self._member.ask, others, "config.fetch", timeouts.LOOK)
        for name, answer in answers.items():
            # One that is offline in the document says nothing by it: it may be blank.
            if isinstance(answer, NotMember) and name not in document.online:
                continue
            if not isinstance(answer, McvError):
                # A blank node, joining or just removed, has a cluster of its own.
                if self._me in decode(answer["document"]).nodes:
                    self._member.bring(answer["document"], answer["between"])
            elif self.is_alive(name):
                raise PeerUnreachable(
                    f"{name} is up, but does not say what it holds, so nothing was changed.",
                    f"Try again, or ask there: {self._me} may have missed something.",
                )

    def _survivors(self, dead: set[str], asked: set[str]) -> Found:
        """Look round until everyone whom the newest document found calls online, and who is
        not named, has answered."""
        asked = (asked | set(self._store.both()[-1].online)) - dead - {self._me}
        while True:
            held = self._held_by(sorted(asked))
            mine = held[self._me] = self._store.held()
            base = newest(*mine[0], held)
            survivors = (set(base.online) - dead) or {self._me}
            if survivors - {self._me} <= asked:
                return Found(sorted(survivors), base, mine)
            asked |= survivors - {self._me}

    def _held_by(self, asked: list[str]) -> dict[str, Held]:
        """What other members hold; the newest settled document is taken, and brought to all."""
        while True:
            hash_ = self._store.hash()
            answers = ask_all(self._member.ask, asked, "config.fetch", timeouts.LOOK, proposal=True)
            silent = [name for name in asked if isinstance(answers[name], McvError)]
            if silent:
                raise unreachable(silent)
            held: dict[str, Held] = {}
            for name, answer in answers.items():
                texts = [answer["document"], answer["proposal"]]
                documents = [decode(text) for text in texts if text]
                held[name] = [(one, digest(one)) for one in documents]
                self._member.bring(answer["document"], answer["between"])
            if self._store.hash() == hash_:
                break
        for name, theirs in held.items():
            if theirs[0][1] != hash_:
                self._rounds.bring_up_to_date(name, theirs[0][1])
        return held
