"""One node's part in the protocol: asker, keeper and member, and what keeps it in touch."""

from mcv.cluster.agree import patience
from mcv.cluster.agree.asker import Asker
from mcv.cluster.agree.declaration import Declaration
from mcv.cluster.agree.keeper import Keeper
from mcv.cluster.agree.member import Ask, Member
from mcv.cluster.agree.rounds import Rounds
from mcv.cluster.agree.touch import Touch
from mcv.config.store import Store
from mcv.errors import McvError, NotMember
from mcv.together import ask_all


class Agreement:
    """All sides of one node, put together."""

    def __init__(self, me: str, store: Store, ask: Ask) -> None:
        self.me = me
        self.store = store
        self.touch = Touch(me, store)
        self.member = Member(self.touch, ask)
        self._ask = ask
        rounds = Rounds(self.member)
        self.declaration = Declaration(rounds)
        self.keeper = Keeper(rounds, self.declaration)
        self.keeper.look = self.look_at_others
        self.asker = Asker(self.member, self.keeper)

    @property
    def in_touch(self) -> bool:
        """Whether this node's word counts: see Touch."""
        return self.touch.is_whole

    def look_at_others(self) -> None:
        """One round of looking: take what is newer, settle what is known, finish what is open."""
        touch = self.touch
        document = self.store.read()
        others = sorted(set(document.nodes) - {self.me})
        heard, answered = set(), set()
        answers = ask_all(self._ask, others, "config.look", patience.LOOK)
        for name, answer in answers.items():
            if isinstance(answer, McvError):
                # One that is offline in the document says nothing by it: it may be blank.
                if isinstance(answer, NotMember) and name in document.online:
                    touch.removed_by.add(name)
                continue
            touch.removed_by.discard(name)
            answered.add(name)
            if answer["hash"] != self.store.hash():
                if not self.member.catch_up(name):
                    continue
            else:
                touch.diverged.pop(name, None)
            if self._knows(answer["proposal"]):
                heard.add(name)
        touch.keep_members()
        # At once, after all: who has answered says nothing while a newer document waits.
        touch.heard |= heard
        self.keeper.finish_open(answered)

    def _knows(self, proposal: str | None) -> bool:
        """Whether a proposal that another node holds is none, held here too, or settled."""
        mine = self.store.proposed()
        return proposal in (None, self.store.hash(), mine[1] if mine else None)
