"""One node's part in unanimous agreement: proposer, coordinator, member, and its contact."""

from collections.abc import Callable, Iterable, Mapping, Set
from typing import Any

from mcv.consensus.unanimous import timeouts
from mcv.consensus.unanimous.contact import Contact
from mcv.consensus.unanimous.coordinator import Coordinator
from mcv.consensus.unanimous.declaration import Declaration
from mcv.consensus.unanimous.member import Ask, Member
from mcv.consensus.unanimous.proposer import Proposer
from mcv.consensus.unanimous.rounds import Rounds
from mcv.document.model import Cluster
from mcv.document.store import Store
from mcv.errors import McvError, NotMember
from mcv.system.fanout import ask_all


class UnanimousAgreement:
    """All sides of one node, put together: a `Consensus` that every online member takes part in."""

    def __init__(
        self, me: str, store: Store, ask: Ask, is_alive: Callable[[str], bool] = lambda name: False
    ) -> None:
        self.me = me
        self.store = store
        self.contact = Contact(me, store)
        self.member = Member(self.contact, ask)
        self._ask = ask
        rounds = Rounds(self.member)
        self.declaration = Declaration(rounds, is_alive)
        self.coordinator = Coordinator(rounds, self.declaration)
        self.coordinator.look = self.poll
        self.proposer = Proposer(self.member, self.coordinator)

    def document(self) -> Cluster:
        return self.store.read()

    def committed(self) -> tuple[Cluster, str]:
        return self.store.settled()

    def proposal(self) -> tuple[Cluster, str] | None:
        return self.store.proposed()

    def both(self) -> list[Cluster]:
        return self.store.both()

    def generations(self) -> list[Cluster]:
        return self.store.generations()

    def propose(self, name: str, params: dict[str, Any], *, id: str, who: str, why: str) -> Cluster:
        return self.proposer.update(name, params, id=id, who=who, why=why)

    @property
    def in_contact(self) -> bool:
        return self.contact.is_whole

    def require_contact(self) -> None:
        self.contact.require()

    @property
    def heard(self) -> Set[str]:
        return self.contact.heard

    @property
    def diverged(self) -> Mapping[str, str]:
        return self.contact.diverged

    @property
    def rejected_by(self) -> Set[str]:
        return self.contact.removed_by

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
        return self.declaration.declare(
            dead, id=id, who=who, why=why, alive=alive, survivors=survivors
        )

    def resolve_divergence(self, base: Cluster, new: Cluster) -> Cluster:
        return self.declaration.impose(base, new)

    def begin(self, document: Cluster) -> None:
        self.store.begin(document)
        self.contact.forget()

    def on_commit(self, callback: Callable[[], None]) -> None:
        self.member.on_settled = callback

    def poll(self) -> None:
        """One round of looking: take what is newer, settle what is known, finish what is open."""
        contact = self.contact
        document = self.store.read()
        others = sorted(set(document.nodes) - {self.me})
        heard, answered = set(), set()
        answers = ask_all(self._ask, others, "config.look", timeouts.LOOK)
        for name, answer in answers.items():
            if isinstance(answer, McvError):
                # One that is offline in the document says nothing by it: it may be blank.
                if isinstance(answer, NotMember) and name in document.online:
                    contact.removed_by.add(name)
                continue
            contact.removed_by.discard(name)
            answered.add(name)
            if answer["hash"] != self.store.hash():
                if not self.member.catch_up(name):
                    continue
            else:
                contact.diverged.pop(name, None)
            if self._knows(answer["proposal"]):
                heard.add(name)
        contact.keep_members()
        # At once, after all: who has answered says nothing while a newer document waits.
        contact.heard |= heard
        self.coordinator.finish_open(answered)

    def _knows(self, proposal: str | None) -> bool:
        """Whether a proposal that another node holds is none, held here too, or settled."""
        mine = self.store.proposed()
        return proposal in (None, self.store.hash(), mine[1] if mine else None)
