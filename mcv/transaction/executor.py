"""The transaction: carries a plan out, forward or back, and resumes it after a crash."""

import contextvars
import logging
import math
import threading
import time
from collections.abc import Callable
from typing import Any

import msgspec

from mcv.document.model import Cluster
from mcv.errors import (
    Busy,
    CallLost,
    DoneInPart,
    Failed,
    LibvirtSilent,
    McvError,
    OutcomeOpen,
    PeerUnreachable,
    Refused,
    RepairNeeded,
    SystemFailed,
    of_system,
)
from mcv.transaction.effects import followed, may_have_committed, was_not_made
from mcv.transaction.journal import Entry, Journal, encode
from mcv.transaction.plan import (
    Action,
    Call,
    Change,
    Item,
    Step,
    commit_point,
    nodes_of,
    steps_of,
)

log = logging.getLogger(__name__)

# s; poll the peers before a local step if our view is older. No declaration takes less.
MAX_VIEW_AGE = 2.0

# The escort of the call under way (journal.Escort as plain JSON): whose claims, which serial.
escort: contextvars.ContextVar[dict[str, Any] | None] = contextvars.ContextVar(
    "escort", default=None
)

CallNode = Callable[..., Any]  # call(node, operation, /, **params)
MakeChange = Callable[..., Cluster]  # make(change, id=…, who=…, why=…)
Report = Callable[[str], None]


class Transaction:
    """Carries plans out for a node; the journal has the position before each step.

    A failure before the commit point takes the plan back, a failure after it goes forward.
    While neither direction is possible the entry stays in the journal, for `resume`.
    """

    def __init__(
        self,
        me: str,
        journal: Journal,
        call: CallNode,
        make: MakeChange,
        poll: Callable[[], None] = lambda: None,
        polled: float = -math.inf,
    ) -> None:
        self._me = me
        self._journal = journal
        self._call = call
        self._make = make
        self._poll = poll
        self._polled = polled  # by the monotonic clock

    def carry_out(self, entry: Entry, report: Report) -> None:
        """Carry a plan out from its beginning.

        Precondition: the document holds the entry's claims, or the first step brings them.
        Effect: every step is done and the claims are released.
        Errors: Refused when a node could not keep the plan (no step was begun), or when the
        first step is a change that was refused; Failed when a step failed and all was undone;
        RepairNeeded when the journal keeps a rest; OutcomeOpen when a change was neither
        committed nor refused.
        """
        try:
            self._journal.write(entry)
        except SystemFailed as error:
            message = f"{self._me} can write nothing down, so nothing was changed: {error.message}"
            raise Refused(message, error.hint) from error
        try:
            for node in sorted(nodes_of(entry.plan) - {self._me}):
                self._call(node, "journal.keep", entry=encode(entry))
        except McvError as error:
            entry.direction, entry.trouble = "back", error.message
            self._end(entry)
            raise Refused(f"{entry.title}: {error.message}", error.hint) from error
        self.resume(entry, report)

    def resume(self, entry: Entry, report: Report) -> None:
        """Continue an entry at its position, in its direction; effect and errors as above."""
        if entry.direction == "forward":
            self._forward(entry, report)
        else:
            self._back(entry, report, None)

    def _forward(self, entry: Entry, report: Report) -> None:
        commit = commit_point(entry.plan)
        begun_before = entry.position  # -1: no step was begun before this run
        lacking: McvError | None = None  # the last error of a step that may fail
        for index in range(max(0, entry.position), len(entry.plan)):
            item = entry.plan[index]
            self._note(entry, position=index)
            error = self._run_item(entry, item, lambda step: step.do, report)
            if error is None:
                continue
            if _is_open(error, was_begun=index == begun_before):
                raise self._open(entry, error, is_committed=index > commit) from error
            if index > commit and all(step.may_fail for step in steps_of(item)):
                lacking, known = error, entry.trouble
                # Each part that failed is told, also after a crash: the journal has it.
                entry.trouble = known if error.message in known else f"{known} {error.message}"
                continue
            is_committed = index > commit
            was_begun = index == begun_before
            is_unknown = (was_begun and _is_proposed_still(item, error)) or (
                index == commit and may_have_committed(item, error, was_begun)
            )
            if is_committed or is_unknown:
                raise self._kept(entry, error, f"{entry.title} stopped half-way: {error.message}")
            if was_not_made(item, error, was_begun=index == begun_before):
                self._note(entry, position=index - 1, direction="back", trouble=error.message)
                if index == 0:
                    self._end(entry)
                    raise error
            self._back(entry, report, error)
        self._end(entry)
        if entry.trouble:
            message = f"{entry.title} is done, but: {entry.trouble.strip().rstrip('.')}."
            raise DoneInPart(message, *((lacking.hint, lacking.problems) if lacking else ()))

    def _open(self, entry: Entry, error: McvError, is_committed: bool) -> OutcomeOpen:
        self._kept(entry, error, f"{entry.title}: {error.message}")
        what = "is not over yet" if is_committed else "is not committed yet"
        return OutcomeOpen(
            f"{entry.title} {what} (job {entry.operation}): {error.message}",
            error.hint or _help(entry),
        )

    def _back(self, entry: Entry, report: Report, cause: McvError | None) -> None:
        """Undo every begun step, the last first.

        Errors: in every case, Failed when all was undone, RepairNeeded when a step resists.
        """
        if entry.direction == "forward":
            trouble = cause.message if cause else ""
            self._note(entry, direction="back", trouble=trouble)
        for index in range(entry.position, -1, -1):
            self._note(entry, position=index)
            error = self._run_item(entry, entry.plan[index], lambda step: step.undo, report)
            if error is not None:
                raise self._kept(
                    entry,
                    error,
                    f"{entry.title} failed ({entry.trouble}) "
                    f"and is not undone yet: {error.message}",
                )
        self._end(entry)
        hint = cause.hint if cause else ""
        problems = cause.problems if cause else []
        raise Failed(f"{entry.title} failed and was undone: {entry.trouble}", hint, problems)

    def _end(self, entry: Entry) -> None:
        """Release the claims and remove the entry, here and where copies are kept."""
        try:
            for index, release in enumerate(entry.releases, 1):
                id_ = _change_id(entry, "release" if index == 1 else f"release{index}")
                self._make(release, id=id_, who=entry.who, why=entry.title)
        except McvError as error:
            entry.position = len(entry.plan) if entry.direction == "forward" else -1
            done = "done" if entry.direction == "forward" else "undone"
            message = f"{entry.title} is {done}, but its claim is not released yet: {error.message}"
            raise self._kept(entry, error, message) from error
        self._journal.remove(entry.operation)
        for node in sorted(nodes_of(entry.plan) - {self._me}):
            try:
                self._call(node, "journal.drop", operation=entry.operation)
            except McvError as error:
                log.info("journal.drop on %s: %s", node, error)

    def _run_item(
        self, entry: Entry, item: Item, action: Callable[[Step], Action | None], report: Report
    ) -> McvError | None:
        """Carry out a side of an item's steps in parallel; the first error, if any."""
        actions = [
            each
            for each in (action(step) for step in steps_of(item))
            if each is not None and not (isinstance(each, Call) and each.node in entry.skip)
        ]
        errors: list[McvError] = []
        if len(actions) == 1:
            self._run_action(entry, actions[0], report, errors)
            return errors[0] if errors else None
        threads = []
        for each in actions:
            context = contextvars.copy_context()
            arguments = (self._run_action, entry, each, report, errors)
            thread = threading.Thread(target=context.run, args=arguments, daemon=True)
            thread.start()
            threads.append(thread)
        for thread in threads:
            thread.join()
        return errors[0] if errors else None

    def _run_action(
        self, entry: Entry, action: Action, report: Report, errors: list[McvError]
    ) -> None:
        report(str(action))
        try:
            self._perform(entry, action)
        except McvError as error:
            errors.append(error)
        except OSError as error:
            log.warning("step %s: %s", action, error)
            errors.append(of_system(error))
        except Exception as error:
            log.exception("step %s", action)
            errors.append(McvError(f"{action}: internal error ({error})"))

    def _perform(self, entry: Entry, action: Action) -> None:
        if isinstance(action, Change):
            self._propose(entry, action)
            return
        if action.node == self._me:
            self._refresh_view()
        token = escort.set(msgspec.to_builtins(entry.escort))
        try:
            self._call(action.node, action.operation, **action.params)
        finally:
            escort.reset(token)

    def _propose(self, entry: Entry, action: Change) -> None:
        """Make a change of the document; its id holds the position, so it is made once."""
        id_ = _change_id(entry, str(entry.position))
        document = self._make(action, id=id_, who=entry.who, why=entry.title)
        for number in entry.claims:
            claim = document.claim_of(followed(entry, number, document))
            if claim is not None and claim.operation == entry.operation:
                number.number = (claim.epoch, claim.generation)

    def _refresh_view(self) -> None:
        """Poll the peers if the last poll is older than MAX_VIEW_AGE.

        A daemon that stood still may have been declared dead, and its plan resumed
        elsewhere. Peers refuse its calls then; a local step is judged by the local document.
        """
        if time.monotonic() - self._polled > MAX_VIEW_AGE:
            self._poll()
            self._polled = time.monotonic()

    def _note(self, entry: Entry, **values: Any) -> None:
        for key, value in values.items():
            setattr(entry, key, value)
        entry.serial += 1
        try:
            self._journal.write(entry)
        except SystemFailed as error:
            # No step is begun without a note of it. The entry stays as it was noted last.
            message = f"{entry.title} stopped half-way: {error.message}"
            raise self._kept(entry, error, message) from error

    def _kept(self, entry: Entry, error: McvError, message: str) -> RepairNeeded:
        """Keep the entry, or without room its last note, in the journal; the error that says so."""
        try:
            self._journal.write(entry)
        except SystemFailed as problem:
            log.error("%s: %s", entry.title, problem)
        log.warning("%s", message)
        return RepairNeeded(f"{message} (job {entry.operation})", error.hint or _help(entry))


def _is_open(error: McvError, was_begun: bool) -> bool:
    """Whether the effect of an item is open, so that the plan goes neither forward nor back.

    A change of the document may still be committed. A node whose libvirt does not answer
    carries the step out when libvirt wakes, or has not looked at the domain yet. A step that
    was begun by an earlier run and holds its locks is still at work.
    """
    is_at_work = was_begun and isinstance(error, Busy)
    return is_at_work or isinstance(error, OutcomeOpen | LibvirtSilent)


def _is_proposed_still(item: Item, error: McvError) -> bool:
    """Whether a change that an earlier run proposed may be committed on a node that is silent.

    Its way back would find nothing to take back in this node's document.
    """
    has_change = any(isinstance(step.do, Change) for step in steps_of(item))
    return has_change and isinstance(error, PeerUnreachable | CallLost)


def _change_id(entry: Entry, step: str) -> str:
    """The id of a change: operation, direction and step, so that no change is made twice."""
    way = "" if entry.direction == "forward" else "u"
    return f"{entry.operation}.{way}{step}"


def _help(entry: Entry) -> str:
    return f"It is resumed automatically; see: mcv job wait {entry.operation}, or: mcv repair"
