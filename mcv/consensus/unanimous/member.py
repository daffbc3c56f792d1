"""A member's side: answer polls, accept proposals, take newer documents."""

import logging
import threading
from collections.abc import Callable, Iterable
from typing import Any

import mcv
from mcv.consensus.unanimous import timeouts
from mcv.consensus.unanimous.contact import Contact
from mcv.consensus.unanimous.newest import needed, writer
from mcv.document.lineage import contains, descends, relation
from mcv.document.model import decode, digest, encode
from mcv.errors import Diverged, LookAgain, McvError
from mcv.system.fanout import ask_all

log = logging.getLogger(__name__)

Ask = Callable[..., Any]  # ask(node, operation, /, timeout=…, **params)


class Member:
    """What every node does in the protocol, the coordinator too."""

    def __init__(self, contact: Contact, ask: Ask) -> None:
        self.me = contact.me
        self.store = contact.store
        self.contact = contact
        self.ask = ask
        self.writing = threading.RLock()
        self.on_settled: Callable[[], None] = lambda: None

    def look(self) -> dict[str, Any]:
        """Say what this node holds: never waits, and answers whoever is a peer."""
        (settled, hash_), *proposal = self.store.held()
        return {
            "version": mcv.__version__,
            "epoch": settled.epoch.number,
            "epoch_id": settled.epoch.id,
            "generation": settled.generation,
            "hash": hash_,
            "proposal": proposal[0][1] if proposal else None,
            "in_contact": self.contact.is_whole,
        }

    def fetch(self, since: str = "", proposal: bool = False) -> dict[str, Any]:
        """Hand over what this node holds, and the generations after the one named."""
        (settled, _), *open_ = self.store.held()
        return {
            "document": encode(settled),
            "proposal": encode(open_[0][0]) if open_ and proposal else None,
            "between": [encode(one) for one in self.store.since(since)] if since else [],
        }

    def accept(self, document: str, sender: str) -> dict[str, Any]:
        """Accept a proposal that follows what this node holds and comes from the coordinator."""
        new = decode(document)
        with self.writing:
            settled, hash_ = self.store.settled()
            proposal = self.store.proposed()
            new_hash = digest(new)
            if new_hash == hash_ or (proposal and proposal[1] == new_hash):
                return {"accepted": True}
            dead = new.epoch.number > settled.epoch.number
            follows = descends(new, settled, hash_) if dead else new.parent == hash_
            # One that needs the sender, who has made another, was never settled: it gives way.
            bound = proposal is not None and not (
                dead
                and (contains(new, new_hash, *proposal) or sender in needed(proposal[0], settled))
            )
            if not follows or sender != writer(new, settled) or bound:
                raise LookAgain(f"{self.me} does not hold what this proposal was made from.")
            self.store.propose(new)
        return {"accepted": True}

    def settle(self, hash_: str) -> dict[str, Any]:
        """Settle the proposal that the coordinator has settled, if it is the one held."""
        with self.writing:
            proposal = self.store.proposed()
            if proposal and proposal[1] == hash_:
                self.store.settle()
        self.on_settled()
        return {"hash": self.store.hash()}

    def bring(self, document: str, between: list[str]) -> dict[str, Any]:
        """Take a settled document that descends from one's own; never merge."""
        new = decode(document)
        with self.writing:
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

    def catch_up(self, node: str) -> bool:
        """Take what a node has if it is newer; whether its document is contained in mine now."""
        if node == self.me:
            return True
        try:
            since = self.store.hash()
            answer = self.ask(node, "config.fetch", since=since, timeout=timeouts.LOOK)
            self.bring(answer["document"], answer["between"])
        except Diverged:
            theirs = decode(answer["document"])
            # A blank node, joining or just removed, has a cluster of its own.
            if self.me in theirs.nodes:
                self.contact.note_divergence(node, digest(theirs))
            return False
        except McvError as error:
            log.debug("catching up from %s: %s", node, error)
            return False
        self.contact.diverged.pop(node, None)
        return True

    def tell(
        self, members: Iterable[str], operation: str, timeout: float, **params: Any
    ) -> list[str]:
        """Ask members for the same; who of them did not do it."""
        answers = ask_all(self.ask, list(members), operation, timeout, **params)
        for name, answer in answers.items():
            if isinstance(answer, McvError):
                log.info("%s to %s: %s", operation, name, answer)
        return [name for name, answer in answers.items() if isinstance(answer, McvError)]
