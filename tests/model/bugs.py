"""Bugs that the machine must find: each takes one clause out of the real code."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from mcv.consensus.unanimous import member as agreeing
from mcv.consensus.unanimous.coordinator import Coordinator
from mcv.consensus.unanimous.wire import Questions
from mcv.document import lineage
from mcv.document.model import Cluster
from mcv.document.store import Store
from mcv.errors import LookAgain, OutcomeOpen
from mcv.rules import preconditions
from mcv.transaction import executor
from mcv.transaction.journal import Entry


def coordinator_writes_last(patch: pytest.MonkeyPatch) -> None:
    """The coordinator has all members accept before it writes the proposal itself."""

    def carry(self: Coordinator, base: Cluster, hash_: str, new: Cluster) -> None:
        members, member = self._members(base, new), self._member
        self._rounds.poll(members, hash_, new)
        if member.questions.accept_all(members, new, []):
            raise OutcomeOpen("planted")
        with member.writing:
            if member.store.hash() != hash_ or member.store.proposal() is not None:
                raise LookAgain("planted")
            member.store.propose(new)
        self._rounds.collect(members, new)

    patch.setattr(Coordinator, "_carry", carry)


def committed_before_all_accepted(patch: pytest.MonkeyPatch) -> None:
    """The coordinator commits without having heard from everybody."""
    real = Questions.accept_all

    def accept_all(
        self: Questions, members: Any, document: Cluster, between: list[Cluster]
    ) -> list[str]:
        real(self, members, document, between)
        return []

    patch.setattr(Questions, "accept_all", accept_all)


def start_allowed_by_the_proposal(patch: pytest.MonkeyPatch) -> None:
    """A node acts on what the proposal says alone."""
    real = Store.both
    patch.setattr(Store, "both", lambda self: real(self)[-1:])


def start_allowed_by_the_committed(patch: pytest.MonkeyPatch) -> None:
    """A node acts on what the committed document says alone."""
    real = Store.both
    patch.setattr(Store, "both", lambda self: real(self)[:1])


def epochs_by_number(patch: pytest.MonkeyPatch) -> None:
    """What has the larger numbers counts as newer, whatever it came from."""

    def descends(newer: Cluster, older: Cluster, older_hash: str) -> bool:
        del older_hash
        mine, theirs = (
            (newer.epoch.number, newer.generation),
            (older.epoch.number, older.generation),
        )
        return mine >= theirs

    for module in (lineage, agreeing):
        patch.setattr(module, "descends", descends)


def way_back_lost(patch: pytest.MonkeyPatch) -> None:
    """A plan that fails forgets what it would have to take back."""
    real = executor.Transaction._run_item

    def run_item(self: Any, entry: Entry, item: Any, action: Any, report: Any) -> Any:
        if entry.direction == "back":
            return None
        return real(self, entry, item, action, report)

    patch.setattr(executor.Transaction, "_run_item", run_item)


def claim_ignored(patch: pytest.MonkeyPatch) -> None:
    """A VM is started whoever has claimed it."""
    patch.setattr(preconditions, "unclaimed", lambda documents, operation, name: None)


class Planted(NamedTuple):
    """A bug, the first seed of walks that find it soon, and whether their operator lies."""

    plant: Callable[[pytest.MonkeyPatch], None]
    first: int = 1
    lies: bool = False


PLANTED = {
    "coordinator writes itself last": Planted(coordinator_writes_last, 5),
    "committed before all accepted": Planted(committed_before_all_accepted, 532),
    "acts on the proposal alone": Planted(start_allowed_by_the_proposal, 7),
    "acts on the committed document alone": Planted(start_allowed_by_the_committed, 7),
    "epochs compared by number": Planted(epochs_by_number, 16, lies=True),
    "way back lost": Planted(way_back_lost, 1),
    "claim ignored": Planted(claim_ignored, 16),
}
