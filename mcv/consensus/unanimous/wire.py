"""The questions between members, and their answers: typed values that are checked on arrival.

An answer of another shape, from another version or from a faulty peer, is no answer: it is
logged and raised, or returned, as CallLost of that peer alone.
"""

import logging
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import msgspec

from mcv.consensus.unanimous import timeouts
from mcv.document.model import Cluster, decode, digest, encode
from mcv.errors import CallLost, McvError, NotUnderstood
from mcv.system.answers import decoded
from mcv.system.fanout import ask_all

log = logging.getLogger(__name__)

Ask = Callable[..., Any]  # ask(node, operation, /, timeout=…, **params)


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to config.poll: which document and which proposal a member holds."""

    version: str
    epoch: int
    epoch_id: str
    generation: int
    hash: str
    proposal: str | None
    in_contact: bool
    reads: int = 1  # the latest schema of the document that the member reads
    changes: list[str] = []  # the changes that the member knows, from schema 2 on
    problem: str = ""  # why the member could write nothing down, for want of room
    shown: str = ""  # id of an epoch that the member was shown and has not taken


class Copy(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to config.fetch: the documents themselves, as text.

    `between` are generations before the document, `under` those that the proposal was made
    over, after the document.
    """

    document: str
    proposal: str | None
    between: list[str]
    under: list[str] = []


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to config.accept: the member has written the proposal durably."""

    accepted: bool


class Committed(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to config.commit and config.install: the hash of the committed document."""

    hash: str


class Proposed(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to config.propose: the proposal is committed."""

    hash: str
    generation: int


class Fetched(msgspec.Struct, frozen=True):
    """The documents of a Copy, decoded."""

    document: Cluster
    hash: str
    proposal: tuple[Cluster, str] | None
    between: list[Cluster]
    under: list[Cluster]

    def held(self) -> list[tuple[Cluster, str]]:
        """The committed document, then the proposal if there is one."""
        return [(self.document, self.hash), *([self.proposal] if self.proposal else [])]


T = TypeVar("T")


class Questions:
    """Every question that one node asks others about the document."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def poll(self, node: str) -> Observation:
        """Ask a member which document it holds."""
        answer = self._ask(node, "config.poll", timeout=timeouts.POLL)
        return checked(node, "config.poll", answer, Observation)

    def poll_all(self, nodes: Iterable[str]) -> dict[str, Observation | McvError]:
        """Poll members side by side; an error stands for the answer of a member without one."""

        def ask(node: str, operation: str, timeout: float) -> Observation:
            answer = self._ask(node, operation, timeout=timeout)
            return checked(node, operation, answer, Observation)

        return ask_all(ask, nodes, "config.poll", timeouts.POLL)

    def fetch(self, node: str, since: str) -> Fetched:
        """Fetch a member's document, and the generations between it and a hash."""
        params = {"since": since}
        return _decoded(node, self._ask(node, "config.fetch", timeout=timeouts.POLL, **params))

    def fetch_all(
        self, nodes: Iterable[str], since: str = "", proposal: bool = False
    ) -> dict[str, Fetched | McvError]:
        """Fetch from members side by side, with the proposals where asked for."""
        params: dict[str, Any] = {"since": since} if since else {}
        params |= {"proposal": True} if proposal else {}

        def ask(node: str, operation: str, timeout: float) -> Fetched:
            return _decoded(node, self._ask(node, operation, timeout=timeout, **params))

        return ask_all(ask, nodes, "config.fetch", timeouts.POLL)

    def propose(self, node: str, document: Cluster, attempt: str) -> Proposed:
        """Send a proposal to the coordinator, once."""
        params = {"document": encode(document), "attempt": attempt}
        answer = self._ask(node, "config.propose", timeout=timeouts.PROPOSE, **params)
        return checked(node, "config.propose", answer, Proposed)

    def install(self, node: str, document: Cluster, between: list[Cluster]) -> Committed:
        """Bring a committed document, and the generations before it, to a member that is behind."""
        params = {"document": encode(document), "between": [encode(each) for each in between]}
        answer = self._ask(node, "config.install", timeout=timeouts.ACCEPT, **params)
        return checked(node, "config.install", answer, Committed)

    def declare(self, node: str, **params: Any) -> None:
        """Hand a declaration over to the first survivor."""
        self._ask(node, "config.declare", timeout=timeouts.PROPOSE, **params)

    def accept_all(
        self, nodes: Iterable[str], document: Cluster, between: list[Cluster]
    ) -> list[str]:
        """Have members accept a proposal, and the generations that it was made over.

        Returns the members that did not say that they have.
        """

        def ask(node: str, operation: str, timeout: float, **params: Any) -> Accepted:
            answer = self._ask(node, operation, timeout=timeout, **params)
            acceptance = checked(node, operation, answer, Accepted)
            if not acceptance.accepted:
                raise CallLost(f"{node} did not accept the proposal.")
            return acceptance

        params: dict[str, Any] = {"document": encode(document)}
        if between:
            params["between"] = [encode(each) for each in between]
        answers = ask_all(ask, nodes, "config.accept", timeouts.ACCEPT, **params)
        return _without_answer("config.accept", answers)

    def commit_all(self, nodes: Iterable[str], hash_: str) -> list[str]:
        """Tell members that a proposal is committed; return the members that did not answer."""
        answers = ask_all(self._ask, nodes, "config.commit", timeouts.COMMIT, hash=hash_)
        return _without_answer("config.commit", answers)


def checked(node: str, operation: str, answer: Any, shape: type[T]) -> T:
    """A peer's answer as the value that it has to be; raise CallLost where it is none."""
    try:
        return decoded(node, operation, answer, shape)
    except NotUnderstood as error:
        raise _lost(error.message, error.hint) from error


def _decoded(node: str, answer: Any) -> Fetched:
    copy = checked(node, "config.fetch", answer, Copy)
    try:
        document = decode(copy.document)
        proposal = decode(copy.proposal) if copy.proposal else None
        return Fetched(
            document,
            digest(document),
            (proposal, digest(proposal)) if proposal else None,
            [decode(text) for text in copy.between],
            [decode(text) for text in copy.under],
        )
    except McvError as error:
        raise _lost(f"{node} answered config.fetch without a document: {error.message}") from error


def _lost(message: str, hint: str = "") -> CallLost:
    log.warning("%s", message)
    return CallLost(message, hint)


def _without_answer(operation: str, answers: dict[str, Any]) -> list[str]:
    for name, answer in answers.items():
        if isinstance(answer, McvError):
            log.info("%s to %s: %s", operation, name, answer)
    return [name for name, answer in answers.items() if isinstance(answer, McvError)]
