"""The proposer's side: make the next document, offer it to the coordinator, see it settled here."""

import random
import secrets
import time
from typing import Any

from mcv.consensus.unanimous import timeouts
from mcv.consensus.unanimous.contact import unreachable
from mcv.consensus.unanimous.coordinator import Coordinator
from mcv.consensus.unanimous.member import Member
from mcv.document import changes
from mcv.document.model import ChangeMade, Cluster, encode
from mcv.errors import (
    Busy,
    CallLost,
    LookAgain,
    NotMember,
    OutcomeOpen,
    PeerUnreachable,
    Refused,
)
from mcv.timestamps import timestamp


class Proposer:
    """What a node does for a change that is asked of it."""

    def __init__(self, member: Member, coordinator: Coordinator) -> None:
        self._member = member
        self._coordinator = coordinator
        self._me = member.me
        self._store = member.store
        self._contact = member.contact

    def update(self, name: str, params: dict[str, Any], *, id: str, who: str, why: str) -> Cluster:
        """Make a change and return the settled document that has it.

        Raises Refused where the change makes no sense (any more) or a member does not
        answer: nothing was changed. Raises OutcomeOpen when nobody knows yet.
        """
        until = time.monotonic() + timeouts.PATIENCE
        while True:
            base = self._store.read()
            if id in base.changes:
                return base
            made = ChangeMade(id=id, who=who, when=timestamp(), why=why, node=self._me)
            new = changes.apply(base, name, params, made)
            if new is base:
                return base
            try:
                self._offer(base.coordinator, new)
                return self._see_settled(base.coordinator, id)
            except LookAgain:
                if time.monotonic() > until:
                    raise Busy("The document keeps changing.", "Try again.") from None
                self._member.catch_up(base.coordinator)
                time.sleep(random.uniform(0.005, 0.05))
            except CallLost as lost:
                self._wait_for_outcome(base, id, lost)

    def _offer(self, coordinator: str, new: Cluster) -> None:
        if not coordinator:
            raise Refused("No node is online in the document.")
        attempt = secrets.token_hex(8)
        if coordinator == self._me:
            self._coordinator.offer(encode(new), attempt)
            return
        # A coordinator that hangs is found out by a question: only what was offered is open.
        try:
            self._member.ask(coordinator, "config.look", timeout=timeouts.LOOK)
        except NotMember:
            self._contact.removed_by.add(coordinator)
            self._contact.require()
        except (PeerUnreachable, CallLost) as error:
            raise unreachable([coordinator]) from error
        # From here on the coordinator's own words count: they name the member that is silent.
        params = {"document": encode(new), "attempt": attempt}
        self._member.ask(coordinator, "config.offer", timeout=timeouts.OFFER, **params)

    def _see_settled(self, coordinator: str, id: str) -> Cluster:
        until = time.monotonic() + timeouts.ACCEPT
        while id not in (settled := self._store.read()).changes:
            if time.monotonic() > until:
                raise OutcomeOpen(f"The change is made, but {self._me} has not seen it yet.")
            if not self._member.catch_up(coordinator):
                time.sleep(0.1)
        return settled

    def _wait_for_outcome(self, base: Cluster, id: str, lost: CallLost) -> None:
        """Wait a while for an offer without an answer; return when it may be made anew."""
        until = time.monotonic() + timeouts.ACCEPT
        while time.monotonic() < until:
            self._member.catch_up(base.coordinator)
            settled = self._store.read()
            if id in settled.changes or settled.generation > base.generation:
                return
            time.sleep(0.3)
        raise OutcomeOpen(
            f"{base.coordinator} did not say whether the change was made ({lost}).",
            "It is settled when that node is back: mcv repair",
        )
