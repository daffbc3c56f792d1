"""Rounds among the members: a poll before a proposal, and its acceptance and commit."""

import threading
from collections.abc import Callable

from mcv.consensus.unanimous.contact import SYNC, said_of
from mcv.consensus.unanimous.member import Member
from mcv.document.changes import RECORDED
from mcv.document.lineage import relation
from mcv.document.model import Cluster, digest
from mcv.errors import (
    CallLost,
    Diverged,
    LookAgain,
    McvError,
    OutcomeOpen,
    PeerUnreachable,
    Refused,
    SystemFailed,
)
from mcv.printable import names

OVER = 10  # generations under a proposal that are sent with it


def require_room(node: str, problem: str) -> None:
    """Raise Refused where a member, this node included, could not write a proposal down."""
    if problem:
        raise Refused(
            f"{node} can write nothing down ({problem}), so nothing was changed.",
            f"Make room on {node}: df -h; a VM of its own can be started and stopped all the same",
        )


class Rounds:
    """What a coordinator and a declaration have in common; one of them at a time, in `turn`."""

    def __init__(self, member: Member) -> None:
        self.member = member
        self.me = member.me
        self.store = member.store
        self.contact = member.contact
        self.questions = member.questions
        self.judge = member.judge
        self.turn = threading.Lock()
        self.etcd_serves: Callable[[str], bool] = lambda id: False  # the etcd of an id
        self.before_commit: Callable[[Cluster], None] = lambda new: None  # of what all accepted

    def poll(self, members: list[str], hash_: str, new: Cluster) -> None:
        """Make sure that members hold the document with this hash; bring it to those behind.

        Raises PeerUnreachable where a member does not answer, LookAgain where this node is
        behind, Refused where a member does not know the change of `new` or could write nothing
        down, or Diverged. No proposal has been written then.
        """
        require_room(self.me, self.member.room())
        answers = self.questions.poll_all(members)
        silent = [name for name in members if isinstance(answers[name], McvError)]
        if silent:
            raise self.contact.unreachable(silent)
        for name, answer in answers.items():
            if isinstance(answer, McvError):
                continue
            require_room(name, answer.problem)
            if new.change.name and new.change.name not in answer.changes:
                raise Refused(
                    f"{name} does not know this change ({new.change.name}).",
                    "Install this mcv on every node; the others tell which: mcv info",
                )
            if answer.hash == hash_:
                continue
            try:
                self.bring_up_to_date(name, answer.hash)
            except (PeerUnreachable, CallLost) as error:
                raise self.contact.unreachable([name]) from error

    def write_proposal(self, new: Cluster) -> None:
        """Write a proposal here, before another node has it; Refused where it cannot be written."""
        try:
            self.store.propose(new)
        except SystemFailed as error:
            raise Refused(
                f"{self.me} cannot write the change down, so nothing was changed: {error.message}",
                error.hint,
            ) from error

    def _commit(self) -> None:
        try:
            self.store.commit()
        except SystemFailed as error:
            raise OutcomeOpen(
                f"All have accepted the change, and {self.me} cannot write that down: "
                f"{error.message}",
                f"It is committed by itself when there is room on {self.me}: df -h",
            ) from error

    def bring_up_to_date(self, name: str, hash_: str) -> None:
        """Install this node's document on a member that holds the one with this hash.

        Raises LookAgain, after taking the member's document, where this node is behind;
        Diverged where neither document contains the other; PeerUnreachable or CallLost.
        """
        fetched = self.questions.fetch(name, self.store.hash())
        committed, own_hash = self.store.committed()
        how = relation(committed, own_hash, fetched.document, fetched.hash)
        if how == "newer":
            self.member.take(fetched.document, fetched.between)
            raise LookAgain("The document has moved on.")
        if how == "diverged":
            self.contact.note_divergence(name, fetched.hash)
            raise Diverged(
                f"{name} holds another document than {self.me}.",
                SYNC,
            )
        self.questions.install(name, committed, self.store.since(hash_))

    def collect(self, members: list[str], new: Cluster) -> None:
        """Have every member accept a proposal, then commit it here and tell them.

        Precondition: this node has written the proposal. Raises OutcomeOpen where a member
        did not say that it has accepted: it may have, so nothing is withdrawn.
        """
        missing = self.questions.accept_all(members, new, self._over(new))
        if missing:
            raise OutcomeOpen(
                f"Whether the change is made is not known yet: {names(missing)} did not answer.",
                f"It is committed by itself when {said_of(missing, 'is', 'are')} back. "
                f"{self.contact.advice(*missing)}",
            )
        self.before_commit(new)
        with self.member.writing:
            proposal = self.store.proposal()
            if proposal is not None and proposal[1] == digest(new):
                self._commit()
            elif new.change.id not in self.store.read().changes:
                raise OutcomeOpen("Another document came before the change was committed.")
        self.member.on_commit()
        self.questions.commit_all(members, digest(new))

    def _over(self, new: Cluster) -> list[Cluster]:
        """The generations that a proposal was made over and that members may lack.

        The members hold the committed document, unless the proposal ends a divergence.
        """
        ends_divergence = new.change.name == "cluster.sync"
        is_child = new.parent == self.store.hash() and not ends_divergence
        if new.schema < RECORDED or is_child:
            return []
        return self.store.since("" if ends_divergence else self.store.hash(), OVER, of=new)
