"""One node's part in unanimous agreement: proposer, coordinator, member, and its contact."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from mcv.consensus.unanimous.coordinator import Coordinator
from mcv.consensus.unanimous.declaration import Declaration
from mcv.consensus.unanimous.held import Held
from mcv.consensus.unanimous.judge import Judge, Keys
from mcv.consensus.unanimous.member import Member
from mcv.consensus.unanimous.proposer import Proposer
from mcv.consensus.unanimous.rounds import Rounds
from mcv.consensus.unanimous.wire import Ask, Observation
from mcv.document.availability import EvidenceKind
from mcv.document.model import Cluster
from mcv.document.store import Store
from mcv.errors import McvError, NotMember, Refused
from mcv.etcd.requests import Compare, Operation


class UnanimousAgreement(Held):
    """All sides of one node, put together: a `Consensus` with every online member in it."""

    def __init__(
        self,
        me: str,
        store: Store,
        ask: Ask,
        keys: Keys,
        is_alive: Callable[[str], bool] = lambda name: False,
    ) -> None:
        super().__init__(me, store, ask)
        self.member = Member(self.contact, self.questions, Judge(keys))
        self._rounds = rounds = Rounds(self.member)
        self.declaration = Declaration(rounds, is_alive)
        self.coordinator = Coordinator(rounds, self.declaration)
        self.coordinator.poll = self.poll
        self.proposer = Proposer(self.member, self.coordinator)

    def propose(
        self,
        name: str,
        params: dict[str, Any],
        *,
        id: str,
        who: str,
        why: str,
        compares: Sequence[Compare] = (),
        puts: Sequence[Operation] = (),
    ) -> Cluster:
        if compares or puts:
            raise Refused("Only in etcd can a change depend on more than the document.")
        return self.proposer.propose(name, params, id=id, who=who, why=why)

    @property
    def in_contact(self) -> bool:
        return self.contact.is_whole

    def require_contact(self) -> None:
        self.contact.require()

    def require_right(self) -> None:
        self.contact.require()

    @property
    def diverged(self) -> Mapping[str, str]:
        return self.contact.diverged

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
        return self.declaration.declare(
            dead,
            id=id,
            who=who,
            why=why,
            alive=alive,
            survivors=survivors,
            leave_etcd=leave_etcd,
            evidence=evidence,
        )

    def resolve_divergence(
        self, base: Cluster, params: dict[str, Any], *, id: str, who: str, why: str
    ) -> Cluster:
        return self.declaration.resolve_divergence(base, params, id=id, who=who, why=why)

    def begin(self, document: Cluster) -> None:
        self.store.begin(document)
        self.contact.forget()

    def forget(self) -> None:
        """Begin as after a start: no member has been heard."""
        self.contact.forget()

    def beside_etcd(
        self,
        before_commit: Callable[[Cluster], None],
        from_etcd: Callable[[str], None],
        in_contact: Callable[[], bool],
        etcd_serves: Callable[[str], bool],
    ) -> None:
        """Call back before this node, as coordinator, commits what all have accepted, and before
        a document is taken that lies in the etcd of an id, or comes after one that does.

        What `before_commit` raises leaves the proposal open. `in_contact` is what this node tells
        others: contact through the door in use; `etcd_serves` whether the etcd of an id has a
        majority.
        """
        self._rounds.etcd_serves = etcd_serves
        self._rounds.before_commit = before_commit
        self.member.from_etcd = from_etcd
        self.member.in_contact = in_contact

    def on_commit(self, callback: Callable[[], None]) -> None:
        self.member.on_commit = callback

    def poll(self) -> None:
        """Poll the others once: take a newer document, finish this node's open proposal.

        A member without an answer, or with one that cannot be read, costs that member's part.
        """
        if self.damage:
            return
        document = self.store.read()
        others = sorted(set(document.nodes) - {self.me})
        heard, answered = set(), set()
        for name, answer in self.questions.poll_all(others).items():
            if isinstance(answer, McvError):
                # The rejection by a node that is offline in the document means nothing: the
                # node may be blank.
                if isinstance(answer, NotMember) and name in document.online:
                    self.contact.rejected_by.add(name)
                continue
            self.contact.rejected_by.discard(name)
            answered.add(name)
            self.contact.reads[name] = answer.reads
            if self._is_caught_up(name, answer) and self._knows(answer.proposal):
                heard.add(name)
        self.contact.keep_members()
        # All at once, after the loop: an answer is no contact while a newer document waits.
        self.contact.heard |= heard
        self.coordinator.finish_open(answered)

    def _is_caught_up(self, name: str, answer: Observation) -> bool:
        """Take the node's document if it is newer; whether this node's contains it now."""
        if answer.hash != self.store.hash():
            return self.member.catch_up(name)
        self.contact.diverged.pop(name, None)
        return True

    def _knows(self, proposal: str | None) -> bool:
        """Whether another node's proposal is none, or held here too, or committed here."""
        own = self.store.proposal()
        return proposal in (None, self.store.hash(), own[1] if own else None)
