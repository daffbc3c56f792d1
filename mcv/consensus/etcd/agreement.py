"""One node's part in agreement by a majority: it proposes to etcd, and reads what is committed."""

import contextlib
import logging
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from mcv.consensus.etcd.depending import depends_on
from mcv.consensus.etcd.door import Beside, Door, Shown
from mcv.consensus.etcd.left import Left
from mcv.consensus.etcd.proposer import Proposer
from mcv.consensus.etcd.reader import Reader
from mcv.consensus.unanimous.contact import said_of
from mcv.consensus.unanimous.held import Held
from mcv.consensus.unanimous.judge import Judge, Keys
from mcv.consensus.unanimous.wire import Ask
from mcv.document.availability import EvidenceKind
from mcv.document.generation import made_now
from mcv.document.model import Cluster, digest
from mcv.document.store import Store
from mcv.errors import (
    CallLost,
    LookAgain,
    McvError,
    NotMember,
    PeerUnreachable,
    Refused,
)
from mcv.etcd.requests import Compare, Operation

log = logging.getLogger(__name__)

FRESH = 8.0  # s for which a read that a majority answered is contact


class EtcdAgreement(Held):
    """A `Consensus` in which a majority of etcd's voters commits.

    `silent` names the voters that do not answer now; it is asked where there is no majority.
    """

    def __init__(
        self,
        me: str,
        store: Store,
        ask: Ask,
        keys: Keys,
        door: Door,
        silent: Callable[[], list[str]] = list,
    ) -> None:
        super().__init__(me, store, ask)
        self.reader = Reader(door, self.contact, self.questions, Judge(keys))
        self.proposer = Proposer(self.reader, silent)
        self.left = Left(self.contact, self.questions)

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
        self.left.require_none(self.poll)
        beside = Beside([*compares, *depends_on(self.reader.door.keys, params)], puts)
        return self.proposer.propose(name, params, id, who, why, beside)

    @property
    def in_contact(self) -> bool:
        is_member = all(self.me in document.online for document in self.store.both())
        is_fresh = time.monotonic() - self.reader.read_at <= FRESH
        well = not (self.damage or self.diverged or self.contact.rejected_by)
        return well and is_member and is_fresh and self.left.is_known_to_be_none

    def require_contact(self) -> None:
        if self.damage:
            raise self.damage
        self.proposer.refreshed()
        self.left.require_none(self.poll)
        if self.me not in self.store.both()[-1].online:
            raise Refused(
                f"{self.me} is offline in the document.",
                f"It comes back by itself, or: mcv node online {self.me}",
            )

    def require_right(self) -> None:
        self.require_contact()

    @property
    def diverged(self) -> Mapping[str, str]:
        unfit = {"etcd": self.reader.unfit} if self.reader.unfit else {}
        return {**self.contact.diverged, **self.left.diverged, **unfit}

    def poll(self) -> None:
        """Take the newest document, and hear the other members: who answers, and what it reads."""
        if self.damage:
            return
        with contextlib.suppress(McvError):  # in_contact tells it; a change is told why
            self.reader.refresh()
        document = self.store.read()
        others = sorted(set(document.nodes) - {self.me})
        answers = self.questions.poll_all(others)
        self.left.look(answers)
        for name, answer in answers.items():
            if isinstance(answer, McvError):
                if isinstance(answer, NotMember) and name in document.online:
                    self.contact.rejected_by.add(name)
                continue
            self.contact.rejected_by.discard(name)
            self.proposer.deaf.discard(name)
            self.contact.reads[name] = answer.reads
            self.contact.heard.add(name)
        self.contact.keep_members()

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
        if leave_etcd:
            raise Refused("etcd is left by unanimous agreement.")
        if evidence is not None:
            raise Refused("With leases a node is taken by its lease.")

        def look() -> None:
            if back := alive():
                alive_now = said_of(back, "answers now, so it is", "answer now, so they are")
                raise Refused(f"{alive_now} not dead.")

        self.proposer.refreshed()
        self.left.require_none(self.poll)
        if not set(dead) & set(self.store.read().online):
            return self.store.read()
        params = {"names": dead, "survivor": self.me, "epoch": secrets.token_hex(8)}
        return self.proposer.propose("node.dead", params, id, who, why, look=look)

    def refresh(self) -> None:
        """Take the newest document. Raises PeerUnreachable, Diverged or Refused."""
        self.reader.refresh()

    def take_shown_alone(self) -> None:
        for door in self.reader.door.each():
            reader = Reader(door, self.contact, self.questions, self.reader.judge)
            reader.on_commit = self.reader.on_commit
            try:
                reader.take_if_newer()
            except (PeerUnreachable, CallLost, LookAgain) as error:
                log.info("what a voter of etcd shows by itself: %s", error)

    def seed(self, document: Cluster) -> str:
        """Put the first document into etcd; the hash of the one that is the newest there then.

        That one is taken where it is another. Raises PeerUnreachable, or CallLost.
        """
        if self.reader.door.seed(document):
            return digest(document)
        return self.reader.refresh().head.hash

    def resolve_divergence(
        self, base: Cluster, params: dict[str, Any], *, id: str, who: str, why: str
    ) -> Cluster:
        """Put an epoch that begins over base in the place of whatever etcd holds."""
        made = made_now(self.me, id=id, who=who, why=why)
        new = self.reader.judge.make(base, "cluster.sync", params, made)
        shown = self.reader.door.head()
        if shown is None or not self._swapped_over(shown, new, base):
            raise LookAgain("The document in etcd has moved on.", "Try again.")
        return self.store.read()

    def _swapped_over(self, shown: Shown, new: Cluster, base: Cluster) -> bool:
        if not self.reader.door.swap(shown, new):
            return False
        with self.reader.writing:
            self.store.adopt(new, [base])
        self.reader.unfit = ""
        self.contact.diverged.clear()
        self.reader.on_commit()
        return True

    def begin(self, document: Cluster) -> None:
        self.store.begin(document)
        self.contact.forget()
        self.reader.read_at = float("-inf")

    def on_commit(self, callback: Callable[[], None]) -> None:
        self.reader.on_commit = callback
