"""One node's part in the protocol: proposer, coordinator, member, and its contact."""

from mcv.consensus import timeouts
from mcv.consensus.contact import Contact
from mcv.consensus.coordinator import Coordinator
from mcv.consensus.declaration import Declaration
from mcv.consensus.member import Ask, Member
from mcv.consensus.proposer import Proposer
from mcv.consensus.rounds import Rounds
from mcv.document.store import Store
from mcv.errors import McvError, NotMember
from mcv.system.fanout import ask_all


class Agreement:
    """All sides of one node, put together."""

    def __init__(self, me: str, store: Store, ask: Ask) -> None:
        self.me = me
        self.store = store
        self.contact = Contact(me, store)
        self.member = Member(self.contact, ask)
        self._ask = ask
        rounds = Rounds(self.member)
        self.declaration = Declaration(rounds)
        self.coordinator = Coordinator(rounds, self.declaration)
        self.coordinator.look = self.look_at_others
        self.proposer = Proposer(self.member, self.coordinator)

    @property
    def in_contact(self) -> bool:
        """Whether this node's word counts: see Contact."""
        return self.contact.is_whole

    def look_at_others(self) -> None:
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
