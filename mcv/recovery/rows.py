"""Answers about jobs, locks and the journal, as each node gives its own: decoded on arrival."""

import logging
from typing import Any, TypeVar

from msgspec import UNSET, Struct, UnsetType

from mcv.errors import McvError
from mcv.host import Host
from mcv.system.answers import ask_living_typed

log = logging.getLogger(__name__)


class Bar(Struct, frozen=True, kw_only=True):
    """How far one part of a job is."""

    what: str
    done: float
    total: float
    unit: str = ""
    note: str | UnsetType = UNSET


class JobError(Struct, frozen=True, kw_only=True, rename={"kind": "class"}):
    """How a job failed."""

    kind: str
    message: str
    hint: str = ""
    problems: list[tuple[str, str]] = []


class Concern(Struct, frozen=True, kw_only=True):
    """Who began a job, the VMs that it is about, and the right that its beginning needed."""

    who: str
    right: str = "admin"
    vms: list[str] = []


class JobRow(Struct, frozen=True, kw_only=True):
    """A job under way or lately ended; `at` is when it began, finer than `began` tells.

    `vms` are the VMs that it is about, and `right` what whoever begins such a job needs.
    """

    id: str
    title: str
    who: str
    node: str
    began: str
    ended: str
    state: str
    right: str = "admin"
    vms: list[str] = []
    at: float = 0.0
    cancellable: bool = False
    waits: bool = False
    progress: list[Bar] = []
    error: JobError | None = None
    result: Any = UNSET


class ClaimRow(Struct, frozen=True, kw_only=True):
    """A claim that the document holds on a VM or a member."""

    subject: str
    operation: str
    node: str
    why: str
    since: str


class LockRow(Struct, frozen=True, kw_only=True):
    """A lock file that is held on a node."""

    name: str
    node: str
    why: str
    since: str
    pid: int | None = None


class Locks(Struct, frozen=True, kw_only=True):
    """Who holds what: claims in the document, lock files of the nodes, nodes that do not say.

    `locks` has a sentence for each lock file, `held` the same in its parts.
    """

    claims: list[ClaimRow]
    locks: list[str]
    held: list[dict[str, Any]]
    problems: list[str]


class EntryCopy(Struct, frozen=True, kw_only=True):
    """A node's journal entry of an operation as text; None where it has none."""

    entry: str | None


class Unfinished(Struct, frozen=True, kw_only=True):
    """An operation that the journal still holds, what it is about, and what is in the way."""

    operation: str
    title: str
    trouble: str
    subject: str = ""


class Repaired(Struct, frozen=True, kw_only=True):
    """What a repair ended, a title each, what is left, and in words who was not asked."""

    settled: list[str]
    left: list[Unfinished]
    unasked: list[str] = []


class Cleared(Struct, frozen=True, kw_only=True):
    """The VM or member whose claim was ended."""

    name: str


class Stopped(Struct, frozen=True, kw_only=True):
    """A job that was cancelled."""

    job: str
    cancelled: bool = True


Row = TypeVar("Row", JobRow, LockRow)


def of_others(host: Host, operation: str, row: type[Row]) -> tuple[list[Row], list[str]]:
    """The rows of every other node that answers, and in words what was not understood."""
    others = [name for name in host.read().nodes if name != host.name]
    patience = host.observations.patience(others)
    rows: list[Row] = []
    problems: list[str] = []
    answers = ask_living_typed(host.call, others, operation, patience, list[row])  # type: ignore[valid-type]
    for node, answer in answers.items():
        if not isinstance(answer, McvError):
            rows += answer
        elif answer.kind == "not-understood":
            log.warning("%s of %s: %s", operation, node, answer.message)
            problems.append(answer.message)
    return rows, problems
