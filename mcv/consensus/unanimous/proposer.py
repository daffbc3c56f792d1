"""The proposer's side: build the next document, send it to the coordinator, see it committed."""

import random
import secrets
import time
from typing import Any

from mcv.consensus.unanimous import timeouts
from mcv.consensus.unanimous.contact import moved_to_etcd
from mcv.consensus.unanimous.coordinator import Coordinator
from mcv.consensus.unanimous.member import Member
from mcv.document.generation import made_now
from mcv.document.model import Cluster, encode
from mcv.errors import (
    Busy,
    CallLost,
    LookAgain,
    NotMember,
    OutcomeOpen,
    PeerUnreachable,
    Refused,
    StoreMoved,
)


class Proposer:
    """The part of a node that is asked for a change."""

    def __init__(self, member: Member, coordinator: Coordinator) -> None:
        self._member = member
        self._coordinator = coordinator
        self._me = member.me
        self._store = member.store
        self._contact = member.contact
        self._questions = member.questions

    def propose(self, name: str, params: dict[str, Any], *, id: str, who: str, why: str) -> Cluster:
        """Have a change committed and return a committed document that contains its id.

        A change that LookAgain answers is built anew from the newer document. Raises Refused
        where the newest document does not allow the change or a member does not answer:
        nothing was changed. Raises OutcomeOpen while the outcome is not known.
        """
        if self._contact.damage:
            raise self._contact.damage
        until = time.monotonic() + timeouts.RETRY
        while True:
            base = self._store.read()
            if id in base.changes:
                return base
            if base.store is not None:
                raise moved_to_etcd()
            made = made_now(self._me, id=id, who=who, why=why)
            new = self._member.judge.make(base, name, params, made)
            if new is base:
                return base
            try:
                self._send(base.coordinator, new)
                return self._see_committed(base.coordinator, id)
            except StoreMoved:
                if self._store.read().store is not None:
                    raise
                self._member.catch_up(base.coordinator)
            except LookAgain:
                if time.monotonic() > until:
                    raise Busy("The document keeps changing.", "Try again.") from None
                self._member.catch_up(base.coordinator)
                time.sleep(random.uniform(0.005, 0.05))
            except CallLost as lost:
                self._wait_for_outcome(base, id, lost)

    def _send(self, coordinator: str, new: Cluster) -> None:
        if not coordinator:
            raise Refused("No node is online in the document.")
        attempt = secrets.token_hex(8)
        if coordinator == self._me:
            self._coordinator.propose(encode(new), attempt, self._me)
            return
        # A poll finds a coordinator that hangs while nothing has been proposed yet: only a
        # proposal without an answer leaves the outcome open.
        try:
            self._questions.poll(coordinator)
        except NotMember:
            self._contact.rejected_by.add(coordinator)
            self._contact.require()
        except (PeerUnreachable, CallLost) as error:
            raise self._contact.unreachable([coordinator]) from error
        # The coordinator's own errors pass unchanged: they name the member that is silent.
        self._questions.propose(coordinator, new, attempt)

    def _see_committed(self, coordinator: str, id: str) -> Cluster:
        until = time.monotonic() + timeouts.ACCEPT
        while id not in (committed := self._store.read()).changes:
            if time.monotonic() > until:
                raise OutcomeOpen(f"The change is made, but {self._me} has not seen it yet.")
            if not self._member.catch_up(coordinator):
                time.sleep(0.1)
        return committed

    def _wait_for_outcome(self, base: Cluster, id: str, lost: CallLost) -> None:
        """Wait for the outcome of a proposal without an answer.

        Returns when a newer document tells it, so that the change may be built anew. Raises
        OutcomeOpen when the time is over.
        """
        until = time.monotonic() + timeouts.ACCEPT
        while time.monotonic() < until:
            self._member.catch_up(base.coordinator)
            committed = self._store.read()
            if id in committed.changes or committed.generation > base.generation:
                return
            time.sleep(0.3)
        raise OutcomeOpen(
            f"{base.coordinator} did not say whether the change was made ({lost}).",
            "Its outcome is known when that node is back: mcv repair",
        )
