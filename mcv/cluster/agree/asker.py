"""The asker's side: make the next document, offer it to the keeper, see it settled here."""

import random
import secrets
import time
from typing import Any

from mcv.clock import timestamp
from mcv.cluster.agree import patience
from mcv.cluster.agree.keeper import Keeper
from mcv.cluster.agree.member import Member
from mcv.cluster.agree.touch import unreachable
from mcv.config import changes
from mcv.errors import (
    Busy,
    CallLost,
    LookAgain,
    NotMember,
    OutcomeOpen,
    PeerUnreachable,
    Refused,
)
from mcv.model import ChangeMade, Cluster, encode


class Asker:
    """What a node does for a change that is asked of it."""

    def __init__(self, member: Member, keeper: Keeper) -> None:
        self._member = member
        self._keeper = keeper
        self._me = member.me
        self._store = member.store
        self._touch = member.touch

    def update(self, name: str, params: dict[str, Any], *, id: str, who: str, why: str) -> Cluster:
        """Make a change and return the settled document that has it.

        Raises Refused where the change makes no sense (any more) or a member does not
        answer: nothing was changed. Raises OutcomeOpen when nobody knows yet.
        """
        until = time.monotonic() + patience.PATIENCE
        while True:
            base = self._store.read()
            if id in base.changes:
                return base
            made = ChangeMade(id=id, who=who, when=timestamp(), why=why, node=self._me)
            new = changes.apply(base, name, params, made)
            if new is base:
                return base
            try:
                self._offer(base.keeper, new)
                return self._see_settled(base.keeper, id)
            except LookAgain:
                if time.monotonic() > until:
                    raise Busy("The document keeps changing.", "Try again.") from None
                self._member.catch_up(base.keeper)
                time.sleep(random.uniform(0.005, 0.05))
            except CallLost as lost:
                self._wait_for_outcome(base, id, lost)

    def _offer(self, keeper: str, new: Cluster) -> None:
        if not keeper:
            raise Refused("No node is online in the document.")
        attempt = secrets.token_hex(8)
        if keeper == self._me:
            self._keeper.offer(encode(new), attempt)
            return
        # A keeper that hangs is found out by a question: only what was offered is open.
        try:
            self._member.ask(keeper, "config.look", timeout=patience.LOOK)
        except NotMember:
            self._touch.removed_by.add(keeper)
            self._touch.require()
        except (PeerUnreachable, CallLost) as error:
            raise unreachable([keeper]) from error
        # From here on the keeper's own words count: they name the member that is silent.
        params = {"document": encode(new), "attempt": attempt}
        self._member.ask(keeper, "config.offer", timeout=patience.OFFER, **params)

    def _see_settled(self, keeper: str, id: str) -> Cluster:
        until = time.monotonic() + patience.ACCEPT
        while id not in (settled := self._store.read()).changes:
            if time.monotonic() > until:
                raise OutcomeOpen(f"The change is made, but {self._me} has not seen it yet.")
            if not self._member.catch_up(keeper):
                time.sleep(0.1)
        return settled

    def _wait_for_outcome(self, base: Cluster, id: str, lost: CallLost) -> None:
        """Wait a while for an offer without an answer; return when it may be made anew."""
        until = time.monotonic() + patience.ACCEPT
        while time.monotonic() < until:
            self._member.catch_up(base.keeper)
            settled = self._store.read()
            if id in settled.changes or settled.generation > base.generation:
                return
            time.sleep(0.3)
        raise OutcomeOpen(
            f"{base.keeper} did not say whether the change was made ({lost}).",
            "It is settled when that node is back: mcv repair",
        )
