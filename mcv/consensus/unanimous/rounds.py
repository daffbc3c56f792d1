"""Rounds among the members: who leads a change asks all of them, and settles when all have it."""

import threading

from mcv.consensus.unanimous import timeouts
from mcv.consensus.unanimous.contact import names, unreachable
from mcv.consensus.unanimous.member import Member
from mcv.document.lineage import relation
from mcv.document.model import Cluster, decode, digest, encode
from mcv.errors import CallLost, Diverged, LookAgain, McvError, OutcomeOpen, PeerUnreachable
from mcv.system.fanout import ask_all


class Rounds:
    """What a coordinator, and who declares members dead, do alike; one at a time, in `turn`."""

    def __init__(self, member: Member) -> None:
        self.member = member
        self.me = member.me
        self.store = member.store
        self.contact = member.contact
        self.turn = threading.Lock()

    def look(self, members: list[str], hash_: str) -> None:
        """Make sure that members hold the document with this hash: who lacks it, is brought it.

        Raises PeerUnreachable, LookAgain where this node lacks something, or Diverged.
        """
        answers = ask_all(self.member.ask, members, "config.look", timeouts.LOOK)
        silent = [name for name in members if isinstance(answers[name], McvError)]
        if silent:
            raise unreachable(silent)
        for name, answer in answers.items():
            if answer["hash"] == hash_:
                continue
            try:
                self.bring_up_to_date(name, answer["hash"])
            except (PeerUnreachable, CallLost) as error:
                raise unreachable([name]) from error

    def bring_up_to_date(self, name: str, hash_: str) -> None:
        """Bring a member what it lacks; raise LookAgain if it is I who lack something."""
        ask, since = self.member.ask, self.store.hash()
        theirs = ask(name, "config.fetch", since=since, timeout=timeouts.LOOK)
        document = decode(theirs["document"])
        mine, my_hash = self.store.settled()
        how = relation(mine, my_hash, document, digest(document))
        if how == "newer":
            self.member.bring(theirs["document"], theirs["between"])
            raise LookAgain("The document has moved on.")
        if how == "diverged":
            self.contact.note_divergence(name, digest(document))
            raise Diverged(
                f"{name} holds another document than {self.me}.",
                "See both with: mcv cluster check",
            )
        between = [encode(one) for one in self.store.since(hash_)]
        params = {"document": encode(mine), "between": between}
        ask(name, "config.bring", timeout=timeouts.ACCEPT, **params)

    def collect(self, members: list[str], new: Cluster) -> None:
        """Have every member write the proposal, which this node has written; settle it when
        all have.

        Raises OutcomeOpen where one did not say so: it may have, so nothing is taken back.
        """
        missing = self.member.tell(members, "config.accept", timeouts.ACCEPT, document=encode(new))
        if missing:
            raise OutcomeOpen(
                f"Whether the change is made is not known yet: {names(missing)} did not answer.",
                f"It is settled by itself when {names(missing)} is back, or: "
                f"mcv node offline {' '.join(missing)} --confirm-dead",
            )
        with self.member.writing:
            proposal = self.store.proposed()
            if proposal is not None and proposal[1] == digest(new):
                self.store.settle()
            elif new.change.id not in self.store.read().changes:
                raise OutcomeOpen("Another document came before the change was settled.")
        self.member.on_settled()
        self.member.tell(members, "config.settle", timeouts.SETTLE, hash=digest(new))
