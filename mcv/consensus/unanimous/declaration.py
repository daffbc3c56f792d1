"""An operator's declaration of death: all survivors take part, and it begins an epoch."""

import secrets
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from mcv.consensus.unanimous.contact import moved_to_etcd, said_of
from mcv.consensus.unanimous.judge import linked
from mcv.consensus.unanimous.newest import Held, newest
from mcv.consensus.unanimous.rounds import Rounds
from mcv.consensus.unanimous.wire import Fetched
from mcv.document.availability import EvidenceKind
from mcv.document.changes import RECORDED
from mcv.document.generation import ChangeMade, made_now
from mcv.document.lineage import contains
from mcv.document.model import Cluster, digest
from mcv.errors import Busy, LookAgain, McvError, NotMember, PeerUnreachable, Refused

DEAD, LEFT_ETCD = "node.dead", "store.survivors"  # what a declaration changes


class Survey(NamedTuple):
    """What a poll before a declaration found: the survivors, the newest document that a
    survivor holds, and what this node itself held at that time."""

    survivors: list[str]
    newest: Cluster
    own: Held


class Declaration:
    """One node's part in declaring members dead, and in resolving a divergence."""

    def __init__(self, rounds: Rounds, is_alive: Callable[[str], bool]) -> None:
        self._is_alive = is_alive
        self._rounds = rounds
        self._member = rounds.member
        self._me = rounds.me
        self._store = rounds.store
        self._contact = rounds.contact
        self._questions = rounds.questions
        self._proposed: set[str] = set()  # hashes of this node's declarations since its start

    def declare(
        self,
        dead: list[str],
        *,
        id: str,
        who: str,
        why: str,
        alive: Callable[[], list[str]],
        survivors: Iterable[str] = (),
        leave_etcd: bool = False,
        evidence: EvidenceKind | None = None,
    ) -> Cluster:
        """Declare members dead in agreement with all survivors.

        With `evidence`, which the document keeps, this node is the only survivor.

        With `leave_etcd` they were the majority of etcd, in which the document lies: the survivors
        agree unanimously from then on.

        The asked node polls and hands over to the first survivor by name, which polls the
        same nodes again. The declaration is made over the newest proposal that a survivor
        holds, which may have been acknowledged: both become committed in one rename. `alive`
        is asked again when this node has written the proposal and no other node has it: if
        it names a node, the proposal is withdrawn.

        Raises Refused, PeerUnreachable or LookAgain where nothing was changed; OutcomeOpen
        where a survivor may have accepted.
        """
        with self._rounds.turn:
            self._require_door(leave_etcd)
            if not self._contact.is_whole:
                self._learn_from_the_rest(set(dead))
            survey = self._survey(set(dead), set(survivors))
            self._require_door(leave_etcd)
            first = survey.survivors[0]
            if first == self._me:
                made = made_now(self._me, id=id, who=who, why=why)
                how = LEFT_ETCD if leave_etcd else DEAD
                return self._declare_over(survey, dead, made, alive, how, evidence)
            if evidence is not None:
                raise Refused(f"{first} survives as well, and is to say so.")
        more = {"leave_etcd": True} if leave_etcd else {}
        self._questions.declare(
            first, names=dead, change=id, who=who, why=why, survivors=survey.survivors, **more
        )
        self._member.catch_up(first)
        return self._store.read()

    def _require_door(self, leave_etcd: bool) -> None:
        if self._store.read().store is not None and not leave_etcd:
            raise moved_to_etcd()

    def finish(self, new: Cluster, hash_: str, answered: set[str] | None) -> None:
        """Have this node's own open declaration accepted again by the survivors.

        The dead are not waited for, with an exception: after a restart a node that was
        declared dead may have gone on without this node, so Busy is raised while its host is
        up and it does not answer. Where the survivors hold a newer document, or a proposal
        that excludes the declaration and may be committed, the declaration is made anew over
        that.
        """
        dead = sorted(set(self._store.read().online) - set(new.online))
        others = sorted(set(new.online) - {self._me})
        how = LEFT_ETCD if new.change.name == LEFT_ETCD else DEAD
        if not dead and how == DEAD:
            # The epoch resolves a divergence: no survivor has to be found.
            self._rounds.collect(others, new)
            return
        if hash_ not in self._proposed and answered is not None:
            back = [name for name in dead if name not in answered and self._is_alive(name)]
            if back:
                must = said_of(back, "has", "have")
                raise Busy(f"{must} to answer before {new.change.why} is committed.")
        survey = self._survey(set(dead), set())
        if digest(survey.newest) == hash_:
            self._rounds.collect(others, new)
        elif survey.survivors[0] == self._me and survey.own[-1][1] == hash_:
            # One with evidence has no other survivor, so that it is never made anew.
            self._declare_over(survey, dead, new.change, list, how)

    def resolve_divergence(
        self, base: Cluster, params: dict[str, Any], *, id: str, who: str, why: str
    ) -> Cluster:
        """Have an epoch that begins over base accepted by all that the document calls online.

        Precondition: the parameters name the ends of all diverged documents as its past, so
        that it descends from each of them. Raises OutcomeOpen like every round of acceptance.
        """
        made = made_now(self._me, id=id, who=who, why=why)
        new = self._rounds.judge.make(base, "cluster.sync", params, made)
        with self._rounds.turn:
            self._store.remember(base)
            self._rounds.write_proposal(new)
            self._rounds.collect(sorted(set(new.online) - {self._me}), new)
            self._contact.diverged.clear()
            return self._store.read()

    def _declare_over(
        self,
        survey: Survey,
        dead: list[str],
        made: ChangeMade,
        alive: Callable[[], list[str]],
        how: str,
        evidence: EvidenceKind | None = None,
    ) -> Cluster:
        base = survey.newest
        how = DEAD if base.store is None else how  # a survivor may have left etcd before
        if base is survey.own[0][0] and how == DEAD and not set(dead) & set(base.online):
            return self._store.read()
        params: dict[str, Any] = {"names": dead, "survivor": self._me}
        params["epoch"] = secrets.token_hex(8)
        if evidence is not None and how == DEAD:
            params["evidence"] = evidence
        new = self._rounds.judge.make(base, how, params, made)
        others = [name for name in survey.survivors if name != self._me]
        with self._member.writing:
            if self._store.held() != survey.own:
                raise LookAgain("The document has moved on.", "Try again.")
            before = self._store.proposal()
            self._store.remember(base)
            self._rounds.write_proposal(new)
        self._proposed.add(digest(new))
        try:
            back = alive()
        except BaseException:
            self._withdraw(new, before[0] if before is not None else None)
            raise
        if back:
            self._withdraw(new, before[0] if before is not None else None)
            alive_now = said_of(back, "answers now, so it is", "answer now, so they are")
            raise Refused(f"{alive_now} not dead.")
        self._contact.heard.update(others)
        self._rounds.collect(others, new)
        return self._store.read()

    def _withdraw(self, new: Cluster, before: Cluster | None) -> None:
        """Withdraw a proposal that no other node has; the proposal before it is held again."""
        with self._member.writing:
            if (now := self._store.proposal()) is not None and now[1] == digest(new):
                if before is not None:
                    self._store.propose(before)  # in one rename: neither is ever missing
                else:
                    self._store.drop_proposal()

    def _learn_from_the_rest(self, dead: set[str]) -> None:
        """Take the documents of members that may have gone on without this node.

        This node's own document may not call them online. Raises PeerUnreachable where a
        member's host is up and the member does not say what it holds.
        """
        document = self._store.read()
        others = sorted(set(document.nodes) - dead - {self._me})
        answers = self._questions.fetch_all(others, since=self._store.hash())
        for name, answer in answers.items():
            # The rejection by a node that is offline in the document means nothing: the node
            # may be blank.
            if isinstance(answer, NotMember) and name not in document.online:
                continue
            if not isinstance(answer, McvError):
                # A blank node, joining or just removed, has a cluster of its own.
                if self._me in answer.document.nodes:
                    self._member.take(answer.document, answer.between)
            elif self._is_alive(name):
                raise PeerUnreachable(
                    f"{name} is up, but does not say what it holds, so nothing was changed.",
                    f"Try again, or ask there: {self._me} may have missed something.",
                )

    def _survey(self, dead: set[str], asked: set[str]) -> Survey:
        """Poll until every node has answered that the newest document found calls online and
        that is not named dead."""
        asked = (asked | set(self._store.both()[-1].online)) - dead - {self._me}
        while True:
            held = self._held_by(sorted(asked))
            own = held[self._me] = self._store.held()
            base = newest(*own[0], held)
            survivors = (set(base.online) - dead) or {self._me}
            if survivors - {self._me} <= asked:
                return Survey(sorted(survivors), base, own)
            asked |= survivors - {self._me}

    def _held_by(self, asked: list[str]) -> dict[str, Held]:
        """What other members hold. The newest committed document is taken, and installed on
        all of them."""
        while True:
            committed, hash_ = self._store.committed()
            answers = self._questions.fetch_all(asked, since=hash_, proposal=True)
            fetched = {
                name: answer for name, answer in answers.items() if isinstance(answer, Fetched)
            }
            silent = [name for name in asked if name not in fetched]
            if silent:
                raise self._contact.unreachable(silent)
            for answer in fetched.values():
                self._member.take(answer.document, answer.between)
            if self._store.hash() == hash_:
                break
        for name, answer in fetched.items():
            if answer.hash != hash_:
                self._rounds.bring_up_to_date(name, answer.hash)
        for answer in fetched.values():
            self._keep_proposal(committed, hash_, answer)
        return {name: answer.held() for name, answer in fetched.items()}

    def _keep_proposal(self, committed: Cluster, hash_: str, answer: Fetched) -> None:
        """Keep what a member's proposal was made over.

        Raises Refused for a proposal that newer changes than the committed document's do not
        lead to. A proposal that is over is not looked at.
        """
        if answer.proposal is None or not contains(*answer.proposal, committed, hash_):
            return
        proposal, key = answer.proposal
        chain = linked([*answer.under, proposal])
        if key != hash_ and max(committed.schema, proposal.schema) >= RECORDED:
            if chain[0].parent != hash_:
                raise Refused(f"A proposal ({proposal.change.why}) does not say where it began.")
            self._rounds.judge.require_chain(committed, chain)
        for each in chain[:-1]:
            self._store.remember(each)
