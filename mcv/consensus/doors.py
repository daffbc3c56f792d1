"""The two ways in which members agree, behind one door: the document says which is in use.

A move is a change like any other. To etcd it is agreed unanimously; before the first member
commits it, it is put into etcd, where there is place for one first document. From then on the
unanimous door is shut. Back it is the last change that etcd takes.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import Any, Protocol, TypeVar

from mcv.consensus.protocol import Consensus
from mcv.document.availability import EvidenceKind
from mcv.document.model import Cluster, digest
from mcv.errors import CallLost, McvError, OutcomeOpen, PeerUnreachable, StoreMoved
from mcv.etcd.requests import Compare, Operation

log = logging.getLogger(__name__)

A = TypeVar("A")

MOVES = 3  # that one change may meet on its way


class Unanimous(Consensus, Protocol):
    """Agreement of all online members."""

    def forget(self) -> None:
        """Begin as after a start: no member has been heard."""

    def beside_etcd(
        self,
        before_commit: Callable[[Cluster], None],
        from_etcd: Callable[[str], None],
        in_contact: Callable[[], bool],
        etcd_serves: Callable[[str], bool],
    ) -> None:
        """Call back before this node, as coordinator, commits what all have accepted, and before
        a document is taken that lies in the etcd of an id, or comes after one that does."""


class Majority(Consensus, Protocol):
    """Agreement by a majority of etcd's voters."""

    def refresh(self) -> None:
        """Take the newest document. Raises PeerUnreachable, Diverged or Refused."""

    def take_shown_alone(self) -> None:
        """Take the newest document that any voter shows by itself. Raises Diverged."""

    def seed(self, document: Cluster) -> str:
        """Put the first document into etcd; the hash of the one that is the newest there then.

        That one is taken where it is another. Raises PeerUnreachable or CallLost.
        """


class _Shown:
    """What the door in use shows, and what is the same behind either."""

    unanimous: Unanimous

    @property
    def _current(self) -> Consensus:
        raise NotImplementedError

    def document(self) -> Cluster:
        return self.unanimous.document()

    def committed(self) -> tuple[Cluster, str]:
        return self.unanimous.committed()

    def proposal(self) -> tuple[Cluster, str] | None:
        return self.unanimous.proposal()

    def both(self) -> list[Cluster]:
        return self.unanimous.both()

    def generations(self) -> list[Cluster]:
        return self.unanimous.generations()

    def documents(self, nodes: Iterable[str]) -> Mapping[str, Cluster | McvError]:
        return self.unanimous.documents(nodes)

    @property
    def schema(self) -> int:
        return self._current.schema

    @property
    def damage(self) -> McvError | None:
        return self.unanimous.damage

    @property
    def in_contact(self) -> bool:
        return self._current.in_contact

    def require_contact(self) -> None:
        self._current.require_contact()

    def require_right(self) -> None:
        self._current.require_right()

    @property
    def heard(self) -> Set[str]:
        return self._current.heard

    @property
    def diverged(self) -> Mapping[str, str]:
        return self._current.diverged

    @property
    def rejected_by(self) -> Set[str]:
        return self._current.rejected_by


class Doors(_Shown):
    """A `Consensus` that is unanimous or a majority's, as the committed document says."""

    def __init__(self, unanimous: Unanimous, majority: Callable[[str], Majority]) -> None:
        self.unanimous = unanimous
        self._make = majority
        self._majorities: dict[str, Majority] = {}
        self._on_commit: Callable[[], None] = lambda: None
        self._was_in_etcd = unanimous.damage is None and unanimous.document().store is not None
        unanimous.beside_etcd(
            self._before_commit, self._from_etcd, lambda: self.in_contact, self._etcd_serves
        )
        unanimous.on_commit(self._committed)

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
        return self._through(
            lambda door: door.propose(
                name, params, id=id, who=who, why=why, compares=compares, puts=puts
            )
        )

    def poll(self) -> None:
        """Poll through the door in use.

        Where etcd shows nothing the members are asked as well: they may have moved back. So they
        are while a proposal is open, which etcd does not take.
        """
        door = self._current
        door.poll()
        is_open = self.proposal() is not None
        if door is not self.unanimous and (is_open or not door.in_contact):
            self.unanimous.poll()

    def follow(self, hash_: str) -> None:
        """Read from etcd what a member says is committed there, unless it is known here."""
        store = self.unanimous.document().store
        if store is not None and self.unanimous.committed()[1] != hash_:
            self._from_etcd(store.id)

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
            return self.unanimous.declare(
                dead, id=id, who=who, why=why, alive=alive, survivors=survivors, leave_etcd=True
            )
        return self._through(
            lambda door: door.declare(
                dead,
                id=id,
                who=who,
                why=why,
                alive=alive,
                survivors=survivors,
                evidence=evidence,
            )
        )

    def take_shown_alone(self) -> None:
        """Take the newest document that any voter of etcd shows by itself, without a majority.

        Raises Diverged where it neither contains this node's nor is contained in it.
        """
        if store := self.unanimous.document().store:
            self._majority(store.id).take_shown_alone()

    def resolve_divergence(
        self, base: Cluster, params: dict[str, Any], *, id: str, who: str, why: str
    ) -> Cluster:
        return self._current.resolve_divergence(base, params, id=id, who=who, why=why)

    def begin(self, document: Cluster) -> None:
        self.unanimous.begin(document)
        self._was_in_etcd = document.store is not None

    def on_commit(self, callback: Callable[[], None]) -> None:
        self._on_commit = callback

    @property
    def _current(self) -> Consensus:
        store = self.unanimous.document().store
        return self.unanimous if store is None else self._majority(store.id)

    def _majority(self, id: str) -> Majority:
        if id not in self._majorities:
            made = self._make(id)
            made.on_commit(self._committed)
            self._majorities[id] = made
        return self._majorities[id]

    def _through(self, use: Callable[[Consensus], A]) -> A:
        """Use the door in use, and the other one where the document moves meanwhile."""
        for _ in range(MOVES):
            door = self._current
            try:
                return use(door)
            except StoreMoved:
                continue
            except OutcomeOpen:
                # A declaration met a move that was put into etcd first: it is made there.
                if self._current is door:
                    raise
        raise StoreMoved("The document keeps moving between etcd and the members.", "Try again.")

    def _before_commit(self, new: Cluster) -> None:
        """Put a document that lies in etcd there, before any member has committed it.

        Raises OutcomeOpen where etcd does not say that it has it. Where another one was put
        there before, that one is committed here by then.
        """
        if new.store is None or self.unanimous.document().store is not None:
            return
        try:
            seeded = self._majority(new.store.id).seed(new)
        except (PeerUnreachable, CallLost) as error:
            raise OutcomeOpen(
                f"All have accepted the move, and etcd has not taken the document: {error.message}",
                "It is finished by itself as soon as a majority of etcd answers: mcv info",
            ) from error
        if seeded != digest(new) and new.change.id not in self.unanimous.document().changes:
            raise StoreMoved("Another document was put into etcd before.")

    def _from_etcd(self, id: str) -> None:
        try:
            self._majority(id).refresh()
        except McvError as error:
            log.debug("the document in etcd: %s", error)

    def _etcd_serves(self, id: str) -> bool:
        try:
            self._majority(id).refresh()
        except McvError:
            return False
        return True

    def _committed(self) -> None:
        is_in_etcd = self.unanimous.document().store is not None
        if self._was_in_etcd and not is_in_etcd:
            self.unanimous.forget()
        self._was_in_etcd = is_in_etcd
        self._on_commit()
